"""SALICON's layouts: found, named, and read to the same fixations and maps."""

import json

import cv2
import numpy as np
import pytest
import scipy.io

from tests.conftest import GOLDEN
from tests.helpers import layouts
from tests.helpers.layouts import SIZE
from utils.data_sets import salicon
from utils.data_sets.data_set import blurred_map, splits_of
from utils.errors import CouldNotStart, Unreadable

RECORDS = GOLDEN / 'network' / 'preprocess'


def rows(points):
    """Points as a sorted list of tuples, to compare with."""
    return sorted(map(tuple, np.asarray(points).tolist()))


def repeated(points):
    """What the filter keeps, from its words: a location recorded m times is kept m - 1 times."""
    points = rows(points)
    return [point for i, point in enumerate(points) if i and points[i - 1] == point]


# --- finding ---


def test_the_recorded_set():
    data_set = salicon.find(RECORDS / 'input')
    assert data_set.layout == salicon.MAT_2015 and data_set.fixation_filter == 'none'
    assert [record.stem for record in data_set.records] == [
        'COCO_test2014_000000000027',
        'COCO_train2014_000000000009',
        'COCO_train2014_000000000025',
        'COCO_val2014_000000000133',
    ]
    assert [record.splits for record in data_set.records] == [('test',), ('train',), ('train',), ('val',)]
    expected = json.loads((RECORDS / 'preprocess.json').read_text())['trainData']['samples']
    for record, sample in zip(data_set.records[1:3], expected):
        fixations = data_set.fixations(record)
        assert fixations.points[:, 0].tolist() == sample['fixation']['rows']
        assert fixations.points[:, 1].tolist() == sample['fixation']['columns']
        assert fixations.points.dtype == np.int64 and fixations.size == (480, 640)
        matrix = scipy.io.loadmat(record.map)['I']
        np.testing.assert_array_equal(data_set.saliency_map(record), (matrix * 255).astype(np.uint8))


def test_fixations_alone(tmp_path):
    layouts.write_gaze_set(tmp_path, {'train': 2, 'val': 1, 'test': 1})
    data_set = salicon.find(fixations=tmp_path / 'fixations')
    assert data_set.layout == salicon.GAZE and data_set.folders['images'] is None
    assert [record.stem.split('/')[0] for record in data_set.records] == ['train', 'train', 'val']
    assert all(record.image is record.map is None for record in data_set.records)
    assert len(data_set.fixations(data_set.records[0]).points) == 20


def test_gaze_layout(tmp_path):
    seen = layouts.observers(3)
    seen.append({'location': np.zeros((0, 2), int), 'fixations': np.zeros((0, 2), int)})
    layouts.write_gaze(tmp_path, 'train/a', np.full(SIZE, 7, np.uint8), seen)
    for kind in ('fixations', 'mouse'):
        expected = np.concatenate([o['location' if kind == 'mouse' else 'fixations'] for o in seen])
        for chosen in ('none', 'duplicates', None):
            data_set = salicon.find(tmp_path, fixation_type=kind, fixation_filter=chosen)
            fixations = data_set.fixations(data_set.records[0])
            filtered = (chosen or {'mouse': 'duplicates'}.get(kind)) == 'duplicates'
            assert [*map(tuple, fixations.points)] == (repeated(expected) if filtered else rows(expected))
            assert fixations[1:] == (SIZE, 0, 20, 120)
    np.testing.assert_array_equal(data_set.saliency_map(data_set.records[0]), np.full(SIZE, 7))


def test_points_outside_are_dropped_and_counted(tmp_path):
    points = np.array([[0, 0], [47, 63], [48, 0], [0, 64], [-1, 5], [5, -1], [2, 3], [2, 3]])
    seen = [{'location': points, 'fixations': points}]
    layouts.write_gaze(tmp_path, 'train/a', np.ones(SIZE, np.uint8), seen)
    data_set = salicon.find(tmp_path)
    fixations = data_set.fixations(data_set.records[0])
    assert rows(fixations.points) == [(0, 0), (2, 3), (2, 3), (47, 63)] and fixations.outside == 4
    gaze = np.zeros(1, [('location', 'O'), ('fixations', 'O')])
    gaze[0]['location'] = gaze[0]['fixations'] = np.array([[np.nan, 1], [np.inf, 2], [-np.inf, 2], [4, 5]])
    scipy.io.savemat(tmp_path / 'fixations/train/a.mat', {'gaze': gaze, 'resolution': [48, 64]})
    fixations = data_set.fixations(data_set.records[0])
    assert rows(fixations.points) == [(4, 3)] and fixations.outside == 3
    gaze[0]['location'] = gaze[0]['fixations'] = np.array([[0, 1], [255, 255], [64, 48]], np.uint8)
    for resolution, expected in (([48, 64], [(47, 63)]), ([480, 640], [(47, 63), (254, 254)])):
        scipy.io.savemat(tmp_path / 'fixations/train/a.mat', {'gaze': gaze, 'resolution': resolution})
        assert rows(data_set.fixations(data_set.records[0]).points) == expected


def test_json_layout(tmp_path):
    points = [np.array([[1, 2], [1, 2], [47, 63]]), np.array([[1, 2], [0, 0], [50, 70]])]
    layouts.write_json(
        tmp_path / 'fixations_train2014.json',
        [(7, 'COCO_train2014_7.jpg', SIZE)],
        [(7, points[0]), (7, points[1])],
    )
    layouts.write_json(
        tmp_path / 'fixations_val2014.json', [(8, 'COCO_val2014_8.jpg', SIZE)], [(8, points[1])]
    )
    data_set = salicon.find(tmp_path)
    assert data_set.layout == salicon.JSON and data_set.fixation_filter == 'duplicates'
    train, val = data_set.records
    assert (train.stem, train.splits, val.splits) == ('COCO_train2014_7', ('train',), ('val',))
    fixations = data_set.fixations(train)
    assert rows(fixations.points) == [(1, 2), (1, 2)] and fixations[1:] == (SIZE, 1, None, 6)
    assert len(data_set.fixations(val).points) == 0
    assert len(salicon.find(tmp_path, fixation_filter='none').fixations(train).points) == 5
    assert not data_set.saliency_map(val).any()
    # one file by itself
    data_set = salicon.find(fixations=tmp_path / 'fixations_val2014.json')
    assert [record.stem for record in data_set.records] == ['COCO_val2014_8']


def test_json_beside_other_things(tmp_path):
    layouts.write_json(tmp_path / 'fixations_train2014.json', [(7, 'a_train.jpg', SIZE)], [(7, [[1, 1]])])
    (tmp_path / 'stray').mkdir()
    scipy.io.savemat(tmp_path / 'stray' / 'x.mat', {'I': np.ones(SIZE)})
    assert salicon.find(tmp_path).layout == salicon.JSON


def test_fixation_maps_as_images(tmp_path):
    fixated = layouts.fixation_map(np.array([[3, 4], [20, 30]]))
    (tmp_path / 'fixations').mkdir()
    cv2.imwrite(str(tmp_path / 'fixations' / 'i05.png'), fixated * 255)
    data_set = salicon.find(tmp_path)
    assert data_set.layout == salicon.FIXATION_MAPS and data_set.records[0].splits == ()
    assert rows(data_set.fixations(data_set.records[0]).points) == [(3, 4), (20, 30)]


def test_the_real_images(reference_data):
    data_set = salicon.find(reference_data / 'salicon10')
    every = [data_set.fixations(record) for record in data_set.records]
    assert sum(fixations.samples for fixations in every) == 73630
    assert sum(len(fixations.points) for fixations in every) == 3965
    assert round(np.mean([len(np.unique(fixations.points, axis=0)) for fixations in every])) == 347
    assert all(fixations.outside == 0 for fixations in every)


def test_the_blurred_map():
    points = np.array([[240, 320], [240, 320]])
    blurred = blurred_map(points, (480, 640))
    assert blurred.max() == blurred[240, 320] == 1 and blurred.min() == 0
    assert blurred[240, 320 + 19] == pytest.approx(np.exp(-0.5), abs=1e-3)
    assert not blurred_map(np.zeros((0, 2), int), (48, 64)).any()


@pytest.mark.parametrize(
    'stem, splits',
    [
        ('COCO_train2014_1', ('train',)),
        ('COCO_train_and_val_1', ('train', 'val')),
        ('train/COCO_train2014_1', ('train',)),
        ('val/photo', ('val',)),
        ('train/a_valley', ('train',)),
        ('test/my_train', ('test',)),
        ('train/of_train_and_val', ('train',)),
        ('val/disere_train', ('val',)),
        ('train2014/a_val', ('train',)),
        ('Validation/x', ('val',)),
        ('trainSet/a/b', ('train',)),
        ('training_pictures/x', ()),
        ('photo', ()),
        ('holiday/photo', ()),
    ],
)
def test_splits(stem, splits):
    assert splits_of(stem) == splits


def test_files_are_joined_by_path_or_by_name(tmp_path):
    layouts.write_gaze_set(tmp_path, {'train': 2, 'val': 1})
    flat = tmp_path / 'stimuli'
    flat.mkdir()
    for path in (tmp_path / 'images').rglob('*.jpg'):
        path.rename(flat / path.name)
    data_set = salicon.find(tmp_path, images=flat)
    assert all(record.image and record.map and record.fixations for record in data_set.records)
    assert [record.splits for record in data_set.records] == [('train',), ('train',), ('val',)]


def test_names_with_dots_case_and_other_formats(tmp_path):
    layouts.write_gaze(tmp_path, 'a.b_train', np.ones(SIZE, np.uint8), layouts.observers(1))
    layouts.write_image(tmp_path / 'images', 'a.b_train', layouts.photograph(1))
    (tmp_path / 'images' / 'a.b_train.jpg').rename(tmp_path / 'images' / 'a.b_train.JPG')
    cv2.imwrite(str(tmp_path / 'images' / 'test.tiff'), layouts.photograph(2))
    (tmp_path / 'images' / '.hidden_train.jpg').write_bytes(b'x')
    (tmp_path / 'images' / 'Thumbs.db').write_bytes(b'x')
    data_set = salicon.find(tmp_path)
    assert [record.stem for record in data_set.records] == ['a.b_train', 'test']
    assert data_set.records[0].image and data_set.records[0].fixations


def test_two_of_one_name(tmp_path):
    layouts.write_gaze_set(tmp_path, {'train': 1})
    (path,) = (tmp_path / 'images').rglob('*.jpg')
    cv2.imwrite(str(path.with_suffix('.png')), layouts.photograph(5))
    data_set = salicon.find(tmp_path)
    assert len(data_set.records) == 1 and len(data_set.problems) == 1
    assert 'has the same name' in data_set.problems[0]


def test_links_in_a_circle(tmp_path):
    layouts.write_gaze_set(tmp_path, {'train': 1})
    (tmp_path / 'images' / 'again').symlink_to(tmp_path / 'images')
    assert len(salicon.find(tmp_path).records) == 1


# --- what cannot be read ---


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'salicon': 'nowhere'}, 'no such file or folder'),
        ({'salicon': 'empty'}, 'no folder `fixations`'),
        ({'fixations': 'empty'}, 'no fixations in it'),
        ({'fixations': 'text.txt'}, 'not a folder'),
        ({'fixations': 'text.json'}, 'not a whole annotation file'),
        ({'fixations': 'mat'}, 'none of its 2 .mat files holds a variable I'),
        ({'fixations': 'binary', 'images': 'text.txt'}, 'not a folder'),
        ({'fixations': 'binary', 'fixation_type': 'mouse'}, 'no mouse samples'),
        ({'fixations': 'binary', 'fixation_filter': 'duplicates'}, 'every location once'),
    ],
)
def test_what_cannot_start(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    for folder in ('empty', 'mat', 'binary'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'text.txt').write_text('x')
    (tmp_path / 'text.json').write_text('x')
    (tmp_path / 'mat' / 'a.mat').write_text('x')
    scipy.io.savemat(tmp_path / 'mat' / 'b.mat', {'J': 1})
    scipy.io.savemat(tmp_path / 'binary' / 'b.mat', {'I': np.eye(3)})
    with pytest.raises(CouldNotStart, match=message):
        salicon.find(**arguments)


def test_the_layout_is_found_behind_broken_files(tmp_path):
    layouts.write_gaze_set(tmp_path, {'train': 3})
    first = sorted((tmp_path / 'fixations').rglob('*.mat'))[0]
    first.write_bytes(b'')
    assert salicon.find(tmp_path).layout == salicon.GAZE


POINTS = np.ones((2, 2))
WHOLE = {'location': POINTS, 'fixations': POINTS}
WRONG_GAZE = {
    'no gaze': {'resolution': [48, 64]},
    'no resolution': {'gaze': WHOLE},
    'gaze of numbers': {'gaze': POINTS, 'resolution': [48, 64]},
    'gaze of words': {'gaze': 'words', 'resolution': [48, 64]},
    'no fixations': {'gaze': {'location': POINTS}, 'resolution': [48, 64]},
    'three columns': {'gaze': {**WHOLE, 'fixations': np.ones((2, 3))}, 'resolution': [48, 64]},
    'words in it': {'gaze': {**WHOLE, 'fixations': 'xy'}, 'resolution': [48, 64]},
    'a resolution of words': {'gaze': WHOLE, 'resolution': 'a'},
    'a resolution of one': {'gaze': WHOLE, 'resolution': [4]},
    'no rows': {'gaze': WHOLE, 'resolution': [0, 64]},
    'an endless size': {'gaze': WHOLE, 'resolution': [1e9, 1e9]},
    'no number': {'gaze': WHOLE, 'resolution': [np.nan, 9]},
}


@pytest.mark.parametrize('case', WRONG_GAZE)
def test_a_gaze_file_of_another_kind(tmp_path, case):
    layouts.write_gaze_set(tmp_path, {'train': 2})
    data_set = salicon.find(tmp_path)
    record = data_set.records[1]
    scipy.io.savemat(record.fixations, WRONG_GAZE[case])
    with pytest.raises(Unreadable, match=record.stem):
        data_set.fixations(record)


def test_a_matrix_of_another_kind(tmp_path):
    layouts.write_image(tmp_path / 'images', 'a_train', layouts.photograph(0))
    layouts.write_mat_2015(tmp_path, 'a_train', np.full(SIZE, 0.5), np.array([[1, 1]]))
    data_set = salicon.find(tmp_path)
    record = data_set.records[0]
    assert (data_set.saliency_map(record) == 127).all()
    for wrong in (
        np.full(SIZE, 1.5),
        np.full(SIZE, -0.5),
        np.full(SIZE, np.nan),
        np.full(SIZE, 9, np.uint8),
        'words',
    ):
        scipy.io.savemat(record.map, {'I': wrong})
        with pytest.raises(Unreadable, match='a_train.mat: '):
            data_set.saliency_map(record)
    scipy.io.savemat(record.map, {'J': np.ones(SIZE), 'K': np.ones(SIZE)})
    with pytest.raises(Unreadable, match='no matrix I in it; it holds J .float64 48 x 64., K'):
        data_set.saliency_map(record)
