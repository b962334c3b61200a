"""That training learns: ten real images, from random weights, by the commands of the README."""

import numpy as np
import pytest

from tests.conftest import script
from utils import history, samples
from utils.monitor import content_loss

EPOCHS = 52


@pytest.mark.long
@pytest.mark.timeout(14400)
def test_ten_images_are_learned(reference_data, tmp_path):
    def run(name, *arguments):
        done = script(name, *arguments, cwd=tmp_path, timeout=14400)
        assert done.returncode == 0, done.stderr

    run('01-data-preprocessing.py', '--salicon', reference_data / 'salicon10', '--size', '128x96')
    run('weights/make_random.py')
    pickle = 'data/trainData.pickle'
    run(
        *['02-train.py', 'bce', '--size', '128x96', '--train', pickle, '--validation', pickle],
        *['--generator', 'weights/random_modelWeights.npz', '--batch-size', '2'],
        *['--learning-rate', '0.006', '--epochs', str(EPOCHS), '--snapshot-every', '10', '--keep', '1'],
    )
    columns = history.read(tmp_path / 'snapshots')
    truths = [sample.saliency.data / 255 for sample in samples.read(tmp_path / pickle)]
    assert columns['validation_content_loss'][-1] < 0.8 * best_constant(truths)
    assert columns['validation_CC'][-1] > 0.8


def best_constant(truths):
    """The content loss of the best constant map, which is the mean of all."""
    mean = np.mean(truths)
    return np.mean([content_loss(np.full(truth.shape, mean), truth, 'bce', 4) for truth in truths])
