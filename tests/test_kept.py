"""Compiled functions on disk: loaded as they are, made again where they cannot be."""

from pathlib import Path

import numpy as np
import pytest

from backend import kept, native, theano
from tests.conftest import ROOT, run_python
from tests.helpers.modules import all_behind

PREDICT = """
import inputs, numpy as np
from backend import native, winograd
from models import prediction
from models.prediction import Predictor
native.wanted() and winograd.engine()  # from where it always is
native.folder = lambda: sys.argv[1]
made = []
compile = prediction._compile
prediction._compile = lambda: made.append(1) or compile()
images = np.random.RandomState(0).randint(0, 256, (2, 32, 48, 3), np.uint8)
maps = [Predictor(inputs.generator_arrays(int(seed)), 48, 32)(images) for seed in sys.argv[2:]]
np.save(sys.argv[1] + '/maps.npy', maps)
print(len(made))
"""


def predict(folder, *seeds, **environment):
    """(how often it was compiled, maps of each seed) of another process that keeps it in `folder`."""
    compiled = run_python(PREDICT, folder, *seeds, **environment)
    return int(compiled), np.load(folder / 'maps.npy')


def files(folder):
    return sorted(folder.glob('*.pickle'))


def test_a_prediction_is_compiled_once_for_any_weights(tmp_path):
    compiled, (maps,) = predict(tmp_path, 0)
    assert compiled == 1
    (file,) = files(tmp_path)
    assert file.stat().st_size < 5e6  # without weights
    assert file.stat().st_mode & 0o077 == 0
    compiled, (again, others) = predict(tmp_path, 0, 1)
    assert compiled == 0
    np.testing.assert_array_equal(again, maps)
    assert not np.array_equal(others, maps)
    compiled, (same,) = predict(tmp_path, 0, THEANO_FLAGS='traceback.limit=7')  # any setting counts
    assert compiled == 1
    np.testing.assert_array_equal(same, maps)
    assert len(files(tmp_path)) == 2


@pytest.mark.long
def test_a_deep_graph_is_kept_too(tmp_path):
    _, (maps,) = predict(tmp_path, 0)
    for expected in (1, 0):
        compiled, (slow,) = predict(tmp_path, 0, SALGAN_CONV='corrmm')
        assert compiled == expected
        np.testing.assert_allclose(slow, maps, rtol=0, atol=1e-5)


SMALL = """
from backend import kept, lasagne, native, theano
if 'NO_AVX2' in __import__('os').environ:
    native.cpu_features = lambda: frozenset({'sse2'})
made = []
def make():
    x = theano.tensor.vector()
    made.append(1)
    return theano.function([x], 2 * x + 1)
for _ in range(2):
    print(kept.function('small', make)([1]), len(made))
"""


def test_it_is_kept_in_a_compile_folder_where_nothing_was_before(tmp_path):
    """Theano removes empty folders while it compiles, and nothing of the project's C++ lies in this one."""
    for name, settings in (
        ('onednn', {'SALGAN_CONV': 'onednn'}),
        ('corrmm', {'SALGAN_CONV': 'corrmm'}),
        ('old', {'NO_AVX2': '1'}),
    ):
        folder = tmp_path / name
        assert run_python(SMALL, THEANO_FLAGS=f'base_compiledir={folder}', **settings) == '[3.] 1\n' * 2
        assert len(list(folder.glob('*/salgan/small-*.pickle'))) == 1


def test_without_theanos_own_modules_it_still_computes(tmp_path):
    """As where somebody cleared a part of the compile folder."""
    settings = {'THEANO_FLAGS': f'base_compiledir={tmp_path}', 'SALGAN_CONV': 'corrmm'}
    run_python(SMALL, **settings)
    for module in tmp_path.glob('*/tmp*/*.so'):
        module.unlink()
    assert run_python(SMALL, **settings).split()[::2] == ['[3.]'] * 2


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A function that is kept in `tmp_path`, and the list that grows where it is made."""
    monkeypatch.setattr(native, 'folder', lambda: str(tmp_path))
    made = []

    def make():
        made.append(1)
        x = theano.tensor.vector()
        return theano.function([x], 2 * x + 1)

    def function(*sources):
        result = kept.function('small', make, *sources)
        np.testing.assert_array_equal(result([1]), [3])
        return len(made)

    return function


def test_a_damaged_one_is_made_again(small, tmp_path, capsys):
    assert small() == 1
    (file,) = files(tmp_path)
    data = file.read_bytes()
    hostile = b'cos\nsystem\n(S"false"\ntR.'
    for count, damaged in enumerate((b'', data[: len(data) // 2], data[:-9] + bytes(9), hostile), start=2):
        file.write_bytes(damaged)
        assert small() == count
        assert small() == count
    assert 'cannot be used' not in capsys.readouterr().err
    native.keep(str(file), hostile[:-1])  # whole, and no pickle
    assert small() == 6
    assert 'cannot be used' in capsys.readouterr().err
    assert small() == 6


def test_any_change_of_its_sources_makes_it_again(small, tmp_path):
    source = tmp_path / 'constants.py'
    source.write_text('MEAN_BGR = 103.939, 116.779, 123.68\n')
    assert small(source) == small(source) == 1
    source.write_text('MEAN_BGR = 0, 0, 0\n')
    assert small(source) == small(source) == 2


def test_what_cannot_be_kept_is_said_in_one_line(small, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(native, 'keep', full)
    assert [small(), small()] == [1, 2]
    for line in capsys.readouterr().err.splitlines():
        assert 'cannot be kept, so the next start compiles again: [Errno 28] No space left on device' in line
    monkeypatch.setattr(native, 'folder', full)
    assert small() == 3
    assert capsys.readouterr().err.count('\n') == 1


def test_whatever_a_prediction_is_made_of_is_in_its_key(monkeypatch):
    """With another mean of VGG's, or another network, a function that was kept must not be used."""
    from models import prediction

    class Asked(Exception):
        pass

    def ask(name, make, *sources):
        raise Asked(*map(Path, sources))

    monkeypatch.setattr(prediction.kept, 'function', ask)
    with pytest.raises(Asked) as asked:
        prediction.Predictor([])
    behind = {path for path in all_behind('models.prediction') if path.parent.name != 'backend'}
    assert behind - {ROOT / 'utils' / '__init__.py'} <= set(asked.value.args)
    assert ROOT / 'utils' / 'architecture.py' in behind
