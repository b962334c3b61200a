"""Pickles of any kind: the good ones are read as Python reads them, the others refused unrun."""

import os
import pickle
import struct
import sys
from typing import Any

import numpy as np
import pytest

from utils import safe_pickle
from utils.errors import Unreadable

TEN_GB = 10 * 2**30
DEEP = 300_000


class Thing:
    pass


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


def array_of_python_2(array):
    """How Python 2 writes an array in protocol 2."""

    def text(value):
        return b'U' + bytes([len(value)]) + value

    raw = array.tobytes()
    shape = b''.join(b'J' + struct.pack('<i', side) for side in array.shape)
    order, kind = array.dtype.str[:1].encode(), array.dtype.str[1:].encode()
    return (
        b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85' + text(b'b') + b'\x87R'
        b'(K\x01(' + shape + b'tcnumpy\ndtype\n' + text(kind) + b'K\0K\x01\x87R'
        b'(K\x03' + text(order) + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb'
        b'\x89T' + struct.pack('<i', len(raw)) + raw + b'tb'
    )


@pytest.mark.parametrize('protocol', range(5))
@pytest.mark.parametrize('dtype', ['u1', '<i8', '>i2', '<f4', 'f8', 'b1'])
def test_arrays_and_containers(protocol, dtype):
    arrays = [
        np.arange(6).reshape(2, 3).astype(dtype),
        np.arange(6).reshape(2, 3).astype(dtype).T,
        np.zeros((0, 4), dtype),
        np.ones((), dtype),
    ]
    held = {'values': arrays, 'text': ['x', 'ü', 'long' * 1000], 'numbers': (1, -2, 2**40, 0.5, True, None)}
    data = pickle.dumps(held, protocol)
    read = safe_pickle.load(data, {})
    assert read['text'] == held['text'] and read['numbers'] == held['numbers']
    for array, expected in zip(read['values'], pickle.loads(data)['values']):
        assert type(array) is np.ndarray and array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_numpy_2_and_numpy_1_names():
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        data = pickle.dumps(np.arange(3), 3)
        for written in (b'numpy.core.multiarray', b'numpy._core.multiarray'):
            data = data.replace(written, module.encode())
        np.testing.assert_array_equal(safe_pickle.load(data, {}), [0, 1, 2])


def test_weights_of_the_model_zoo():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(4, 3, 3, 3)).astype('<f4'), rng.normal(size=4).astype('<f4')]
    arrays = b''.join(map(array_of_python_2, weights))
    data = b'\x80\x02}(U\x0cparam values](' + arrays + b'eU\x0csynset words](U\x05tencheu.'
    read = safe_pickle.load(data, {})
    assert list(read) == ['param values', 'synset words'] and read['synset words'] == ['tench']
    for array, expected in zip(read['param values'], weights):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.float32
    expected = pickle.loads(data, encoding='latin-1')
    np.testing.assert_array_equal(read['param values'][0], expected['param values'][0])


def test_allowed_classes():
    thing: Any = Thing()
    thing.values = [1, 2]
    for protocol in range(5):
        data = pickle.dumps(thing, protocol)
        with pytest.raises(Unreadable, match='refused'):
            safe_pickle.load(data, {})
        if protocol > 1:  # the earlier ones name copyreg._reconstructor
            assert safe_pickle.load(data, {(Thing.__module__, 'Thing'): Thing}).values == [1, 2]


@pytest.mark.parametrize('protocol', range(6))
def test_nothing_is_run(tmp_path, protocol):
    with pytest.raises(Unreadable, match=r'refused.*\.system'):
        safe_pickle.load(pickle.dumps([Trap(tmp_path / 'trap')], protocol), {})
    assert not list(tmp_path.iterdir())


HOSTILE = {
    'empty': b'',
    'noise': b'\xbe\xef' * 100,
    'cut short': pickle.dumps(['x' * 500], 2)[:-100],
    'no end': b'(lp1\n',
    'bytes of 10 GB': b'\x80\x04\x8e' + struct.pack('<Q', TEN_GB) + b'abc.',
    'bytearray of 10 GB': b'\x80\x05\x96' + struct.pack('<Q', TEN_GB) + b'abc.',
    'text of 10 GB': b'\x80\x04\x8d' + struct.pack('<Q', TEN_GB) + b'abc.',
    'frame of 10 GB': b'\x80\x04\x95' + struct.pack('<Q', TEN_GB) + b'N.',
    'text of 2 GB': b'T' + struct.pack('<i', 2**31 - 1) + b'abc.',
    'text of less than nothing': b'T' + struct.pack('<i', -5) + b'abc.',
    'number of 2 GB': b'\x8b' + struct.pack('<i', 2**31 - 1) + b'abc.',
    'a line without end': b"S'" + b'a' * 1000,
    'a memory before the first': b']p-1\n.',
    'too many marks': b'(' * DEEP + b'.',
    'a deep key': b'}' + b')' + b'\x85' * DEEP + b'Ns.',
    'a deep key of a batch': b'}()' + b'\x85' * DEEP + b'Nu.',
    'a deep key of a dictionary': b'()' + b'\x85' * DEEP + b'Nd.',
    'an array class called': b'cnumpy\nndarray\n(L10737418240L\ntR.',
    'an array class made': b'cnumpy\nndarray\n(L10737418240L\nt\x81.',
    'objects': b"cnumpy\ndtype\n(S'O'\nI0\nI1\ntR.",
    'long records': b"cnumpy\ndtype\n(S'V2000000000'\nI0\nI1\ntR.",
    'a dtype of a list': b'cnumpy\ndtype\n(]I0\nI1\ntR.',
    'builtins': b"c__builtin__\neval\n(S'1'\ntR.",
    'bytes': b'c__builtin__\nbytes\n(L10737418240L\ntR.',
    'a codec': b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
    'an attribute of a module': b'cnumpy\ncore.multiarray._reconstruct\n.',
    'an attribute of a function': b'\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.',
    'a persistent id': b'Pabc\n.',
    'an extension': b'\x82\x01.',
    'an unknown protocol': b'\x80\x09N.',
    'state for a function': b"cnumpy\ndtype\n}S'x'\nI1\nsb.",
    'state for a number': b'I1\nI2\nb.',
    'a call of text': b"S'abc'\n)R.",
    'an instance of text': b"S'abc'\n)\x81.",
    'many digits': b'L' + b'9' * 20000 + b'L\n.',
}


@pytest.mark.parametrize('case', HOSTILE)
def test_hostile(case, tmp_path):
    path = tmp_path / 'x.pickle'
    path.write_bytes(HOSTILE[case])
    with pytest.raises(Unreadable, match='x.pickle: .*'):
        safe_pickle.load(path, {})


def test_an_array_of_10_gb_is_not_made():
    before = peak()
    array = safe_pickle.load(
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(L10737418240L\ntS'b'\ntR.", {}
    )
    assert array.size == 0 and peak() - before < 100e6
    with pytest.raises(Unreadable, match='with 4 bytes'):
        data = array_of_python_2(np.ones(1, '<f4')).replace(
            b'J' + struct.pack('<i', 1) + b't', b'J' + struct.pack('<i', 2**31 - 1) + b't'
        )
        safe_pickle.load(b'\x80\x02' + data + b'.', {})


def test_deep_nesting_neither_crashes_nor_grows():
    before = peak()
    for data in (b']' * DEEP + b'a' * (DEEP - 1) + b'.', b')' + b'\x85' * DEEP + b'.'):
        safe_pickle.load(data, {})
    assert peak() - before < 200e6


def test_every_cut_and_every_changed_byte():
    data = pickle.dumps({'a': [np.arange(4, dtype=np.float32), 'text', 1.5, {'b': (1, 2)}]}, 2)
    for end in range(len(data)):
        with pytest.raises(Unreadable):
            safe_pickle.load(data[:end], {})
    rng = np.random.default_rng(0)
    for _ in range(2000):
        changed = bytearray(data)
        changed[rng.integers(len(data))] = rng.integers(256)
        try:
            safe_pickle.load(bytes(changed), {})
        except Unreadable as error:
            assert '\n' not in str(error)


def test_missing_file(tmp_path):
    with pytest.raises(Unreadable, match='No such file'):
        safe_pickle.load(tmp_path / 'x.pickle', {})


def peak():
    """Bytes of memory that this process ever held."""
    import resource

    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
