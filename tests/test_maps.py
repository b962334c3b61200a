"""Folders of maps: what is found, whose it is, and what cannot be read."""

import struct

import cv2
import numpy as np
import pytest

from tests.helpers.evaluation_data import write_mat
from utils.errors import CouldNotStart, Unreadable
from utils.evaluation.maps import find_maps, match, read_map

MAP = np.arange(20, dtype=np.uint8).reshape(4, 5)


def found_in(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b'')
    return {stem: path[len(str(folder)) + 1 :] for stem, path in find_maps(folder).items()}


def test_finds_maps_in_subfolders(tmp_path):
    found = found_in(tmp_path, 'a.png', 'val/b.c.jpg', '.hidden.png', 'notes.txt')
    assert found == {'a': 'a.png', 'val/b.c': 'val/b.c.jpg'}


def test_takes_one_of_the_formats_that_03_wrote_and_no_overlays(tmp_path):
    names = [
        'a.jpg',
        'a.npy',
        'a.png',
        'a_overlay.jpg',
        'b.jpg',
        'b.npy',
        'b_overlay.jpg',
        'contact_sheet.jpg',
    ]
    assert found_in(tmp_path, *names) == {'a': 'a.png', 'b': 'b.jpg'}


def test_linked_folders_are_walked_and_circles_left(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'a.png').write_bytes(b'')
    (tmp_path / 'maps' / '.hidden').mkdir(parents=True)
    (tmp_path / 'maps' / '.hidden' / 'b.png').write_bytes(b'')
    (tmp_path / 'maps' / 'val').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'elsewhere' / 'again').symlink_to(tmp_path / 'maps')
    assert set(find_maps(tmp_path / 'maps')) == {'val/a'}


def test_an_image_may_be_called_overlay(tmp_path):
    assert set(found_in(tmp_path, 'x_overlay.png', 'contact_sheet.png')) == {'x_overlay', 'contact_sheet'}


@pytest.mark.parametrize('content', [None, []])
def test_no_folder_or_no_maps(tmp_path, content):
    folder = tmp_path / 'maps'
    if content is not None:
        folder.mkdir()
    with pytest.raises(CouldNotStart, match='maps'):
        find_maps(folder)


@pytest.mark.parametrize(
    'stems, files, matched, missing, extra',
    [
        (['a', 'b'], ['a', 'b'], {'a': 'a', 'b': 'b'}, [], []),
        (['val/a', 'b'], ['a', 'x/b'], {'val/a': 'a', 'b': 'x/b'}, [], []),
        (['x/a', 'y/a'], ['x/a', 'y/a'], {'x/a': 'x/a', 'y/a': 'y/a'}, [], []),
        (['x/a', 'y/a'], ['a'], {}, ['x/a', 'y/a'], ['a']),  # whose would it be?
        (['a'], ['x/a', 'y/a'], {}, ['a'], ['x/a', 'y/a']),
        (['a', 'b'], ['b', 'c'], {'b': 'b'}, ['a'], ['c']),
        (['a', 'z/a'], ['a', 'a/a'], {'a': 'a', 'z/a': 'a/a'}, [], []),
    ],
)
def test_whose_map_it_is(stems, files, matched, missing, extra):
    assert match(stems, {name: name for name in files}) == (matched, missing, extra)


def test_reads_every_kind(tmp_path):
    cv2.imwrite(str(tmp_path / 'm.png'), MAP)
    np.save(tmp_path / 'm.npy', MAP / 255)
    write_mat(tmp_path / 'm.mat', MAP / 255)
    assert read_map(str(tmp_path / 'm.png')).dtype == np.uint8
    assert np.array_equal(read_map(str(tmp_path / 'm.png')), MAP)
    assert np.array_equal(read_map(str(tmp_path / 'm.npy')), MAP / 255)
    assert np.array_equal(read_map(str(tmp_path / 'm.mat')), MAP / 255)


def _npy_header(text):
    header = text.encode().ljust(117) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header


@pytest.mark.parametrize(
    'name, content',
    [
        ('empty.png', b''),
        ('empty.npy', b''),
        ('empty.mat', b''),
        ('text.png', b'no image'),
        ('text.npy', b'no array'),
        ('cut.npy', _npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 5)}") + bytes(8)),
        ('huge.npy', _npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**6, 10**6)}")),
        ('claims.npy', _npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}")),
        (
            'pickle.npy',
            _npy_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b'cos\nsystem\n.',
        ),
    ],
)
def test_broken_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unreadable, match=name):
        read_map(str(tmp_path / name))
    with pytest.raises(Unreadable, match='not_there'):
        read_map(str(tmp_path / f'not_there_{name}'))


@pytest.mark.parametrize(
    'array',
    [np.eye(6).reshape(3, 4, 3), np.zeros((0, 3)), np.zeros(4), np.array([['a']]), np.full((2, 2), np.nan),
     np.full((2, 2), np.inf), np.zeros((2, 2), complex)],
)  # fmt: skip
def test_arrays_that_are_no_maps(tmp_path, array):
    np.save(tmp_path / 'm.npy', array)
    with pytest.raises(Unreadable, match='m.npy'):
        read_map(str(tmp_path / 'm.npy'))


def test_maps_larger_than_any_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('utils.data_sets.readers.LARGEST', 19)
    cv2.imwrite(str(tmp_path / 'm.png'), MAP)
    with pytest.raises(Unreadable, match='m.png: 20 pixels'):
        read_map(str(tmp_path / 'm.png'))
