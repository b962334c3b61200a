"""MATLAB's .mat files, version 5 to 7, as far as fixation data sets use them.

scipy.io.loadmat reads more kinds, but a broken or hostile file makes it crash the whole process or take all
memory. Here every length stated in a file is compared with the bytes available. Files of version 7.3, which
are HDF5, are left to `matlab73`.
"""

import os
import struct
import zlib

import numpy as np

from utils.data_sets import matlab73
from utils.errors import Unreadable
from utils.files import read_bytes

LARGEST = 2**28  # bytes of a file, and of its decompressed variables
MOST_VALUES = 2**20  # in all structs and cells of a file; OSIE, the largest set in one file, has 43 000
_DEEPEST = 8
_BROKEN = 'the MATLAB file is cut short or broken'

_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR, _COMPLEX = 1, 2, 4, 0x800
_STORED = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}
_NUMERIC = {
    6: 'f8', 7: 'f4', 8: 'i1', 9: 'u1', 10: 'i2', 11: 'u2', 12: 'i4', 13: 'u4', 14: 'i8', 15: 'u8'
}  # fmt: skip


def read(path, fields=None, data=None):
    """Reads the variables of a .mat.

    Parameters
    ----------
    path : path
    fields : collection of str, optional
        The fields of struct arrays to read (default: all); of others only the shapes are read.
    data : bytes, optional
        The contents of the file, if they have been read already.

    Returns
    -------
    dict of str -> value
        An array for a full matrix of numbers; a list with one value per element, in MATLAB's order, for a
        cell array; a dict of field -> list of values for a struct array (tuples of rows and columns for
        fields that are not read); a str for text; None for anything else.

    Raises
    ------
    Unreadable
        If the file is missing, broken, of another version, or has more than `LARGEST` bytes or `MOST_VALUES`
        values.
    """
    path = os.fspath(path)
    data = read_bytes(path, LARGEST) if data is None else data
    if data.startswith(b'MATLAB 7.3') or matlab73.is_hdf5(data):
        return matlab73.read(path, data)
    try:
        if len(data) < 128 or data[126:128] not in (b'IM', b'MI'):
            raise ValueError('not a MATLAB file of version 5 to 7, or a broken one')
        return _variables(data, _File(_LITTLE if data[126:128] == b'IM' else _BIG, fields))
    except ValueError as error:
        raise Unreadable(f'{path}: {error}') from None
    except (struct.error, zlib.error, MemoryError):
        raise Unreadable(f'{path}: {_BROKEN}') from None


def _variables(data, file):
    variables, at, left = {}, 128, LARGEST - len(data)
    while at < len(data):
        kind, start, size, following = _tag(data, at, file.order)
        held, at = data, following
        if kind == _COMPRESSED:
            at = start + size  # only these are not padded
            held = _inflate(data[start:at], left)
            left -= len(held)
            kind, start, size, _ = _tag(held, 0, file.order)
        if left < 0:
            raise ValueError(f'holds more than {LARGEST} bytes')
        if kind == _MATRIX:
            name, value = _matrix(held, start, start + size, file)
            variables[name] = value
    return variables


def _inflate(data, limit):
    decompressor = zlib.decompressobj()
    inflated = decompressor.decompress(data, max(limit, 0) + 1)
    if not decompressor.eof and len(inflated) <= limit:
        raise zlib.error
    return inflated


class _Order:
    """What a byte order needs, made once: a gaze .mat has two hundred matrices."""

    def __init__(self, order):
        self.pair = struct.Struct(order + 'II').unpack_from
        self.header = struct.Struct(order + 'I4xI4x4I').unpack_from
        self.plain = struct.Struct(order + '3I4x8I').unpack_from
        self.stored = {kind: np.dtype(order + name) for kind, name in _STORED.items()}
        self.numeric = {kind: np.dtype(order + name) for kind, name in _NUMERIC.items()}


_LITTLE, _BIG = _Order('<'), _Order('>')


class _File:
    """What is being read: its byte order, the fields wanted, and how many more values are allowed."""

    def __init__(self, order, fields):
        self.order, self.fields, self.left = order, fields, MOST_VALUES

    def take(self, values):
        self.left -= values
        if self.left < 0:
            raise ValueError(f'more than {MOST_VALUES} values in its structs and cells')


def _tag(data, at, order):
    """The type of the element at `at`, where its data start, their size, and where the next element is."""
    kind, size = order.pair(data, at)
    if kind >> 16:  # a small element: size, type and data in eight bytes
        kind, size, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if size > 4:
            raise ValueError(_BROKEN)
    else:
        start = at + 8
        following = start + size + -size % 8
    if start + size > len(data):
        raise ValueError(_BROKEN)
    return kind, start, size, following


def _matrix(data, start, end, file, depth=0):
    """The name and the value of a matrix element."""
    if start == end:
        return '', np.empty((0, 0))
    flags, size, rows, columns = _header(data, start, file.order)
    _, at, length, following = _tag(data, start + 24 + size + -size % 8, file.order)
    name = data[at : at + length].decode('latin-1')
    kind = flags & 0xFF
    if size > 8 or flags & _COMPLEX:
        return name, None
    if kind in file.order.numeric:
        values, _ = _numbers(data, following, file.order)
        if values.size != rows * columns:
            raise ValueError(_BROKEN)
        return name, values.astype(file.order.numeric[kind], copy=False).reshape((rows, columns), order='F')
    if kind in (_STRUCT, _CELL):
        if depth == _DEEPEST:
            raise ValueError('structs or cells within each other, too deep')
        read = _struct if kind == _STRUCT else _cell
        return name, read(data, following, end, rows * columns, file, depth)
    return name, _text(data, following, file.order) if kind == _CHAR and rows == 1 else None


def _header(data, start, order):
    """The flags of a matrix, the bytes of its dimensions, and the first two of these."""
    flags_tag, flags, dimensions_tag, size, rows, columns = order.header(data, start)
    if flags_tag != 6 or dimensions_tag != 5 or size < 8:
        raise ValueError(_BROKEN)
    return flags, size, rows, columns


def _numbers(data, at, order):
    """The numbers of an element, as they are stored, and where the next element is."""
    kind, start, size, following = _tag(data, at, order)
    dtype = order.stored.get(kind)
    if dtype is None or size % dtype.itemsize:
        raise ValueError(_BROKEN)
    return np.frombuffer(data, dtype, size // dtype.itemsize, start), following


def _text(data, at, order):
    kind, start, size, _ = _tag(data, at, order)
    coding = {4: 'utf-16', 16: 'utf-8', 17: 'utf-16', 18: 'utf-32'}.get(kind, 'latin-1')
    if coding != 'latin-1' and coding != 'utf-8':
        coding += '-le' if order is _LITTLE else '-be'
    return data[start : start + size].decode(coding, 'replace')


def _cell(data, at, end, elements, file, depth):
    """The values of the `elements` of a cell array."""
    values = []
    # Every value takes bytes, so an exaggerated number of elements stops at the end of the file.
    for _ in range(elements):
        value, at = _element(data, at, end, file, depth)
        values.append(value)
    return values


def _struct(data, at, end, elements, file, depth):
    """Field -> its values, one for each of the `elements` of a struct array."""
    longest, at = _numbers(data, at, file.order)
    _, start, size, at = _tag(data, at, file.order)
    length = int(longest[0]) if longest.size else 0
    if length <= 0 or size % length:
        raise ValueError(_BROKEN)
    names = [data[start + i : start + i + length] for i in range(0, size, length)]
    names = [name.partition(b'\0')[0].decode('latin-1') for name in names]
    values: dict = {name: [] for name in names}
    columns = [(column, file.fields is None or name in file.fields) for name, column in values.items()]
    for _ in range(elements if names else 0):
        for column, wanted in columns:
            value, at = _element(data, at, end, file, depth, wanted)
            column.append(value)
    return values


def _element(data, at, end, file, depth, wanted=True):
    """A value of a struct or a cell, or only its rows and columns; and where the next one is."""
    kind, size = file.order.pair(data, at)
    start, at = at + 8, at + 8 + size
    if kind != _MATRIX or at > end or size % 8:
        raise ValueError(_BROKEN)
    file.take(1)
    if not wanted:
        return (_header(data, start, file.order)[2:] if size else (0, 0)), at
    value = _plain(data, start, size, file.order)
    return (_matrix(data, start, at, file, depth + 1)[1] if value is None else value), at


def _plain(data, start, size, order):
    """A matrix of numbers in the usual layout of those in structs, or None; three times as fast."""
    if size < 48:
        return None
    # type and length of each element, then its data
    (
        flags_type, flags_length, flags, sizes_type, sizes_length, rows, columns, name_type, name_length,
        kind, length,
    ) = order.plain(data, start)  # fmt: skip
    tags = flags_type, flags_length, sizes_type, sizes_length, name_type, name_length
    if tags != (6, 8, 5, 8, 1, 0):  # of the flags, of two dimensions, of no name
        return None
    at = start + 48
    if kind >> 16:
        kind, length, at = kind & 0xFFFF, kind >> 16, start + 44
    stored, numeric = order.stored.get(kind), order.numeric.get(flags)
    if stored is None or numeric is None or length != rows * columns * stored.itemsize or length > size - 44:
        return None
    values = np.frombuffer(data, stored, rows * columns, at)
    return values.astype(numeric, copy=False).reshape((rows, columns), order='F')
