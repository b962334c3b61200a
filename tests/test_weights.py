"""Weights files: the released layout, round trips, and files that are not what they should be."""

import contextlib
import functools
import io
import os
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
import types
import zipfile
import zlib

import inputs
import numpy as np
import pytest

from tests.conftest import ROOT
from utils import architecture, weights
from utils.errors import CouldNotStart

GENERATOR = architecture.generator_layout()
DISCRIMINATOR = architecture.discriminator_layout(64, 48, fc4_units=60)
SMALL = {'width': 64, 'height': 48}


def read_small(path):
    return weights.read_discriminator(path, **SMALL)


def small_arrays(seed=1):
    return inputs.discriminator_arrays(seed, **SMALL)


def error_of(read, path):
    with pytest.raises(weights.WeightsError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f'{path}: ')
    assert '\n' not in message
    assert len(message) < 500 + len(str(path))
    return message


# --- archives made by hand, down to the lies in their headers ---


def npy(array=None, header=None):
    """The bytes of an .npy file; `header` takes the place of the one that tells the truth."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    data = file.getvalue()
    if header is None:
        return data
    start = 10 + struct.unpack('<H', data[8:10])[0]
    text = header.encode()
    return data[:8] + struct.pack('<H', len(text)) + text + data[start:]


class Member(types.SimpleNamespace):
    """An entry of an archive; its attributes are what its headers say, true or not."""

    def __init__(self, name, data, deflate=False, **lies):
        stream = zlib.compressobj(1, zlib.DEFLATED, -15)
        stored = stream.compress(data) + stream.flush() if deflate else data
        truth = {'method': 8 * deflate, 'crc': zlib.crc32(data), 'size': len(data), 'flags': 0}
        super().__init__(name=name, stored=stored, **truth)
        self.__dict__.update(lies)


def write_zip(path, members, entries_extra=b'', same_place=()):
    """Writes members as zip does; `same_place`: numbers of entries that point at the data of the first."""
    body, directory = b'', b''
    offsets: list = []
    for i, m in enumerate(members):
        name = m.name.encode()
        flags = m.flags if m.name.isascii() else m.flags | 0x800  # UTF-8
        sizes = m.crc, len(m.stored), m.size, len(name), 0
        common = struct.pack('<HHHHHLLLHH', 20, flags, m.method, 0, 33, *sizes)
        offsets.append(offsets[0] if i in same_place else len(body))
        body += b'PK\3\4' + common + name + m.stored
        directory += b'PK\1\2\x14\0' + common + struct.pack('<HHHLL', 0, 0, 0, 0, offsets[i]) + name
    directory += entries_extra
    end = struct.pack('<4s4H2LH', b'PK\5\6', 0, 0, len(members), len(members), len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
    return path


@functools.cache
def zeros(shape, dtype='<f4', order='C'):
    """A member's data: an .npy of zeros, deflated, since a generator's have 127 MB."""
    return Member('', npy(np.zeros(shape, dtype, order)), deflate=True)


def write_zeros(path, layout, wrong=None):
    """A file of zeros in a layout, but for what `wrong` has under an array's number (None: nothing)."""
    members = []
    for i, (_, _, shape) in enumerate(layout):
        member = (wrong or {}).get(i, zeros(shape))
        if member:
            members.append(Member(f'arr_{i}.npy', b''))
            members[-1].__dict__.update(member.__dict__, name=member.name or f'arr_{i}.npy')
    return write_zip(path, members)


# --- the released layout ---


def test_generator_of_full_size_comes_back_byte_for_byte(tmp_path):
    arrays = inputs.generator_arrays(1)
    path = tmp_path / 'gen_modelWeights0090.npz'
    weights.save(path, arrays)
    assert 127148036 < path.stat().st_size < 127148036 + 20000
    with np.load(path) as file:
        assert file.files == [f'arr_{i}' for i in range(54)]
        assert all(file[f'arr_{i}'].tobytes() == array.tobytes() for i, array in enumerate(arrays))
    read = weights.read_generator(path)
    assert len(read) == 54
    for ours, array in zip(read, arrays):
        assert ours.dtype == np.float32
        assert ours.flags.c_contiguous and ours.flags.writeable
        assert ours.shape == array.shape
        assert ours.tobytes() == array.tobytes()
    encoder = weights.read_encoder(path)
    assert len(encoder) == 26
    assert all(ours.tobytes() == array.tobytes() for ours, array in zip(encoder, arrays))


@pytest.mark.parametrize('units', [1, 60, 100, 4096])
@pytest.mark.parametrize(
    'name', ['discrim_modelWeights0090.npz', 'disrim_modelWeights0003.npz', 'any.weights', 'ü']
)
def test_discriminator_of_any_width_under_any_name(tmp_path, units, name):
    layout = architecture.discriminator_layout(64, 48, units)
    rng = np.random.RandomState(units)
    arrays = [rng.randn(*shape).astype(np.float32) for _, _, shape in layout]
    weights.save(tmp_path / name, arrays)
    read = read_small(tmp_path / name)
    assert [array.tobytes() for array in read] == [array.tobytes() for array in arrays]


def test_encoder_from_files_that_hold_more(tmp_path):
    for more in [], [(1000, 10), (10,)]:  # the dense layers of VGG-16, in small
        layout = architecture.encoder_layout() + [('fc', 'W', shape) for shape in more]
        path = write_zeros(tmp_path / 'vgg.npz', layout)
        assert [array.shape for array in weights.read_encoder(path)] == [s for _, _, s in GENERATOR[:26]]


def test_other_spellings_of_the_same_values(tmp_path):
    arrays = small_arrays()
    path = tmp_path / 'a.npz'
    np.savez_compressed(path, *arrays)
    readings = [read_small(path)]
    np.savez(path, *[array.astype('>f4') for array in arrays])
    readings.append(read_small(path))
    np.savez(path, *[np.asfortranarray(array) for array in arrays])
    readings.append(read_small(path))
    python2 = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
    headers = [python2 % ''.join(f'{n}L, ' for n in array.shape) for array in arrays]
    parts = zip(arrays, headers)
    write_zip(path, [Member(f'arr_{i}.npy', npy(a, header)) for i, (a, header) in enumerate(parts)])
    readings.append(read_small(path))
    write_zip(path, [Member(f'arr_{i}.npy', npy(a)) for i, a in reversed(list(enumerate(arrays)))])
    readings.append(read_small(path))
    path.write_bytes(path.read_bytes()[:-2] + b'\5\0hello')  # a comment at the end of the archive
    readings.append(read_small(path))
    for read in readings:
        assert all(array.dtype.isnative and array.flags.c_contiguous for array in read)
        assert [array.tobytes() for array in read] == [array.tobytes() for array in arrays]


def test_memory_while_reading_is_that_of_the_arrays(tmp_path):
    path = write_zeros(tmp_path / 'a.npz', GENERATOR)
    tracemalloc.start()
    arrays = weights.read_generator(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(arrays) == 54
    assert 127148036 < peak < 127148036 + 6e6


# --- hostile files, each with its own message ---


def test_wrong_shape_anywhere_in_a_generator(tmp_path):
    path = tmp_path / 'a.npz'
    for number, (layer, parameter, shape) in enumerate(GENERATOR):
        wrong = tuple(reversed(shape)) if tuple(reversed(shape)) != shape else (*shape[:-1], shape[-1] + 1)
        write_zeros(path, GENERATOR, {number: zeros(wrong)})
        message = error_of(weights.read_generator, path)
        assert f': arr_{number} ({parameter} of {layer}) has shape {wrong}, expected {shape}' in message
        if number < 26:
            assert error_of(weights.read_encoder, path) == message
        else:
            assert len(weights.read_encoder(path)) == 26


def test_wrong_shape_type_or_value_anywhere_in_a_discriminator(tmp_path):
    for number in range(20):
        every_mistake_in_a_discriminator(tmp_path / 'a.npz', number)


def every_mistake_in_a_discriminator(path, number):
    layer, parameter, shape = DISCRIMINATOR[number]
    name = f': arr_{number} ({parameter} of {layer}) '

    def message(member):
        return error_of(read_small, write_zeros(path, DISCRIMINATOR, {number: member}))

    wrong = (*shape[:-1], shape[-1] + 1)
    if number == 14:  # the number of units may be any, but then arr_15 has too few
        assert ': arr_15 (b of fc4) has shape (60,), expected (61,)' in message(zeros(wrong))
        wrong = (shape[0] + 1, shape[1])
    assert f'{name}has shape {wrong}, expected {shape}' in message(zeros(wrong))
    units = '(768, 1..4096)' if number == 14 else shape
    assert f'{name}has shape {(1, *shape)}, expected {units}' in message(zeros((1, *shape)))
    assert f'{name}is float64, expected float32' in message(zeros(shape, '<f8'))
    assert f'{name}is missing' in message(None)
    for bad in 'nan', 'inf', '-inf':
        array = np.zeros(shape, np.float32)
        array.flat[-1] = float(bad)
        nans = int(bad == 'nan')
        text = f'{name}holds 1 values that are not finite (NaN: {nans}, infinite: {1 - nans})'
        assert text in message(Member('', npy(array)))


@pytest.mark.parametrize(
    'dtype', ['<f8', '<f2', '>f8', '<f16', '<i4', 'u1', '?', '<c8', '<U1', 'S4', '<M8[s]', 'V4', '<f4,<f4']
)
def test_wrong_types(tmp_path, dtype):
    for number in (0, 1, 9, 19):
        shape = DISCRIMINATOR[number][2]
        path = write_zeros(tmp_path / 'a.npz', DISCRIMINATOR, {number: zeros(shape, dtype)})
        message = error_of(read_small, path)
        assert f': arr_{number} (' in message
        assert f' is {np.dtype(dtype)}, expected float32' in message


class Bomb:
    """What unpickles into a command."""

    def __reduce__(self):
        return os.system, ('false',)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError('unpickled')

    monkeypatch.setattr(pickle, 'load', refuse)
    monkeypatch.setattr(pickle, 'loads', refuse)
    objects = np.array([Bomb(), None], object)
    path = write_zeros(tmp_path / 'a.npz', DISCRIMINATOR, {3: Member('', npy(objects))})
    assert ': arr_3 (b of conv1) holds pickled Python objects' in error_of(read_small, path)
    path = write_zeros(tmp_path / 'a.npz', DISCRIMINATOR, {3: Member('', pickle.dumps(Bomb()))})
    assert ': arr_3 (b of conv1) is no .npy array but a Python pickle' in error_of(read_small, path)


@pytest.mark.parametrize(
    ('content', 'looks'),
    [
        (b'<!DOCTYPE html>\n<html><body>404</body></html>', 'an HTML page'),
        (b'\xef\xbb\xbf\n  <HTML lang="es"><head>', 'an HTML page'),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'an HTML page'),
        (b'404: Not Found', "a text file that begins with '404: Not Found'"),
        (b'{"message": "gone"}', 'a text file that begins with'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\n', 'a Git LFS pointer'),
        *[(pickle.dumps({'param values': [np.zeros(3)]}, p), 'a Python pickle') for p in range(5)],
        (pickle.dumps([1, 2.5, 'three'], 0), 'a Python pickle'),
        (pickle.dumps(np.zeros(3), 0), 'a Python pickle'),
        (b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.', 'a PyTorch file'),
        (npy(np.zeros(3, np.float32)), 'a single array, a .npy file'),
        (b'\x89HDF\r\n\x1a\n' + bytes(100), 'an HDF5 file'),
        (b'MATLAB 5.0 MAT-file, Platform: GLNXA64', 'a MATLAB file'),
        (b'\x40\0\0\0\0\0\0\0{"conv1": {"dtype":"F32"}}', 'a safetensors file'),
        (b'\x1f\x8b\x08\0' + bytes(50), 'an archive of another kind'),
        (b'7z\xbc\xaf\x27\x1c' + bytes(50), 'an archive of another kind'),
        (bytes(257) + b'ustar', 'an archive of another kind'),
        (b'\xff\xd8\xff\xe0' + bytes(50), 'a picture or document'),
        (bytes(5000), 'an interrupted download: it begins with zeros'),
        (bytes(range(1, 250)), None),
        (b'\0', None),
    ],
)
def test_files_of_other_kinds(tmp_path, content, looks):
    path = tmp_path / 'gen_modelWeights0090.npz'
    path.write_bytes(content)
    for read in weights.read_generator, weights.read_discriminator, weights.read_encoder:
        message = error_of(read, path)
        assert f'not a .npz file{f" but {looks}" if looks else ";"}' in message
        assert 'weights/README.md' in message


def test_files_that_are_no_files(tmp_path):
    for read in weights.read_generator, weights.read_discriminator, weights.read_encoder:
        assert 'no such file; `make weights` fetches' in error_of(read, tmp_path / 'none.npz')
        assert 'a folder; name the weights file in it' in error_of(read, tmp_path)
        (tmp_path / 'empty.npz').write_bytes(b'')
        assert 'the file is empty (0 bytes)' in error_of(read, tmp_path / 'empty.npz')
    os.mkfifo(tmp_path / 'pipe')
    assert 'not a regular file' in error_of(read, tmp_path / 'pipe')
    assert 'not a regular file' in error_of(read, '/dev/zero')
    (tmp_path / 'loop').symlink_to('loop')
    assert 'cannot be read' in error_of(read, tmp_path / 'loop')
    (tmp_path / 'dangling').symlink_to('nowhere')
    assert 'no such file' in error_of(read, tmp_path / 'dangling')
    assert 'cannot be read' in error_of(read, tmp_path / 'empty.npz' / 'inside')


def test_unreadable(tmp_path):
    path = tmp_path / 'a.npz'
    path.write_bytes(b'x')
    path.chmod(0)
    root = os.geteuid() == 0
    try:
        if root:  # who may read everything
            os.seteuid(65534)
        message = error_of(read_small, path)
    finally:
        if root:
            os.seteuid(0)
    assert 'cannot be read (Permission denied); check its permissions' in message


def test_truncated_anywhere(tmp_path):
    """Cut at 60 places, and in the middle of the last record byte by byte."""
    whole = tmp_path / 'whole.npz'
    weights.save(whole, small_arrays())
    data = whole.read_bytes()
    path = tmp_path / 'a.npz'
    cuts = {len(data) - n for n in range(1, 30)} | {len(data) * n // 31 for n in range(1, 31)} | {1, 2, 3, 4}
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        message = error_of(read_small, path)
        assert ': truncated or damaged: ' in message
        assert f'({cut:,} bytes; the arrays alone have ' in message
        assert 'download or copy it again' in message


def test_full_size_generator_truncated_or_full_of_holes(tmp_path):
    path = tmp_path / 'a.npz'
    weights.save(path, [np.zeros(shape, np.float32) for _, _, shape in GENERATOR])
    size = path.stat().st_size
    with open(path, 'r+b') as file:
        for cut in size - 30, size - 100, size // 2, 5000, 7:
            file.truncate(cut)
            assert 'truncated or damaged' in error_of(weights.read_generator, path)
            file.truncate(size)  # what a downloader leaves that reserves the space at first
            assert 'truncated or damaged' in error_of(weights.read_generator, path)


def test_middle_missing_or_overwritten(tmp_path):
    whole = tmp_path / 'whole.npz'
    weights.save(whole, small_arrays())
    data = whole.read_bytes()
    path = tmp_path / 'a.npz'
    for n in range(1, 20):
        at = len(data) * n // 20
        path.write_bytes(data[: at - 1000] + data[at:])
        assert 'truncated or damaged' in error_of(read_small, path)
        path.write_bytes(data[: at - 1000] + bytes(1000) + data[at:])
        assert 'truncated or damaged' in error_of(read_small, path)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('write', [np.savez, np.savez_compressed])
def test_flipped_bits_are_found_or_harmless(tmp_path, seed, write):
    """Either an error that names the file, or exactly the right arrays (a bit in a date, say)."""
    arrays = [
        np.zeros(shape, np.float32) for _, _, shape in architecture.discriminator_layout(16, 16, fc4_units=1)
    ]
    path = tmp_path / 'a.npz'
    write(path, *arrays)
    data = path.read_bytes()
    rng = np.random.RandomState(seed)
    # mostly in the headers and the directory, where there is more to go wrong
    headers = [i for i in range(len(data)) if data[i]]
    found = 0
    for _ in range(200):
        at = rng.choice(headers) if rng.rand() < 0.8 else rng.randint(len(data))
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randint(8)
        path.write_bytes(changed)
        try:
            read = weights.read_discriminator(path, 16, 16)
        except weights.WeightsError as error:
            assert str(error).startswith(f'{path}: ')
            found += 1
        else:
            assert [array.tobytes() for array in read] == [array.tobytes() for array in arrays]
    assert found > 100


def test_files_of_the_wrong_network(tmp_path):
    generator = write_zeros(tmp_path / 'discrim_modelWeights0090.npz', GENERATOR)
    discriminator = write_zeros(
        tmp_path / 'gen_modelWeights0090.npz', architecture.discriminator_layout(fc4_units=60)
    )
    encoder = write_zeros(tmp_path / 'encoder.npz', GENERATOR[:26])
    full = GENERATOR[:26] + [('fc', 'W', (100, 90)), ('fc', 'b', (90,))] * 3
    vgg16 = write_zeros(tmp_path / 'vgg16.npz', full)

    message = error_of(weights.read_generator, discriminator)
    assert 'arr_0 (W of conv1_1) has shape (3, 4, 1, 1), expected (64, 3, 3, 3)' in message
    assert '20 arrays, a generator has 54: this looks like a discriminator' in message
    message = error_of(weights.read_discriminator, generator)
    assert 'arr_0 (W of merge) has shape (64, 3, 3, 3), expected (3, 4, 1, 1)' in message
    assert '54 arrays, a discriminator has 20: this looks like a generator' in message
    message = error_of(weights.read_generator, encoder)
    assert 'arr_26 (W of uconv5_3) is missing, expected with shape (512, 512, 3, 3)' in message
    assert '26 arrays, a generator has 54: this looks like an encoder alone' in message
    message = error_of(weights.read_generator, vgg16)
    assert 'arr_26 (W of uconv5_3) has shape (100, 90), expected (512, 512, 3, 3)' in message
    assert '32 arrays, a generator has 54: this looks like all of VGG-16' in message
    message = error_of(weights.read_encoder, discriminator)
    assert 'this looks like a discriminator' in message
    message = error_of(weights.read_discriminator, write_zeros(tmp_path / 'a.npz', DISCRIMINATOR))
    assert 'arr_14 (W of fc4) has shape (768, 60), expected (12288, 60)' in message


@pytest.mark.parametrize('count', [0, 1, 2, 19, 21, 53, 54, 55, 1000])
def test_wrong_number_of_arrays(tmp_path, count):
    path = tmp_path / 'a.npz'
    arrays = [np.zeros(shape, np.float32) for _, _, shape in DISCRIMINATOR][:count]
    np.savez(path, *arrays, *[np.zeros(1, np.float32)] * (count - len(arrays)))
    message = error_of(read_small, path)
    if not count:
        assert 'an archive without any array' in message
    elif count < 20:
        assert f'arr_{count} (' in message and ') is missing' in message
        assert f'the file has {count} arrays, a discriminator has 20' in message
    else:
        assert 'arr_20 does not belong there' in message
        assert f'the file has {count} arrays, a discriminator has 20' in message


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('arr_01.npy', ''),
        ('arr_-1.npy', ''),
        ('arr_1', ''),
        ('ARR_1.npy', ''),
        ('arr_1.npy\n', ''),
        ('arr_\u0661.npy', ''),
        ('arr_99999999999999999999.npy', ''),
        ('W.npy', ''),
        ('../arr_1.npy', ''),
        ('/etc/passwd', ''),
        ('weights/arr_1.npy', ''),
        ('__MACOSX/._arr_1.npy', ''),
        ('README.txt', ''),
        ('x' * 60000, ''),
        ('\x1b[31m.npy', ''),
        ('archive/data.pkl', 'PyTorch'),
        ('model/gen_modelWeights0090.npz', 'unpack this archive'),
    ],
)
@pytest.mark.parametrize('extra', [False, True])
def test_wrong_names(tmp_path, name, hint, extra):
    stray = Member(name, npy(np.zeros(3, np.float32)))
    path = tmp_path / 'a.npz'
    members = [Member(f'arr_{i}.npy', npy(array)) for i, array in enumerate(small_arrays())]
    write_zip(path, [*members, stray] if extra else [members[0], stray, *members[2:]])
    message = error_of(read_small, path)
    assert f'holds {name!r}'[:80] in message
    assert 'where only arr_0.npy, arr_1.npy .. belong' in message
    assert hint in message


def test_twice_encrypted_or_packed_oddly(tmp_path):
    path = tmp_path / 'a.npz'
    arrays = small_arrays()

    def message(number, **lies):
        members = [Member(f'arr_{i}.npy', npy(array)) for i, array in enumerate(arrays)]
        members[number].__dict__.update(lies)
        return error_of(read_small, write_zip(path, members))

    assert 'arr_3.npy is there twice' in message(4, name='arr_3.npy')
    assert 'arr_3.npy is there twice' in message(4, name='arr_3.npy\0.txt')
    assert 'arr_3.npy is encrypted' in message(3, flags=1)
    assert 'arr_3.npy is encrypted' in message(3, flags=0x41)
    for method in 1, 9, 12, 14, 93, 95, 99:
        assert 'arr_3.npy is compressed in a way' in message(3, method=method)
    assert 'arr_3 (b of conv1) is truncated or damaged' in message(3, flags=0x20)
    assert 'arr_3 (b of conv1) is truncated or damaged (Bad CRC-32' in message(3, crc=1)
    assert 'arr_14 (W of fc4) is truncated or damaged (Bad CRC-32' in message(14, crc=1)
    assert 'arr_3 (b of conv1) is truncated or damaged' in message(3, method=8)
    assert 'arr_14 (W of fc4) is truncated or damaged' in message(14, method=8)


@pytest.mark.parametrize(
    'header',
    [
        '',
        '{',
        '(' * 900,
        '[' * 900,
        '-' * 900 + '1',
        '{' * 500 + '}' * 500,
        "__import__('os').system('true')",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (32,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (32,)}",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (32,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 32}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (32.0,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (32,)}" + ' ' * 2000,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (32,)}\0",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (32,)" + ', 1' * 20000,
    ],
)
def test_broken_headers(tmp_path, header):
    member = Member('', npy(np.zeros(32, np.float32), header))
    message = error_of(read_small, write_zeros(tmp_path / 'a.npz', DISCRIMINATOR, {3: member}))
    assert ': arr_3 (b of conv1) has a header that is damaged' in message


@pytest.mark.parametrize(
    'shape',
    ['(-32,)', '(0,)', '()', '(32, 1)', '(10**9,)', f'({"9" * 900},)', '(True,)', '(' + '1, ' * 300 + ')'],
)
def test_headers_with_odd_shapes(tmp_path, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"
    member = Member('', npy(np.zeros(32, np.float32), header))
    message = error_of(read_small, write_zeros(tmp_path / 'a.npz', DISCRIMINATOR, {3: member}))
    assert ': arr_3 (b of conv1) has ' in message
    assert '**' in shape or 'expected (32,)' in message


def test_header_that_declares_a_huge_header(tmp_path):
    data = b'\x93NUMPY\2\0' + struct.pack('<L', 2**32 - 1) + bytes(10**6)
    path = write_zeros(tmp_path / 'a.npz', DISCRIMINATOR, {3: Member('', data, deflate=True)})
    assert 'arr_3 (b of conv1) has a header' in error_of(read_small, path)
    data = b'\x93NUMPY\7\0' + bytes(100)
    path = write_zeros(tmp_path / 'a.npz', DISCRIMINATOR, {3: Member('', data)})
    assert 'arr_3 (b of conv1) has a header' in error_of(read_small, path)


@contextlib.contextmanager
def little_memory(most):
    """Fails if the block allocates over `most` bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('number', [0, 3, 14, 19])
def test_zip_bombs(tmp_path, number):
    """Files that would unpack to far more than a network has are refused before they are unpacked."""
    path = tmp_path / 'a.npz'
    layer, parameter, shape = DISCRIMINATOR[number]
    name = f'arr_{number} ({parameter} of {layer})'
    right = npy(np.zeros(shape, np.float32))
    with_more = Member('', right + bytes(50 * 10**6), deflate=True)
    with little_memory(5e6):
        path = write_zeros(path, DISCRIMINATOR, {number: with_more})
        assert f'{name} declares {with_more.size:,} bytes' in error_of(read_small, path)
        # a directory that lies: far less, or more, than what is packed
        for size in len(right) - 1, len(right) + 1, 2**32 - 2, 1:
            lie = Member('', right, deflate=True, size=size)
            path = write_zeros(path, DISCRIMINATOR, {number: lie})
            assert f': {name} ' in error_of(read_small, path)
        lie = Member('', right + bytes(10**6), deflate=True, size=len(right), crc=zlib.crc32(right))
        path = write_zeros(path, DISCRIMINATOR, {number: lie})
        read_small(path)  # no more than the array is unpacked, and that much is right


def test_zip_bombs_of_shape(tmp_path):
    path = tmp_path / 'a.npz'
    big = Member('', npy(np.zeros((768, 20000), np.float32)), deflate=True)
    with little_memory(5e6):
        path = write_zeros(path, DISCRIMINATOR, {14: big})
        message = error_of(read_small, path)
    assert 'arr_14 (W of fc4) has shape (768, 20000), expected (768, 1..4096)' in message


def test_zip_bombs_of_one_piece_used_many_times(tmp_path):
    members = [Member(f'arr_{i}.npy', npy(array)) for i, array in enumerate(small_arrays())]
    path = write_zip(tmp_path / 'a.npz', members, same_place=[3])
    assert 'overlap: damaged, or made to do harm (a zip bomb)' in error_of(read_small, path)


def test_zip_bombs_of_directories(tmp_path):
    path = tmp_path / 'a.npz'
    members = [Member(f'arr_{i}.npy', npy(np.zeros(1, np.float32))) for i in range(5)]
    write_zip(path, members, entries_extra=bytes(2**20))
    with little_memory(1e6):
        assert 'truncated or damaged' in error_of(read_small, path)
    with zipfile.ZipFile(path, 'w') as archive:
        for i in range(10000):
            archive.writestr(f'arr_{i}.npy', b'')
    with little_memory(20e6):
        assert ': arr_0 (W of merge) is no .npy array' in error_of(read_small, path)


def test_an_archive_in_front_of_which_something_stands(tmp_path):
    path = tmp_path / 'a.npz'
    weights.save(path, small_arrays())
    path.write_bytes(b'<html>' + path.read_bytes())
    assert 'not a .npz file but an HTML page' in error_of(read_small, path)


def test_errors_are_for_users():
    assert issubclass(weights.WeightsError, CouldNotStart)


# --- writing ---


def test_save_writes_what_numpy_savez_writes(tmp_path):
    arrays = small_arrays()
    weights.save(tmp_path / 'ours.npz', arrays)
    np.savez(tmp_path / 'theirs.npz', *arrays)
    assert (tmp_path / 'ours.npz').read_bytes() == (tmp_path / 'theirs.npz').read_bytes()
    weights.save(tmp_path / 'no extension', [array.astype(np.float64) for array in arrays])
    assert (tmp_path / 'no extension').read_bytes() == (tmp_path / 'ours.npz').read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ['no extension', 'ours.npz', 'theirs.npz']


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e300])
def test_save_refuses_what_could_not_be_read_again(tmp_path, value):
    path = tmp_path / 'a.npz'
    path.write_bytes(b'the last good snapshot')
    with pytest.raises(ValueError, match='a.npz: arr_1 holds values that are not finite'):
        weights.save(path, [np.zeros(3), np.array([0, value])])
    assert path.read_bytes() == b'the last good snapshot'
    assert [file.name for file in tmp_path.iterdir()] == ['a.npz']


SAVE = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
from utils import command_line, weights
def main():
    weights.save({path!r}, [np.full(400000, k, np.float32) for k in range({count})])
    print('saved', flush=True)
command_line.run(main)
"""


def test_save_on_a_full_disk(small_disk):
    path = small_disk / 'a.npz'
    path.write_bytes(b'the last good snapshot')
    code = SAVE.format(root=str(ROOT), path=str(path), count=3)
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert process.returncode == 3
    assert process.stderr == f'-c: {path}: the disk is full; free some space and run the same command again\n'
    assert path.read_bytes() == b'the last good snapshot'
    assert [file.name for file in small_disk.iterdir()] == ['a.npz']


def test_save_killed_at_any_moment(tmp_path):
    """The old file or the new one is there, whole."""
    path = tmp_path / 'a.npz'
    weights.save(path, [np.zeros(1)])
    old = path.read_bytes()
    code = SAVE.format(root=str(ROOT), path=str(path), count=10).replace(
        'weights.save', 'while 1: weights.save'
    )
    for n in range(5):
        process = subprocess.Popen([sys.executable, '-c', code])
        while not any(file.suffix == '.part' and file.stat().st_size for file in tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.01 * n)
        process.kill()
        process.wait()
        if path.read_bytes() != old:
            with np.load(path) as file:
                assert [file[f'arr_{k}'][-1] for k in range(10)] == list(range(10))
        for file in tmp_path.glob('.salgan-*.part'):
            file.unlink()


def test_reading_needs_no_theano():
    code = (
        'import sys; from utils import weights; sys.exit("theano" in sys.modules or "lasagne" in sys.modules)'
    )
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False).returncode == 0
