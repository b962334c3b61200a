"""COCO-Freeview's list of scanpaths, whole, broken and hostile."""

import json

import numpy as np
import pytest

from utils.data_sets.scanpaths import Scanpaths
from utils.errors import Unreadable

ONE = {'name': 'a.b.jpg', 'subject': 1, 'X': [5.9, 1.2, 7], 'Y': [3.1, 2.9, 8], 'split': 'valid'}


def read(path, contents):
    path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    return Scanpaths([path])


def test_the_first_fixation_of_each_is_left_out_unless_kept(tmp_path):
    scanpaths = read(
        tmp_path / 'a.json', [ONE, {**ONE, 'subject': 2}, {**ONE, 'name': 'c.jpg', 'split': 'train'}]
    )
    assert scanpaths.images == {'a.b': 'val', 'c': 'train'}
    assert scanpaths.points('c').tolist() == [[2.9, 1.2], [8, 7]]
    assert scanpaths.points('c', keep_first=True).tolist() == [[3.1, 5.9], [2.9, 1.2], [8, 7]]
    assert len(scanpaths.points('a.b')) == 4 and scanpaths.points('nothing').shape == (0, 2)


def test_what_is_no_fixation_lies_nowhere(tmp_path):
    text = '[{"name": "a.jpg", "X": [0, NaN, 1e999, -1e999], "Y": [0, 1, 1, 1]}]'
    points = read(tmp_path / 'a.json', text).points('a', keep_first=True)
    assert np.isfinite(points).all(axis=1).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    'contents, message',
    [
        ('', 'cut short'),
        ('[', 'cut short'),
        ('{"images": []}', "one of '\\['"),
        ('[' * 100_000, 'nested too deeply'),
        ('[{"name": ' + '[' * 100_000, 'nested too deeply'),
        ('[1, 2]', 'not an object'),
        ('[{"bbox": [1, 2], "image_id": 7}]', 'without name, X, Y; it holds bbox, image_id'),
        ([{**ONE, 'name': 5}], 'whose name is not text'),
        ([{**ONE, 'X': 'abc'}], 'X or Y is not a list'),
        ([{**ONE, 'X': ['a', 'b', 'c']}], 'something other than numbers'),
        ([{**ONE, 'X': [[1], [2], [3]]}], 'something other than numbers'),
        ([{**ONE, 'X': [1]}], '1 numbers in X, 3 in Y'),
        ([{**ONE, 'X': [10**400, 1, 1]}], 'something other than numbers'),
        ('[{"name": "a.jpg", "X": [1' + '0' * 10_000 + '], "Y": [1]}]', 'not a list of scanpaths'),
    ],
)
def test_what_is_no_list_of_scanpaths(tmp_path, contents, message):
    with pytest.raises(Unreadable, match=message) as raised:
        read(tmp_path / 'a.json', contents)
    assert 'a.json: not a list of scanpaths' in str(raised.value) and '\n' not in str(raised.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(Unreadable, match='no.json: No such file'):
        Scanpaths([tmp_path / 'no.json'])


def test_more_points_than_any_set_has(tmp_path, monkeypatch):
    monkeypatch.setattr('utils.data_sets.scanpaths.MOST_POINTS', 5)
    with pytest.raises(Unreadable, match='more than 5 fixations'):
        read(tmp_path / 'a.json', [ONE, ONE])
