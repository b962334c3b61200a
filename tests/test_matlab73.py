"""MATLAB's files of version 7.3, whole, broken and hostile."""

import io
import sys
import tracemalloc

import h5py
import numpy as np
import pytest

from utils.data_sets import matlab, matlab73
from utils.errors import Unreadable


def made(fill):
    """The bytes of such a file; `fill` is given the open HDF5."""
    data = io.BytesIO()
    with h5py.File(data, 'w', userblock_size=512) as file:
        fill(file)
    return b'MATLAB 7.3 MAT-file'.ljust(124) + b'\0\2IM' + b'\0' * 384 + data.getvalue()[512:]


def cells(file, count=3):
    cell = file.create_dataset('cell', (1, count), h5py.ref_dtype)
    for k in range(count):
        cell[0, k] = file.create_dataset(f'#refs#/{k}', data=np.full((3, k + 1), k + 0.5)).ref


def test_matrices_and_cells():
    def fill(file):
        file['matrix'] = np.arange(6.0).reshape(2, 3)
        file['whole'] = np.arange(4, dtype=np.uint8).reshape(4, 1)
        file.create_group('struct')['x'] = np.eye(2)
        cells(file)

    read = matlab.read('a.mat', data=made(fill))
    assert np.array_equal(read['matrix'], np.arange(6.0).reshape(2, 3).T)  # MATLAB's axes
    assert read['whole'].shape == (1, 4) and read['struct'] is None and '#refs#' not in read
    assert [cell.shape for cell in read['cell']] == [(1, 3), (2, 3), (3, 3)]


def test_without_h5py(monkeypatch):
    data = made(cells)
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(Unreadable, match='a.mat: .*-v7.3, which needs the package h5py: `pip install h5py`'):
        matlab.read('a.mat', data=data)


def test_broken_files():
    data = made(cells)
    for at in range(0, len(data), 61):
        try:
            matlab.read('a.mat', data=data[:at])
        except Unreadable as error:
            assert str(error).startswith('a.mat: ')
    random = np.random.RandomState(0)
    for _ in range(300):
        broken = bytearray(data)
        for at in random.randint(512, len(data), random.randint(1, 5)):
            broken[at] = random.randint(256)
        try:
            matlab.read('a.mat', data=bytes(broken))
        except Unreadable as error:
            assert str(error).startswith('a.mat: ') and '\n' not in str(error)
    for nothing in (b'', b'MATLAB 7.3 MAT-file', b'MATLAB 7.3'.ljust(512) + b'not HDF5' * 99):
        with pytest.raises(Unreadable, match='a.mat: '):
            matlab.read('a.mat', data=nothing)


def test_references_to_nothing_to_themselves_and_without_end():
    def nothing(file):
        file.create_dataset('cell', (1, 2), h5py.ref_dtype)

    def itself(file):
        cell = file.create_dataset('cell', (1, 1), h5py.ref_dtype)
        cell[0, 0] = cell.ref

    def doubling(file):  # ten cells of ten of ten ..
        below = file.create_dataset('#refs#/0', data=np.ones((1, 1)))
        for depth in range(1, 9):
            cell = file.create_dataset(f'#refs#/{depth}', (1, 10), h5py.ref_dtype)
            for k in range(10):
                cell[0, k] = below.ref
            below = cell
        file['cell'] = below

    for fill, message in (
        (nothing, 'cut short or broken'),
        (itself, 'too deep'),
        (doubling, 'more than'),
    ):
        with pytest.raises(Unreadable, match=f'a.mat: .*{message}'):
            matlab.read('a.mat', data=made(fill))


def test_a_bomb_is_not_inflated():
    def bomb(file):
        file.create_dataset('a', (2**14, 2**17), np.uint8, compression='gzip', chunks=(2**10, 2**10))
        file['a'][: 2**10, : 2**10] = 1

    data = made(bomb)
    assert len(data) < 2**16
    tracemalloc.start()
    with pytest.raises(Unreadable, match=f'holds more than {matlab73.LARGEST} bytes'):
        matlab.read('a.mat', data=data)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_other_files_are_not_opened(tmp_path):
    (tmp_path / 'secret').write_bytes(np.arange(4.0).tobytes())
    with h5py.File(tmp_path / 'other.h5', 'w') as file:
        file['x'] = np.eye(2)

    def elsewhere(file):
        file['link'] = h5py.ExternalLink(str(tmp_path / 'other.h5'), 'x')
        file['soft'] = h5py.SoftLink('/#refs#/0')
        file.create_dataset('outside', (2, 2), float, external=[(str(tmp_path / 'secret'), 0, 32)])
        layout = h5py.VirtualLayout((2, 2), float)
        layout[:] = h5py.VirtualSource(str(tmp_path / 'other.h5'), 'x', (2, 2))
        file.create_virtual_dataset('virtual', layout)
        cells(file)

    read = matlab.read('a.mat', data=made(elsewhere))
    assert read.keys() == {'outside', 'virtual', 'cell'}
    assert read['outside'] is None and read['virtual'] is None
