"""The original's training loop, record by record: the same calls, batches, costs, means and files."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import GOLDEN, ROOT
from utils.training.options import COSTS

RECORDS = sorted((GOLDEN / 'network').glob('epoch_*.json'))
SHORT = {('epoch_salgan', 'float32')}
FLOAT64, FLOAT32 = {'THEANO_FLAGS': 'floatX=float64'}, {'SALGAN_CONV': 'corrmm'}


# float32 by Theano's own convolutions, as the original's were: at update 2 the record of bce is itself 2.6e-5
# off the exact cost, where 3e-5 is allowed, so that one ReLU of 65 000 which another engine puts on the other
# side of 0 is too much (5e-6). tests/test_models.py holds our own engines to the records of training.
@pytest.mark.parametrize(
    ('path', 'environment'),
    [
        pytest.param(
            path,
            environment,
            id=f'{path.stem}-{precision}',
            marks=() if (path.stem, precision) in SHORT else pytest.mark.long,
        )
        for path in RECORDS
        for precision, environment in (('float64', FLOAT64), ('float32', FLOAT32))
    ],
)
def test_the_loop_is_the_originals(path, environment, tmp_path):
    command = [sys.executable, ROOT / 'tests' / 'helpers' / 'epochs.py', path, tmp_path]
    subprocess.run(command, check=True, env={**os.environ, **environment})
    record, ours = json.loads(path.read_text()), json.loads((tmp_path / 'calls.json').read_text())
    mode, epochs = record['mode'], record['epochs']

    # the same functions on the same batches, and each batch counts as an update
    for key in ('function', 'samples'):
        assert [call[key] for call in ours['calls']] == [call[key] for call in record['calls']]
    assert ours['updates'] == len(record['calls'])
    assert ours['status'] == 0

    # costs within ten times the original's own rounding noise at that update
    noise = json.loads((GOLDEN / 'network' / f'train_{mode}_noise.json').read_text())['noise']
    tolerance = 10 * np.array(noise['loss' if mode == 'bce' else 'costs']['max_abs_diff_by_update'])
    costs, expected = ([call['costs'] for call in of['calls']] for of in (ours, record))
    for i, (our, its) in enumerate(zip(costs, expected)):
        np.testing.assert_allclose(
            our, np.atleast_1d(its), rtol=0, atol=tolerance[i], err_msg=f'update {i + 1}'
        )

    # the epochs' values: means of our own costs, and within the noise the original's, which it printed
    names = COSTS[mode]
    means = np.array([[row[name] for name in names] for row in ours['history']])
    own = np.reshape(costs, (epochs, -1, len(names)))
    np.testing.assert_allclose(means, own.mean(axis=1), rtol=1e-12, atol=0)
    printed = [re.findall(r'\d\.\d+', line) for line in record['printed'].splitlines()]
    np.testing.assert_allclose(means, np.array(printed, float), rtol=0, atol=tolerance[: len(costs)].max())

    # the same files, by the spelling of the released one
    saved = {saved['path'].split('/')[-1].replace('disrim', 'discrim') for saved in record['saved']}
    assert {file.name for file in tmp_path.glob('*_modelWeights*')} == saved
