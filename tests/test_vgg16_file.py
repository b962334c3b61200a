"""vgg16.pkl: read without running anything, its 26 shapes enforced."""

import json
import os
import pickle

import numpy as np
import pytest

from tests.conftest import GOLDEN
from tests.test_safe_pickle import array_of_python_2
from utils.errors import CouldNotStart
from utils.training import vgg16_file

SHAPES = json.loads((GOLDEN / 'network' / 'vgg16_structure.json').read_text())['shapes of the 26']


def content(**changes):
    rng = np.random.RandomState(0)
    arrays = [rng.rand(*shape).astype('float32') for shape in SHAPES]
    arrays += [np.zeros((4, 3), 'float32'), np.zeros(3, 'float32')]  # as the dense layers follow
    return {
        'param values': arrays,
        'mean value': np.array([103.939, 116.779, 123.68]),
        'synset words': ['tench, Tinca tinca', 'goldfish'],
        'model type': 'VGG16',
        **changes,
    }


def write(path, what, protocol=4):
    path.write_bytes(pickle.dumps(what, protocol))
    return path


def test_as_python_2_wrote_it(tmp_path):
    arrays = content()['param values']
    path = tmp_path / 'vgg16.pkl'
    path.write_bytes(
        b'\x80\x02}(U\x0cparam values]('
        + b''.join(map(array_of_python_2, arrays))
        + b'eU\x0csynset words](U\x12tench, Tinca tincaU\x08goldfisheU\nmodel typeU\x05VGG16u.'
    )
    for ours, theirs in zip(vgg16_file.read(path), arrays):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('protocol', [2, 3, 4])
def test_the_26_arrays_come_back_and_another_md5_is_a_warning(tmp_path, capsys, protocol):
    what = content()
    arrays = vgg16_file.read(write(tmp_path / 'vgg16.pkl', what, protocol))
    assert [list(array.shape) for array in arrays] == SHAPES
    for ours, theirs in zip(arrays, what['param values']):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)
    assert f"the model zoo's file has {vgg16_file.MD5}" in capsys.readouterr().err


def test_the_model_zoos_own_file_is_read_without_a_word(tmp_path, capsys, monkeypatch):
    import hashlib

    path = write(tmp_path / 'vgg16.pkl', content())
    monkeypatch.setattr(vgg16_file, 'MD5', hashlib.md5(path.read_bytes()).hexdigest())
    vgg16_file.read(path)
    assert capsys.readouterr().err == ''


def wrong_arrays():
    arrays = content()['param values']
    yield arrays[:25], '25 arrays'
    yield [arrays[1], arrays[0], *arrays[2:]], r"'param values'\[0\] \(W of conv1_1\) is float32 \(64,\)"
    yield [*arrays[:3], arrays[3].astype('int32'), *arrays[4:]], r'\[3\] \(b of conv1_2\) is int32'
    yield [*arrays[:3], 'text', *arrays[4:]], r'\[3\] .* is str'
    yield [*arrays[:3], np.full(64, np.nan, 'float32'), *arrays[4:]], r'\[3\] .* not finite'
    yield 'text', "'param values'"


def test_other_arrays_are_refused_by_name(tmp_path):
    for arrays, message in wrong_arrays():
        with pytest.raises(CouldNotStart, match=message):
            vgg16_file.read(write(tmp_path / 'vgg16.pkl', content(**{'param values': arrays})))


class Hostile:
    def __reduce__(self):
        return os.system, ('touch harm-was-done',)


@pytest.mark.parametrize(
    'what', [Hostile(), {'param values': Hostile()}, [1, 2], {'weights': 1}], ids=lambda what: str(type(what))
)
def test_hostile_and_other_pickles_are_refused_and_nothing_runs(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CouldNotStart, match=r'vgg16\.pkl'):
        vgg16_file.read(write(tmp_path / 'vgg16.pkl', what))
    assert [path.name for path in tmp_path.iterdir()] == ['vgg16.pkl']


def test_missing_empty_and_truncated_files_are_refused(tmp_path):
    path = write(tmp_path / 'vgg16.pkl', content())
    for data in (b'', b'<html>', path.read_bytes()[:1_000_000]):
        path.write_bytes(data)
        with pytest.raises(CouldNotStart, match=r'vgg16\.pkl'):
            vgg16_file.read(path)
    os.mkfifo(tmp_path / 'pipe')
    for other in (tmp_path / 'missing.pkl', tmp_path / 'pipe', tmp_path):
        with pytest.raises(CouldNotStart, match=str(other)):
            vgg16_file.read(other)
