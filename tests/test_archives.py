"""Archives of maps: what is written is what is read, nothing is half there, and hostile ones cost nothing."""

import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
import zipfile

import cv2
import h5py
import numpy as np
import pytest

from tests.conftest import ROOT
from utils import archives
from utils.errors import CouldNotStart, HadToStop, Unreadable

PROVENANCE = {'version': '1.0.0', 'settings': {'size': '256x192'}}
RANDOM = np.random.RandomState(0)


@pytest.fixture
def maps(tmp_path):
    """Key -> file of float maps and what is in them."""
    files, arrays = {}, {}
    for key in ('Action/101.jpg', 'Action/102.jpg', 'Pattern/101.jpg'):
        path = tmp_path / 'maps' / f'{os.path.splitext(key)[0]}.npy'
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays[key] = np.log(RANDOM.rand(30, 40)).astype(np.float32)
        np.save(path, arrays[key])
        files[key] = str(path)
    return files, arrays


def test_hdf5_keys_are_names_with_extension(tmp_path, maps):
    files, arrays = maps
    archives.write(tmp_path / 'm.hdf5', files, PROVENANCE)
    with h5py.File(tmp_path / 'm.hdf5') as found:
        assert sorted(found) == ['Action', 'Pattern'] and sorted(found['Action']) == ['101.jpg', '102.jpg']
        for key, array in arrays.items():
            assert found[key].dtype == np.float32 and np.array_equal(found[key], array)
    assert json.loads(archives.provenance(tmp_path / 'm.hdf5')) == PROVENANCE


def test_zip_holds_the_files(tmp_path, maps):
    files, _ = maps
    archives.write(tmp_path / 'm.zip', files, PROVENANCE)
    with zipfile.ZipFile(tmp_path / 'm.zip') as found:
        assert found.namelist() == ['Action/101.npy', 'Action/102.npy', 'Pattern/101.npy']
        for key, path in files.items():
            with open(path, 'rb') as file:
                assert found.read(os.path.splitext(key)[0] + '.npy') == file.read()
    assert json.loads(archives.provenance(tmp_path / 'm.zip')) == PROVENANCE


@pytest.mark.parametrize('name', ['m.hdf5', 'm.h5', 'm.zip'])
def test_read_again(tmp_path, maps, name):
    files, arrays = maps
    archives.write(tmp_path / name, files, PROVENANCE)
    members = archives.members(tmp_path / name)
    assert sorted(members) == ['Action/101', 'Action/102', 'Pattern/101']
    for key, array in arrays.items():
        found = members[os.path.splitext(key)[0]].read()
        found = np.load(io.BytesIO(found)) if isinstance(found, bytes) else found
        assert np.array_equal(found, array)
    before = (tmp_path / name).read_bytes()
    archives.write(tmp_path / name, files, PROVENANCE)
    assert (tmp_path / name).read_bytes() == before, 'the same maps are the same bytes'


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
def test_pictures(tmp_path, extension):
    picture = RANDOM.randint(0, 256, (20, 30), np.uint8)
    path = str(tmp_path / f'i1{extension}')
    cv2.imwrite(path, picture)
    archives.write(tmp_path / 'm.hdf5', {'i1.jpg': path}, PROVENANCE)
    assert np.array_equal(archives.members(tmp_path / 'm.hdf5')['i1'].read(), cv2.imread(path, 0))
    archives.write(tmp_path / 'm.zip', {'i1.jpg': path}, PROVENANCE)
    with open(path, 'rb') as file:
        assert archives.members(tmp_path / 'm.zip')['i1'].read() == file.read()


def test_keys():
    assert archives.keys(['Stimuli/Action/101.jpg', 'Stimuli/Pattern/101.jpg']) == [
        'Action/101.jpg',
        'Pattern/101.jpg',
    ]
    assert archives.keys(['BenchmarkIMAGES/i1.jpg', 'BenchmarkIMAGES/i2.jpg']) == ['i1.jpg', 'i2.jpg']
    assert archives.keys(['car/000000000009.jpg', 'bus/000000000025.jpg']) == [
        '000000000009.jpg',
        '000000000025.jpg',
    ]
    assert archives.keys(['car/000000000009.jpg', 'bus/000000000009.jpg'])[0] == 'car/000000000009.jpg'
    assert archives.keys(['a.jpg', 'b/c.jpg']) == ['a.jpg', 'b/c.jpg'] and archives.keys([]) == []
    for names in (['a.jpg', 'a.jpg'], ['a.jpg', 'a.jpg/b.jpg'], ['\udcff.jpg']):
        with pytest.raises(CouldNotStart):
            archives.keys(names)


def test_names_that_are_no_archives(tmp_path):
    (tmp_path / 'folder.zip').mkdir()
    for path in ('maps', 'maps.tar', 'maps.hdf5.bak', tmp_path / 'folder.zip'):
        with pytest.raises(CouldNotStart):
            archives.check(path)
    archives.check('maps.HDF5')


def test_without_h5py(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(CouldNotStart, match='pip install h5py'):
        archives.check('maps.hdf5')
    archives.check('maps.zip')


# --- whole or not at all ---


@pytest.mark.parametrize('name', ['m.hdf5', 'm.zip'])
def test_a_broken_map_leaves_the_archive_of_before(tmp_path, maps, name):
    files, _ = maps
    archives.write(tmp_path / name, files, PROVENANCE)
    before = (tmp_path / name).read_bytes()
    with open(files['Action/102.jpg'], 'r+b') as file:
        file.truncate(100)
    broken = {**files, 'Action/103.jpg': 'nowhere.npy'} if name == 'm.zip' else files
    with pytest.raises(HadToStop, match='was not written'):
        archives.write(tmp_path / name, broken, PROVENANCE)
    assert (tmp_path / name).read_bytes() == before and sorted(os.listdir(tmp_path)) == sorted([name, 'maps'])


@pytest.mark.parametrize('name', ['m.hdf5', 'm.zip'])
def test_a_full_disk(small_disk, tmp_path, name):
    files = {}
    for number in range(8):
        files[f'{number}.jpg'] = str(tmp_path / f'{number}.npy')
        np.save(files[f'{number}.jpg'], RANDOM.rand(200, 200))
    with pytest.raises(OSError) as error:
        archives.write(small_disk / name, files, PROVENANCE)
    assert 'No space left' in str(error.value) and os.listdir(small_disk) == []


@pytest.mark.parametrize('name', ['m.hdf5', 'm.zip'])
def test_a_killed_process_leaves_the_archive_of_before(tmp_path, maps, name):
    files, _ = maps
    archives.write(tmp_path / name, files, PROVENANCE)
    before = (tmp_path / name).read_bytes()
    code = (
        'import os, sys, json; sys.path.insert(0, sys.argv[1]); from utils import archives\n'
        'read, left = archives.read_bytes, [2]\n'
        'def killed(path):\n'
        '    left[0] -= 1\n'
        '    return read(path) if left[0] else os.kill(os.getpid(), 9)\n'
        'archives.read_bytes = killed\n'
        'archives.write(sys.argv[2], json.loads(sys.argv[3]), {})\n'
    )
    done = subprocess.run([sys.executable, '-c', code, ROOT, tmp_path / name, json.dumps(files)], check=False)
    assert done.returncode == -9 and (tmp_path / name).read_bytes() == before


def test_a_disk_that_does_not_keep_what_it_is_given(tmp_path, maps, monkeypatch):
    files, _ = maps
    array = archives._array
    count = iter(range(100))
    monkeypatch.setattr(archives, '_array', lambda path: array(path) + (next(count) > 3))
    with pytest.raises(OSError, match='is the disk sound'):
        archives.write(tmp_path / 'm.hdf5', files, PROVENANCE)
    assert os.listdir(tmp_path) == ['maps']


# --- archives from anywhere ---


def refused(path, *words):
    """The sentence for an archive or a map in it, which must come soon and name the file."""
    start = time.process_time()
    with pytest.raises((CouldNotStart, Unreadable)) as error:
        for member in archives.members(path).values():
            member.read()
    sentence = str(error.value)
    assert time.process_time() - start < 5 and path.name in sentence and '\n' not in sentence
    assert all(word in sentence for word in words), sentence


def zipped(path, *members, compression=None):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return path


PNG = cv2.imencode('.png', np.eye(30, dtype=np.uint8))[1].tobytes()


@pytest.mark.parametrize('name', ['/etc/i1.png', '../i1.png', 'a/../../i1.png', '..\\i1.png', 'C:\\i1.png'])
def test_names_that_lead_out_of_a_zip(tmp_path, name):
    refused(zipped(tmp_path / 'm.zip', ('i2.png', PNG), (name, PNG)), 'leads out')
    assert os.listdir(tmp_path) == ['m.zip']


@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize('names', [('i1.png', 'i1.png'), ('i1.png', 'i1.npy'), ('a/i1.png', 'a//i1.png')])
def test_two_maps_of_one_image_in_a_zip(tmp_path, names):
    refused(zipped(tmp_path / 'm.zip', *((name, PNG) for name in names)), 'both')


def test_what_desktops_put_into_zips(tmp_path):
    names = ('maps/i1.png', '__MACOSX/maps/._i1.png', 'maps/.DS_Store', 'maps/', 'readme.txt')
    assert list(archives.members(zipped(tmp_path / 'm.zip', *((name, PNG) for name in names)))) == ['maps/i1']
    refused(zipped(tmp_path / 'empty.zip'), 'no maps')


def test_a_zip_bomb(tmp_path):
    zeros = bytes(2**28)
    path = zipped(tmp_path / 'm.zip', ('i1.npy', zeros), compression=zipfile.ZIP_DEFLATED)
    refused(path, 'unpacked')
    # the same behind a directory that says it is small
    data = path.read_bytes().replace(struct.pack('<I', 2**28), struct.pack('<I', 1000))
    path.write_bytes(data)
    peak = memory_while(lambda: refused(path, 'i1.npy'))
    assert peak < 2**26
    for compression in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        refused(zipped(path, ('i1.npy', zeros[: 2**24]), compression=compression), 'deflate')


def memory_while(function):
    """The most bytes that Python and NumPy hold while a function runs."""
    import tracemalloc

    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_an_encrypted_zip(tmp_path):
    path = zipped(tmp_path / 'm.zip', ('i1.png', PNG))
    data = bytearray(path.read_bytes())
    data[6] |= 1  # of the local header, and of the directory's
    data[data.index(b'PK\1\2') + 8] |= 1
    path.write_bytes(data)
    refused(path, 'encrypted')


@pytest.mark.parametrize('name', ['m.hdf5', 'm.zip'])
def test_cut_anywhere(tmp_path, maps, name):
    files, _ = maps
    archives.write(tmp_path / name, files, PROVENANCE)
    data = (tmp_path / name).read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 100):
        path = tmp_path / f'cut.{name}'
        path.write_bytes(data[:length])
        refused(path)
        assert archives.provenance(path) is None
    for missing in (tmp_path / f'none.{name}', tmp_path / name / 'x.zip'):
        refused(missing)


@pytest.mark.parametrize('name', ['m.hdf5', 'm.zip'])
def test_flipped_bytes_are_a_sentence_or_an_array(tmp_path, maps, name):
    files, _ = maps
    archives.write(tmp_path / name, files, PROVENANCE)
    data = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
    path = tmp_path / f'flipped.{name}'
    for seed in range(60):
        random = np.random.RandomState(seed)
        broken = data.copy()
        broken[random.randint(0, min(len(data), 4000 if seed % 2 else len(data)), 8)] = random.randint(
            0, 256, 8
        )
        path.write_bytes(broken.tobytes())
        try:
            for member in archives.members(path).values():
                assert isinstance(member.read(), (bytes, np.ndarray))
        except CouldNotStart as error:
            assert path.name in str(error)


@pytest.fixture
def hdf5(tmp_path):
    """Makes an HDF5 file by a function of the open file; returns its path, a new one each time."""

    def make(fill):
        path = tmp_path / f'{len(os.listdir(tmp_path))}.hdf5'
        with h5py.File(path, 'w') as archive:
            fill(archive)
        return path

    return make


def test_hdf5_bombs(hdf5):
    def vast(archive):
        archive.create_dataset('i1.jpg', (10**6, 10**6), 'f8', chunks=True)

    def packed(archive):
        archive.create_dataset('i1.jpg', (8000, 8000), 'f8', chunks=(1000, 1000), compression='gzip')
        archive['i1.jpg'][:100, :100] = 1

    def chunk_of_a_gigabyte(archive):
        archive.create_dataset('i1.jpg', (2, 4), 'f8', chunks=(2**14, 2**13), maxshape=(None, None))

    for fill in (vast, packed, chunk_of_a_gigabyte):
        refused(hdf5(fill), 'unpacked')


def test_hdf5_links_and_references_out_of_it(hdf5, tmp_path):
    secret, other = tmp_path / 'secret.bin', hdf5(lambda archive: archive.update({'i1.jpg': np.eye(5)}))
    secret.write_bytes(bytes(100))

    def links(archive):
        archive['i1.jpg'] = h5py.ExternalLink(str(other), 'i1.jpg')
        archive['i2.jpg'] = h5py.SoftLink('/nothing')

    def external(archive):
        archive.create_dataset('i1.jpg', (5, 5), 'f4', external=[(str(secret), 0, 100)])

    def virtual(archive):
        layout = h5py.VirtualLayout((5, 5), 'f8')
        layout[:] = h5py.VirtualSource(str(other), 'i1.jpg', (5, 5))
        archive.create_virtual_dataset('i1.jpg', layout)

    for fill, said in ((links, 'no maps'), (external, 'another file'), (virtual, 'another file')):
        refused(hdf5(fill), said)


def test_hdf5_groups_in_themselves_and_too_deep(hdf5):
    def within_itself(archive):
        archive['a/i1.jpg'] = np.eye(5)
        archive['a/b'] = archive['a']

    def deep(archive):
        archive['/'.join(['a'] * 500) + '/i1.jpg'] = np.eye(5)

    refused(hdf5(within_itself), 'within themselves')
    refused(hdf5(deep), 'too deep')


def test_hdf5_names_and_kinds(hdf5):
    refused(hdf5(lambda archive: archive.update({'../i1.jpg': np.eye(5)})), 'leads out')
    refused(hdf5(lambda archive: archive.update({'i1.jpg': np.eye(5), 'i1.png': np.eye(5)})), 'both')

    def more(archive):
        archive.update({'i1.jpg': np.eye(5, dtype='f2'), 'about': np.arange(3), 'name': 'text'})
        archive['strings'] = np.array([['a', 'b']], dtype=h5py.string_dtype())

    assert list(archives.members(hdf5(more))) == ['i1']


@pytest.mark.parametrize('name', ['m.hdf5', 'm.zip'])
def test_read_by_threads(tmp_path, maps, name):
    files, arrays = maps
    archives.write(tmp_path / name, files, PROVENANCE)
    members, wrong = archives.members(tmp_path / name), []

    def read():
        for key, array in arrays.items():
            found = members[os.path.splitext(key)[0]].read()
            found = np.load(io.BytesIO(found)) if isinstance(found, bytes) else found
            wrong.extend([] if np.array_equal(found, array) else [key])

    threads = [threading.Thread(target=lambda: [read() for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
