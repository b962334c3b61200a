"""The fixations of a set, from wherever they come, and what is counted over them."""

from collections import Counter

import cv2
import numpy as np
import pytest

from tests.helpers.evaluation_data import (
    SIZE,
    STEMS,
    fixation_map,
    points,
    write_fixation_maps,
    write_json,
    write_maps,
    write_mat,
)
from utils.data_sets.data_set import blurred_map
from utils.errors import CouldNotStart
from utils.evaluation import ground_truth
from utils.evaluation.ground_truth import GroundTruth, sample_stem
from utils.samples import ImageContainer, InputType, Target, writer

BLANK = np.zeros((192, 256, 3), np.uint8)


def pickle_of(path, names, stream=False, **more):
    with writer(path, stream=stream) as add:
        for number, name in enumerate(names):
            fixation = ImageContainer(tuple(points(number).T), 'f', InputType.fixationMapMatlab)
            image = ImageContainer(BLANK, name, InputType.image)
            add(Target(image, fixation=fixation, size=SIZE, **more))
    return path


def test_fixation_maps(tmp_path):
    truth = ground_truth.read(str(write_fixation_maps(tmp_path / 'fix')))
    assert (truth.layout, truth.fixation_type, truth.fixation_filter) == ('fixation maps', None, 'none')
    assert list(truth.images) == STEMS and not truth.unread and not truth.problems
    for number, stem in enumerate(STEMS):
        assert truth.images[stem].size == SIZE
        assert np.array_equal(truth.fixation_map(stem), fixation_map(number) > 0)


def test_json_and_its_filter(tmp_path):
    path = str(write_json(tmp_path / 'fixations_val2014.json'))
    truth = ground_truth.read(path)
    assert (truth.layout, truth.fixation_filter) == ('2015 JSON', 'duplicates')
    # a location recorded m times is kept m - 1 times
    recorded = Counter(map(tuple, [*points(0), *points(0)[:30]]))
    kept = Counter(map(tuple, truth.images[STEMS[0]].points.tolist()))
    assert kept == +Counter({place: times - 1 for place, times in recorded.items()})
    everything = ground_truth.read(path, fixation_filter='none')
    assert len(everything.images[STEMS[0]].points) == 90
    assert (everything.read, everything.outside) == (90 * len(STEMS), 0)


def test_folder_of_mat_files_inside_a_data_set(tmp_path):
    (tmp_path / 'fixations').mkdir()
    (tmp_path / 'images').mkdir()
    write_mat(tmp_path / 'fixations' / 'COCO_val2014_1.mat', fixation_map(1) > 0)
    truth = ground_truth.read(str(tmp_path))
    assert truth.layout == '2015 .mat'
    assert np.array_equal(truth.fixation_map('COCO_val2014_1'), fixation_map(1) > 0)


@pytest.mark.parametrize('stream', [False, True])
def test_pickles_of_01(tmp_path, stream):
    names = [f'images/val/{stem}.png' for stem in STEMS]
    path = str(pickle_of(tmp_path / 'validationData.pickle', names, stream))
    truth = ground_truth.read(path)
    assert list(truth.images) == [f'val/{stem}' for stem in STEMS]
    assert np.array_equal(truth.images[f'val/{STEMS[3]}'].points, points(3))
    assert truth.images[f'val/{STEMS[3]}'].size == SIZE
    with pytest.raises(CouldNotStart, match='as 01 chose them'):
        ground_truth.read(path, fixation_filter='none')


def test_pickles_with_doubtful_samples(tmp_path):
    path = pickle_of(tmp_path / 'p.pickle', ['/data/a.png', '/data/a.png', '/data/b.png'])
    truth = ground_truth.read(str(path))
    assert list(truth.images) == ['a', 'b'] and 'name as another' in truth.problems[0]
    with writer(tmp_path / 'out.pickle') as add:
        fixation = ImageContainer((np.array([100]), np.array([3])), 'f', InputType.fixationMapMatlab)
        add(Target(ImageContainer(BLANK, 'c.png', InputType.image), fixation=fixation, size=SIZE))
    with pytest.raises(CouldNotStart, match='outside the image'):
        ground_truth.read(str(tmp_path / 'out.pickle'))
    with writer(tmp_path / 'test.pickle') as add:
        add(Target(ImageContainer(BLANK, 'd.png', InputType.image)))
    with pytest.raises(CouldNotStart, match='no image with fixations'):
        ground_truth.read(str(tmp_path / 'test.pickle'))


@pytest.mark.parametrize(
    'name, stem',
    [('images/x/a.b.png', 'x/a.b'), ('/home/me/COCO_1.jpg', 'COCO_1'), ('C:\\set\\a.png', 'a'),
     (None, '000007'), ('', '000007'), (b'/old/python2.png', 'python2')],
)  # fmt: skip
def test_stems_of_samples(name, stem):
    assert sample_stem(Target(ImageContainer(BLANK, name, InputType.image)), 7) == stem


def test_no_fixations_in_jpegs_or_blurred_maps(tmp_path):
    folder = write_fixation_maps(tmp_path)
    cv2.imwrite(str(folder / 'smeared.jpg'), cv2.GaussianBlur(fixation_map(0), (0, 0), 1))
    cv2.imwrite(str(folder / 'blurred.png'), np.full(SIZE, 9, np.uint8))
    (folder / 'broken.png').write_bytes(b'\x89PNG')
    truth = ground_truth.read(str(folder))
    assert list(truth.images) == STEMS
    assert set(truth.unread) == {'smeared', 'blurred', 'broken'}
    assert all('--ground-truth' in truth.unread[stem] for stem in ('smeared', 'blurred'))


def test_no_images_larger_than_any(tmp_path):
    path = write_json(tmp_path / 'fixations_val2014.json')
    path.write_text(path.read_text().replace('"height": 96', '"height": 960000000', 1))
    truth = ground_truth.read(str(path))
    assert list(truth.images) == STEMS[1:] and 'too large' in truth.unread[STEMS[0]]


@pytest.mark.parametrize('name', ['not there', 'empty folder', 'text.json', 'text.pickle'])
def test_nothing_to_read(tmp_path, name):
    (tmp_path / 'empty folder').mkdir()
    for text in ('text.json', 'text.pickle'):
        (tmp_path / text).write_text('no')
    with pytest.raises(CouldNotStart, match=name):
        ground_truth.read(str(tmp_path / name))


def test_blurred_maps(tmp_path):
    truth = ground_truth.read(str(write_fixation_maps(tmp_path / 'fix')))
    made = truth.blurred(STEMS[0])
    # sigma 19 where the longer side is 640: 3.8 for 128
    assert np.array_equal(made, blurred_map(np.argwhere(fixation_map(0)), SIZE, 3.8))
    write_maps(tmp_path / 'blurred', STEMS[1:])
    with pytest.raises(CouldNotStart, match=STEMS[0]):
        truth.blur_from(str(tmp_path / 'blurred'))
    truth.blur_from(str(tmp_path / 'blurred'), allow_missing=True)
    assert list(truth.images) == STEMS[1:] and list(truth.unread) == STEMS[:1]
    assert truth.blurred(STEMS[1]).dtype == np.uint8


def test_other_fixations(tmp_path):
    truth = ground_truth.read(str(write_fixation_maps(tmp_path)))
    maps = {stem: (fixation_map(number) > 0).astype(int) for number, stem in enumerate(STEMS)}
    total = sum(maps.values())
    assert np.array_equal(truth.counts(SIZE), total)
    assert np.array_equal(truth.other_fixations(STEMS[2], 0, seed=0), total - maps[STEMS[2]])
    assert np.array_equal(truth.counts(SIZE), total)  # a caller's copy was changed, not this
    assert np.array_equal(truth.other_fixations(STEMS[2], 99, seed=0), total - maps[STEMS[2]])
    few = truth.other_fixations(STEMS[2], 3, seed=4)
    assert np.array_equal(few, truth.other_fixations(STEMS[2], 3, seed=4))
    assert not np.array_equal(few, truth.other_fixations(STEMS[2], 3, seed=5))
    drawn = [
        stem for stem in STEMS if stem != STEMS[2] and np.all(few[maps[stem] > 0] > 0) and maps[stem].any()
    ]
    assert len(drawn) == 3 and np.array_equal(few, sum(maps[stem] for stem in drawn))


def test_other_images_of_other_sizes():
    truth = GroundTruth('by hand')
    truth.add('small', [[0, 0], [1, 3], [1, 3]], (2, 4))
    truth.add('large', [[5, 5]], (20, 40))
    assert np.argwhere(truth.other_fixations('large', 1, 0)).tolist() == [[5, 5], [15, 35]]
    assert truth.other_fixations('large', 0, 0)[5, 5] == 1
    assert np.argwhere(truth.other_fixations('small', 1, 0)).tolist() == [[0, 0]]


def test_fixations_are_kept_in_four_bytes():
    truth = GroundTruth('by hand')
    truth.add('a', np.array([[479, 639]]), (480, 640))
    truth.add('wide', np.array([[0, 70_000]]), (1, 80_000))
    assert truth.images['a'].points.nbytes == 4
    assert truth.images['wide'].points.tolist() == [[0, 70_000]]
