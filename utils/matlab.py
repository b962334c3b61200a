"""MATLAB's .mat files, version 5 to 7, as far as data sets of fixations use them.

scipy.io.loadmat reads more kinds, but a broken or hostile file makes it crash the whole process or take all
memory. Here every length that a file states is held against the bytes that are there.
"""

import os
import struct
import zlib

import numpy as np

from utils.images import Unreadable

LARGEST = 2**28  # bytes of a file, and of what its compressed variables become
_DEEPEST = 8

_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}
_STRUCT, _COMPLEX = 2, 0x800
_NUMERIC = {
    6: 'f8', 7: 'f4', 8: 'i1', 9: 'u1', 10: 'i2', 11: 'u2', 12: 'i4', 13: 'u4', 14: 'i8', 15: 'u8'
}  # fmt: skip


def read(path):
    """Reads the variables of a .mat.

    Returns
    -------
    dict of str -> value
        An array for a full matrix of numbers; a dict of field -> list of values, one an element, in MATLAB's
        order, for a struct array; None for anything else.

    Raises
    ------
    Unreadable
        If the file is missing, broken, of another version, or holds more than `LARGEST` bytes.
    """
    path = os.fspath(path)
    try:
        with open(path, 'rb') as file:
            data = file.read(LARGEST + 1)
        if data.startswith(b'MATLAB 7.3') or data.startswith(b'\x89HDF'):
            raise ValueError("written by MATLAB's -v7.3; save it again with -v7")
        if len(data) < 128 or data[126:128] not in (b'IM', b'MI'):
            raise ValueError('not a MATLAB file of version 5 to 7, or a broken one')
        return _variables(data, '<' if data[126:128] == b'IM' else '>')
    except OSError as error:
        raise Unreadable(f'{path}: {error.strerror}') from None
    except ValueError as error:
        raise Unreadable(f'{path}: {error}') from None
    except (struct.error, zlib.error, MemoryError):
        raise Unreadable(f'{path}: the MATLAB file is cut short or broken') from None


def _variables(data, order):
    variables, at, left = {}, 128, LARGEST - len(data)
    while at < len(data):
        kind, start, size, following = _tag(data, at, order)
        held, at = data, following
        if kind == _COMPRESSED:
            at = start + size  # these alone are not padded
            held = _inflate(data[start:at], left)
            left -= len(held)
            kind, start, size, _ = _tag(held, 0, order)
        if left < 0:
            raise ValueError(f'holds more than {LARGEST} bytes')
        if kind == _MATRIX:
            name, value = _matrix(held, start, start + size, order)
            variables[name] = value
    return variables


def _inflate(data, limit):
    decompressor = zlib.decompressobj()
    inflated = decompressor.decompress(data, max(limit, 0) + 1)
    if not decompressor.eof and len(inflated) <= limit:
        raise zlib.error
    return inflated


def _tag(data, at, order):
    """The type of the element at `at`, where its data start, their size, and where the next element is."""
    kind, size = struct.unpack_from(order + 'II', data, at)
    if kind >> 16:  # a small element: size, type and data in eight bytes
        kind, size, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if size > 4:
            raise ValueError('the MATLAB file is broken')
    else:
        start = at + 8
        following = start + size + -size % 8
    if start + size > len(data):
        raise ValueError('the MATLAB file is cut short or broken')
    return kind, start, size, following


def _matrix(data, start, end, order, depth=0):
    """The name and the value of a matrix element."""
    if start == end:
        return '', np.empty((0, 0))
    _, at, _, following = _tag(data, start, order)
    (flags,) = struct.unpack_from(order + 'I', data, at)
    dimensions, following = _numbers(data, following, order)
    _, at, size, following = _tag(data, following, order)
    name = data[at : at + size].decode('latin-1')
    kind = flags & 0xFF
    if kind in _NUMERIC and not flags & _COMPLEX:
        values, _ = _numbers(data, following, order)
        # A matrix whose dimensions do not hold its numbers raises a ValueError here.
        return name, values.astype(order + _NUMERIC[kind], copy=False).reshape(dimensions, order='F')
    if kind == _STRUCT:
        return name, _fields(data, following, end, dimensions, order, depth)
    return name, None


def _numbers(data, at, order):
    """The numbers of an element, as they are stored, and where the next element is."""
    kind, start, size, following = _tag(data, at, order)
    dtype = np.dtype(order + _STORED[kind]) if kind in _STORED else None
    if dtype is None or size % dtype.itemsize:
        raise ValueError('the MATLAB file is broken')
    return np.frombuffer(data, dtype, size // dtype.itemsize, start), following


def _fields(data, at, end, dimensions, order, depth):
    if depth == _DEEPEST:
        raise ValueError('structs within structs, too deep')
    longest, at = _numbers(data, at, order)
    _, start, size, at = _tag(data, at, order)
    length = int(longest[0]) if longest.size else 0
    if length <= 0 or size % length:
        raise ValueError('the MATLAB file is broken')
    names = [
        data[i : i + length].split(b'\0')[0].decode('latin-1') for i in range(start, start + size, length)
    ]
    values = {name: [] for name in names}
    # Each element takes bytes, so that a dimension that is not true ends at the end of the file.
    for _ in range(int(np.prod(dimensions, dtype=float)) if names else 0):
        for name in names:
            kind, start, size, at = _tag(data, at, order)
            if kind != _MATRIX or start + size > end:
                raise ValueError('the MATLAB file is broken')
            values[name].append(_matrix(data, start, start + size, order, depth + 1)[1])
    return values
