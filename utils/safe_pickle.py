"""Reads untrusted pickles with an unpickler for arrays, plain containers and whatever its caller allows.

A pickle is a program: Python's own unpickler imports and calls whatever it names. This one refuses every
name and every instruction that the project's pickles do not need, and compares every length stated in a
pickle with the bytes available.
"""

import io
import math
import os
import pickle
import struct
from typing import Any

import numpy as np

from utils.errors import Unreadable

_LONGEST_LINE = 2**30  # protocol 0 writes the bytes of an array as one line
_LONGEST_TEXT = 1000  # text of Python 2 beyond this is the bytes of an array
_MOST_READS = 2**25  # instructions and their arguments; a sample takes some 400
_DEEPEST = 100

# Written by Python 2 (protocols 0 to 2) and Python 3 (up to 4) for containers, numbers, text and instances.
_INSTRUCTIONS = """
    MARK STOP PROTO FRAME PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS
    GLOBAL STACK_GLOBAL INST OBJ NEWOBJ REDUCE BUILD
"""


_CODES = [getattr(pickle, name) for name in _INSTRUCTIONS.split()]

# The C unpickler allocates before it checks. The name is private, and the same from Python 3.9 to 3.15.
_InPython: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _Refused(Exception):
    """Something that a pickle asks for and is refused."""


def load(file, allowed, name=None):
    """Reads one pickle.

    Parameters
    ----------
    file : path, bytes, or a binary file that can seek
        An open file is read from its current position.
    allowed : dict of (module, name) -> class or function
        What the pickle may name, and what it gets for each name. Arrays of numbers are always allowed.
    name : str, optional
        The file's name in messages (default: its path).

    Returns
    -------
    object
        Text of Python 2 becomes str (Latin-1) up to 1000 characters, and bytes beyond.

    Raises
    ------
    Unreadable
        If the file is not a pickle, truncated or broken, or asks for anything else; the message is one
        sentence. Nothing that is not allowed was called.
    """
    if isinstance(file, (str, os.PathLike)):
        name = name or os.fspath(file)
        try:
            with open(file, 'rb') as opened:
                return load(opened, allowed, name)
        except OSError as error:
            raise Unreadable(f'{name}: {error.strerror}') from None
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    name = name or getattr(file, 'name', 'pickle')
    try:
        return _Unpickler(_Bounded(file), allowed).load()
    except _Refused as error:
        raise Unreadable(f'{name}: refused, since this pickle asks for {error}') from None
    except EOFError:
        raise Unreadable(f'{name}: the pickle is empty or cut short; fetch or make it again') from None
    except MemoryError:
        raise Unreadable(f'{name}: not enough memory to read it') from None
    except Exception:  # broken instructions raise anything: KeyError, struct.error, TypeError ..
        raise Unreadable(f'{name}: not a pickle, or a broken one') from None


class _Bounded:
    """A file of which no more is read, and for which no more memory is allocated, than it contains."""

    def __init__(self, file):
        self.file, self.reads = file, 0
        start = file.tell()
        self.left = file.seek(0, os.SEEK_END) - start
        file.seek(start)

    def read(self, size):
        self.reads += 1
        if size > self.left:
            raise EOFError
        if self.reads > _MOST_READS:
            raise _Refused(f'more than {_MOST_READS} steps')
        self.left -= size
        return self.file.read(size)

    def readline(self):
        line = self.file.readline(_LONGEST_LINE)
        if not line.endswith(b'\n'):
            raise EOFError
        self.left -= len(line)
        return line


class _Instructions(dict):
    """Instruction -> the method that executes it; names an instruction that is missing."""

    def __missing__(self, code):
        names = [name for name in pickle.__all__ if getattr(pickle, name) == bytes([code])]
        raise _Refused(f'the instruction {(names or [hex(code)])[0]}')


class _Unpickler(_InPython):
    dispatch = _Instructions((ord(code), _InPython.dispatch[ord(code)]) for code in _CODES)

    def __init__(self, file, allowed):
        super().__init__(file, encoding='latin-1')
        self.bounded = file
        self.allowed = {**_NUMPY, **allowed}
        self.classes = tuple(entry for entry in allowed.values() if isinstance(entry, type))

    def find_class(self, module, name):
        try:
            return self.allowed[module, name]
        except KeyError:
            raise _Refused(f'{module}.{name}') from None

    def _decode_string(self, value):
        return value if len(value) > _LONGEST_TEXT else value.decode('latin-1')

    def load_frame(self):
        (size,) = struct.unpack('<Q', self.read(8))
        if size > self.bounded.left:
            raise EOFError  # otherwise irrelevant: it only says how much may be read at once

    def load_mark(self):
        if len(self.metastack) == _DEEPEST:
            raise _Refused(f'more than {_DEEPEST} levels')
        super().load_mark()

    def load_dict(self):
        items = self.pop_mark()
        self.append({})
        self._set(items)

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self):
        self._set(self.pop_mark())

    def _set(self, items):
        for key, value in zip(items[::2], items[1::2]):
            if not isinstance(key, (str, bytes, int, float)):  # the hash of a deep tuple overruns C's stack
                raise _Refused(f'a dictionary with a {type(key).__name__} as key')
            self.stack[-1][key] = value

    def load_build(self):
        state = self.stack.pop()
        instance = self.stack[-1]
        if type(instance) is np.ndarray:
            _fill_array(instance, *state)
        elif isinstance(instance, np.dtype):
            _order_bytes(instance, *state)
        elif type(instance) in self.classes and isinstance(state, dict):
            vars(instance).update(state)
        else:
            raise _Refused(f'a state for a {type(instance).__name__}')


for _name in ('frame', 'mark', 'dict', 'setitem', 'setitems', 'build'):
    _Unpickler.dispatch[getattr(pickle, _name.upper())[0]] = getattr(_Unpickler, f'load_{_name}')


# --- arrays: numpy names in a pickle, none of which may allocate memory or contain objects ---

_NUMBERS = ['b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8']


def _dtype(name, align=False, copy=True):
    if name not in _NUMBERS:
        raise _Refused(f'an array of {name!r}'[:60])
    return np.dtype(name, copy=True)  # a copy, which `_order_bytes` may change


def _order_bytes(dtype, version, order, *nothing):
    if order not in ('<', '>', '|', '='):
        raise _Refused('an unknown order of bytes')
    dtype.__setstate__((3, order, None, None, None, -1, -1, 0))


def _empty_array(kind, shape, code):
    return np.empty(0, 'u1')  # `_fill_array` sets its shape, once it is known that there are bytes for it


def _fill_array(array, version, shape, dtype, columns_first, data):
    data = data.encode('latin-1') if isinstance(data, str) else data
    if not (isinstance(dtype, np.dtype) and isinstance(data, bytes) and len(shape) <= 32):
        raise _Refused('an array of something other than numbers')
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise _Refused(f'an array of {str(shape)[:60]} with {len(data)} bytes')
    array.__setstate__((1, shape, dtype, bool(columns_first), data))


def _encode(text, encoding):
    """How Python 3 writes bytes in the protocols of Python 2."""
    if encoding != 'latin1':
        raise _Refused('an unknown encoding')
    return text.encode('latin-1')


def _no_bytes():
    return b''


_NUMPY = {
    ('_codecs', 'encode'): _encode,
    ('__builtin__', 'bytes'): _no_bytes,
    ('numpy', 'dtype'): _dtype,
    ('numpy', 'ndarray'): object(),  # only ever the first argument of the next
    ('numpy.core.multiarray', '_reconstruct'): _empty_array,
    ('numpy._core.multiarray', '_reconstruct'): _empty_array,
}
