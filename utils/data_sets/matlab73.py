"""MATLAB's .mat files of version 7.3, which are HDF5, as far as fixation data sets use them.

They are read with h5py, an optional requirement. A hostile file may refer to itself or to nothing, or claim
sizes that it does not have: reading is bounded, and every error of h5py becomes one sentence.
"""

import io
import os

import numpy as np

from utils.errors import Unreadable

LARGEST = 2**28  # bytes read of a file in all
MOST_VALUES = 2**14  # cells; PASCAL-S has 850
_DEEPEST = 8
_SIGNATURE = b'\x89HDF\r\n\x1a\n'


def is_hdf5(data):
    """Whether these are the bytes of an HDF5 file, with or without MATLAB's header of 512 bytes."""
    return _SIGNATURE in (data[:8], data[512:520])


def read(path, data):
    """Reads the variables of a .mat of version 7.3.

    Parameters
    ----------
    path : path
        Only used in messages.
    data : bytes
        The contents of the file.

    Returns
    -------
    dict of str -> value, as from `matlab.read`

    Raises
    ------
    Unreadable
        If h5py is missing, or the file is broken or has more than `LARGEST` bytes.
    """
    try:
        import h5py
    except ModuleNotFoundError:
        raise Unreadable(
            f"{os.fspath(path)}: written by MATLAB's -v7.3, which needs the package h5py: "
            '`pip install h5py`, or save it again with -v7'
        ) from None
    try:
        with h5py.File(io.BytesIO(data), 'r') as file:
            left = _Left()
            names = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
            return {name: _value(file[name], file, left) for name in names if not name.startswith('#')}
    except _TooMuch as error:
        raise Unreadable(f'{os.fspath(path)}: {error}') from None
    except Exception:  # h5py reports broken files by a dozen kinds of exceptions
        raise Unreadable(
            f'{os.fspath(path)}: the MATLAB file of version 7.3 is cut short or broken'
        ) from None


class _TooMuch(Exception):
    pass


class _Left:
    """How much may still be read."""

    def __init__(self):
        self.bytes, self.values = LARGEST, MOST_VALUES

    def take(self, size):
        self.bytes -= size
        self.values -= 1
        if self.bytes < 0 or self.values < 0:
            raise _TooMuch(f'holds more than {LARGEST} bytes or {MOST_VALUES} values')


def _value(item, file, left, depth=0):
    """An array in MATLAB's order, a list for a cell array, None for anything else."""
    import h5py

    if depth > _DEEPEST:
        raise _TooMuch('cells within cells, too deep')
    elsewhere = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
    if not isinstance(item, h5py.Dataset) or item.ndim != 2 or elsewhere:  # other files are not opened
        return None
    if item.dtype == h5py.ref_dtype:
        left.take(item.size * item.dtype.itemsize)
        # HDF5 has MATLAB's axes in reverse, so its order is MATLAB's.
        return [_value(file[reference], file, left, depth + 1) for reference in item[()].ravel()]
    if item.dtype.kind not in 'fiub':
        return None
    left.take(item.size * item.dtype.itemsize)
    if 'MATLAB_empty' in item.attrs and item.attrs['MATLAB_empty']:
        return np.empty((0, 0))
    return item[()].T
