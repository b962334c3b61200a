"""The .mat reader, beside scipy's on whole files, and on files that crash scipy's."""

import struct
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from tests.conftest import GOLDEN
from utils.data_sets import matlab
from utils.errors import Unreadable


def gaze(observers=3):
    rng = np.random.default_rng(0)
    made = np.zeros((observers, 1), [('location', 'O'), ('timestamp', 'O'), ('fixations', 'O')])
    for i, row in enumerate(made[:, 0]):
        row['location'] = rng.integers(1, 480, (7 * i, 2)).astype(np.uint16)
        row['timestamp'] = np.arange(7.0 * i)
        row['fixations'] = rng.random((i, 2)) * 100
    return made


MATRICES = {
    'u1': np.arange(6, dtype=np.uint8).reshape(2, 3),
    'i2': np.arange(-3, 3, dtype=np.int16).reshape(3, 2),
    'f4': np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
    'f8': np.random.default_rng(0).random((5, 4)),
    'whole': np.arange(6.0).reshape(2, 3),
    'one': np.array([[7.0]]),
    'bool': np.array([[True, False]]),
    'empty': np.zeros((0, 3)),
    'i8': np.array([[2**40, -1]]),
}


@pytest.mark.parametrize('compressed', [False, True])
def test_what_scipy_writes(tmp_path, compressed):
    path = tmp_path / 'x.mat'
    scipy.io.savemat(path, {**MATRICES, 'text': 'words', 'gaze': gaze()}, do_compression=compressed)
    read = matlab.read(path)
    expected = scipy.io.loadmat(path)
    for name in MATRICES:
        np.testing.assert_array_equal(read[name], expected[name])
        assert read[name].dtype == expected[name].dtype
    assert read['text'] == 'words'
    for field in ('location', 'timestamp', 'fixations'):
        assert len(read['gaze'][field]) == 3
        for array, wanted in zip(read['gaze'][field], expected['gaze'][field].ravel()):
            np.testing.assert_array_equal(array, wanted)
    some = matlab.read(path, ['fixations'])['gaze']
    assert some['location'] == [(0, 2), (7, 2), (14, 2)]
    np.testing.assert_array_equal(some['fixations'][2], read['gaze']['fixations'][2])


def test_the_records():
    for path in sorted((GOLDEN / 'network' / 'preprocess' / 'input').glob('*/*.mat')):
        np.testing.assert_array_equal(matlab.read(path)['I'], scipy.io.loadmat(path)['I'])


def test_what_is_not_taken(tmp_path):
    path = tmp_path / 'x.mat'
    kinds = {
        'complex': np.ones((2, 2)) * 1j,
        'sparse': scipy.sparse.eye(3),
        'cube': np.ones((2, 2, 2)),
    }
    scipy.io.savemat(path, kinds)
    assert matlab.read(path) == dict.fromkeys(kinds)


def test_cells(tmp_path):
    cells = np.empty((2, 2), object)
    cells[0, 0], cells[1, 0] = np.ones((1, 2)), 'ünd'
    cells[0, 1], cells[1, 1] = np.empty((0, 0)), {'a': np.ones((1, 1)), 'b': 'x'}
    scipy.io.savemat(tmp_path / 'x.mat', {'cells': cells})
    read = matlab.read(tmp_path / 'x.mat')['cells']
    np.testing.assert_array_equal(read[0], [[1, 1]])
    assert read[1] == 'ünd' and read[2].size == 0
    assert read[3]['a'][0].tolist() == [[1]] and read[3]['b'] == ['x']


def test_cells_without_end(tmp_path):
    """A few bytes that claim millions of empty values, in a compressed variable."""
    header = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\x00\x01IM'
    empty = struct.pack('<II', 14, 0)
    matrix = struct.pack('<IIIIIIII', 6, 8, 1, 0, 5, 8, 2**16, 2**12) + struct.pack('<HH4s', 1, 1, b'c')
    matrix += empty * (2**24)
    packed = zlib.compress(struct.pack('<II', 14, len(matrix)) + matrix)
    (tmp_path / 'x.mat').write_bytes(header + struct.pack('<II', 15, len(packed)) + packed)
    with pytest.raises(Unreadable, match='more than 1048576 values'):
        matlab.read(tmp_path / 'x.mat')
    nested = np.ones((1, 1))
    for _ in range(30):
        cell = np.empty((1, 1), object)
        cell[0, 0] = nested
        nested = cell
    scipy.io.savemat(tmp_path / 'deep.mat', {'c': nested})
    with pytest.raises(Unreadable, match='too deep'):
        matlab.read(tmp_path / 'deep.mat')


def test_the_other_order_of_bytes(tmp_path):
    header = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\x01\x00MI'
    matrix = (
        struct.pack('>IIIIIIII', 6, 8, 6, 0, 5, 8, 1, 2)
        + struct.pack('>HH4s', 1, 1, b'I')
        + struct.pack('>IIdd', 9, 16, 0.25, 0.5)
    )
    (tmp_path / 'x.mat').write_bytes(header + struct.pack('>II', 14, len(matrix)) + matrix)
    np.testing.assert_array_equal(matlab.read(tmp_path / 'x.mat')['I'], [[0.25, 0.5]])
    np.testing.assert_array_equal(scipy.io.loadmat(tmp_path / 'x.mat')['I'], [[0.25, 0.5]])


@pytest.mark.parametrize('compressed', [False, True])
def test_broken_files(tmp_path, compressed):
    path = tmp_path / 'x.mat'
    scipy.io.savemat(path, {'gaze': gaze(), 'resolution': [480, 640]}, do_compression=compressed)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    numbers = [0, 1, 2, 6, 14, 15, 2**16, 2**30, 2**31 - 1, 2**32 - 1]
    for i in range(3000):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(changed) - 4))
            if i % 3 == 0:
                changed[at] = rng.integers(256)
            elif i % 3 == 1:
                at -= at % 4
                changed[at : at + 4] = struct.pack('<I', int(rng.choice(numbers)))
            else:
                del changed[at : at + int(rng.integers(1, 20))]
        try:
            matlab.read(path, data=bytes(changed))
        except Unreadable as error:
            assert 'x.mat' in str(error) and '\n' not in str(error)


def test_what_is_no_such_file(tmp_path):
    path = tmp_path / 'x.mat'
    with pytest.raises(Unreadable, match='No such file'):
        matlab.read(path)
    for data in (b'', b'MATLAB 5.0', bytes(1000), b'\xff\xd8\xff' * 100):
        path.write_bytes(data)
        with pytest.raises(Unreadable, match='not a MATLAB file'):
            matlab.read(path)


def test_a_bomb_is_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, 'LARGEST', 2**20)
    header = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\x00\x01IM'
    compressor = zlib.compressobj(9)
    bomb = b''.join(compressor.compress(bytes(2**20)) for _ in range(4)) + compressor.flush()
    (tmp_path / 'x.mat').write_bytes(header + struct.pack('<II', 15, len(bomb)) + bomb)
    with pytest.raises(Unreadable, match='holds more than'):
        matlab.read(tmp_path / 'x.mat')


def test_structs_within_structs(tmp_path):
    nested: dict = {'x': np.ones((1, 1))}
    for _ in range(30):
        nested = {'x': nested}
    scipy.io.savemat(tmp_path / 'x.mat', {'gaze': nested}, do_compression=True)
    with pytest.raises(Unreadable, match='too deep'):
        matlab.read(tmp_path / 'x.mat')
