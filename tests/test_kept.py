"""Compiled functions on disk: used again as they are, made again where they cannot be."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT

PREDICT = """
import sys
sys.path[:0] = [{root!r}, {root!r} + '/tests/golden']
import inputs, numpy as np
from models import prediction
from models.prediction import Predictor
made = []
compile = prediction._compile
prediction._compile = lambda: made.append(1) or compile()
predictor = Predictor(inputs.generator_arrays(int(sys.argv[1])), 48, 32)
np.save(sys.argv[2], predictor(np.random.RandomState(0).randint(0, 256, (2, 32, 48, 3), np.uint8)))
print('made' if made else 'kept')
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('theano')


def predict(folder, seed=0, **environment):
    """('made' or 'kept', maps) of another process."""
    file = folder / 'maps.npy'
    flags = f'base_compiledir={folder},{environment.pop("THEANO_FLAGS", "")}'.strip(',')
    output = subprocess.run(
        [sys.executable, '-c', PREDICT.format(root=str(ROOT)), str(seed), str(file)],
        env={**os.environ, 'THEANO_FLAGS': flags, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return output.strip(), np.load(file)


def kept(folder):
    return list(folder.glob('*/salgan/prediction-*.pickle'))


def test_a_prediction_is_compiled_once_for_any_weights(folder):
    how, maps = predict(folder)
    assert how == 'made'
    (file,) = kept(folder)
    assert file.stat().st_size < 5e6  # without weights
    assert file.stat().st_mode & 0o077 == 0
    how, again = predict(folder)
    assert how == 'kept'
    np.testing.assert_array_equal(again, maps)
    how, others = predict(folder, seed=1)
    assert how == 'kept' and not np.array_equal(others, maps)
    how, same = predict(folder, THEANO_FLAGS='traceback.limit=7')  # any setting counts
    assert how == 'made'
    np.testing.assert_array_equal(same, maps)
    assert len(kept(folder)) == 2


@pytest.mark.long
def test_a_deep_graph_is_kept_too(folder):
    _, maps = predict(folder)
    for expected in ('made', 'kept'):
        how, slow = predict(folder, SALGAN_CONV='corrmm')
        assert how == expected
        np.testing.assert_allclose(slow, maps, rtol=0, atol=1e-5)


def test_a_damaged_one_is_made_again(folder):
    how, maps = predict(folder)
    for file in kept(folder):
        data = file.read_bytes()
        for damaged in (
            b'',
            data[: len(data) // 2],
            data[:-1000] + bytes(1000),
            b'cos\nsystem\n(S"false"\ntR.',
        ):
            file.write_bytes(damaged)
    how, again = predict(folder)
    assert how == 'made'
    np.testing.assert_array_equal(again, maps)
    assert predict(folder)[0] == 'kept'


def test_without_theanos_own_modules_it_still_predicts(folder):
    """As where somebody cleared a part of the compile folder."""
    _, maps = predict(folder)
    for module in folder.glob('*/tmp*/*.so'):
        module.unlink()
    _, again = predict(folder)
    np.testing.assert_array_equal(again, maps)
