"""Log densities of the network's maps, as the benchmark checks them."""

import numpy as np
import pytest
from scipy.special import logsumexp

from utils.saliency_maps import DENSITY_FLOOR, at_size, log_density


@pytest.mark.parametrize('size', [(1080, 1920), (31, 17), (192, 256)])
@pytest.mark.parametrize('kind', ['random', 'zero', 'constant', 'one pixel'])
def test_log_densities_are_normalised(size, kind):
    made = {
        'random': np.random.RandomState(3).rand(192, 256) ** 8,
        'zero': np.zeros((192, 256)),
        'constant': np.full((192, 256), 0.4),
        'one pixel': np.eye(192, 256) * (np.arange(256) == 7),
    }[kind].astype(np.float32)
    found = log_density(made, *size)
    assert found.dtype == np.float32 and found.shape == size and np.isfinite(found).all()
    assert abs(logsumexp(found.astype(np.float64))) < 1e-5
    density = at_size(made, *size).astype(np.float64) + DENSITY_FLOOR
    np.testing.assert_allclose(np.exp(found, dtype=np.float64), density / density.sum(), rtol=2e-6)
