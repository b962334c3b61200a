"""What the self-check says of data that are right, and of data that are wrong in one way."""

import numpy as np
import pytest

from tests.helpers.evaluation_data import SIZE, STEMS, points, saliency_map, write_maps
from utils.evaluation import self_check
from utils.evaluation.ground_truth import GroundTruth
from utils.evaluation.scores import METRICS, Settings
from utils.evaluation.self_check import OK, UNSURE, WRONG, check


def settings(protocol='mit'):
    return Settings(protocol, METRICS[protocol], None, 10, None, 0)


def truth_of(change=lambda y, x: (y, x), layout='fixation maps', size=SIZE):
    truth = GroundTruth(layout)
    for number, stem in enumerate(STEMS):
        moved = np.stack(change(*points(number).T), axis=1)
        truth.add(stem, moved[np.all(moved < size, axis=1)], size)
        truth.read += len(moved)
        truth.outside += int(np.sum(~np.all(moved < size, axis=1)))
    return truth


@pytest.fixture
def files(tmp_path):
    write_maps(tmp_path)
    return {stem: str(tmp_path / f'{stem}.png') for stem in STEMS}


def verdicts(said, start):
    found = [verdict for verdict, sentence in said if sentence.startswith(start)]
    assert found, f'nothing begins with {start!r} in {said}'
    return set(found)


@pytest.mark.parametrize('protocol', METRICS)
@pytest.mark.parametrize('with_maps', [False, True])
def test_what_is_right_is_not_called_wrong(files, protocol, with_maps):
    rows, said = check(truth_of(), settings(protocol), files if with_maps else None)
    assert not [sentence for verdict, sentence in said if verdict == WRONG]
    assert set(rows) == {
        self_check.ITSELF, self_check.CONSTANT, self_check.CENTRE, self_check.ANOTHER
    } | ({self_check.MAPS} if with_maps else set())  # fmt: skip
    assert all(set(values) == set(METRICS[protocol]) for values in rows.values())


@pytest.mark.parametrize(
    'way, change',
    [
        ('with row and column swapped', lambda y, x: (x, y)),
        ('transposed', lambda y, x: (x * 96 // 128, y * 128 // 96)),
        ('upside down', lambda y, x: (95 - y, x)),
        ('mirrored', lambda y, x: (y, 127 - x)),
        ('turned by 180 degrees', lambda y, x: (95 - y, 127 - x)),
    ],
)
def test_mixed_up_coordinates_are_named(files, way, change):
    _, said = check(truth_of(change), settings(), files)
    (sentence,) = [text for verdict, text in said if text.startswith('NSS of the maps') and 'as the' in text]
    assert verdicts(said, 'NSS of the maps') >= {WRONG} and sentence.endswith(way)


def test_swapped_coordinates_show_without_maps():
    _, said = check(truth_of(lambda y, x: (x, y)), settings())
    assert verdicts(said, f'{truth_of(lambda y, x: (x, y)).outside} of 720 points') == {WRONG}
    assert verdicts(said, 'NSS of a centre Gaussian') == {WRONG}


def test_swapped_coordinates_show_where_none_lies_outside():
    # as in a fixation map that was written with the coordinates cut to the image
    _, said = check(truth_of(lambda y, x: (np.minimum(x, 95), y)), settings())
    assert verdicts(said, '0 of 720 points') == {OK}
    assert verdicts(said, 'NSS of a centre Gaussian') == {WRONG}


def test_another_images_maps_are_called_wrong(files):
    turned = dict(zip(STEMS, [*files.values()][3:] + [*files.values()][:3]))
    _, said = check(truth_of(), settings(), turned)
    assert WRONG in verdicts(said, 'NSS of the maps')
    assert any('are the names right?' in sentence for verdict, sentence in said if verdict == WRONG)


def test_blurred_maps_of_other_images_are_called_wrong(tmp_path):
    truth = truth_of()
    for number, stem in enumerate(STEMS):
        np.save(tmp_path / f'{stem}.npy', saliency_map((number + 4) % len(STEMS)).astype(float) ** 4)
    truth.blur_from(str(tmp_path))
    _, said = check(truth, settings())
    assert WRONG in {verdict for verdict, _ in said}


def test_transposed_maps_show_by_their_shape(tmp_path):
    for number, stem in enumerate(STEMS):
        np.save(tmp_path / f'{stem}.npy', saliency_map(number).T)
    _, said = check(truth_of(), settings(), {stem: str(tmp_path / f'{stem}.npy') for stem in STEMS})
    assert verdicts(said, 'maps: 128 rows x 96 columns, the image: 96 rows x 128 columns') == {WRONG}


def test_transposed_images_of_salicon_show_by_their_shape():
    _, said = check(truth_of(layout='2015 .mat'), settings())
    assert verdicts(said, 'all of SALICON has 480 rows x 640 columns, but') == {WRONG}


@pytest.mark.parametrize(
    'images, samples, verdict',
    [(5000, 38_846_998, OK), (5000, 20_000_000, WRONG), (4000, 20_000_000, UNSURE)],
)
def test_the_edition_shows_by_its_totals(images, samples, verdict):
    truth = truth_of(layout='gaze .mat')
    truth.totals = {'val': {'images': images, 'mouse samples': samples, 'fixations': 1}}
    _, said = check(truth, settings())
    assert verdicts(said, f'val: {images} images') == {verdict}


def test_unfiltered_samples_show_by_the_nss_that_can_be_reached():
    truth = GroundTruth('2015 JSON')
    for number, stem in enumerate(STEMS):
        truth.add(stem, points(number, count=9000), SIZE)
    _, said = check(truth, settings())
    (found,) = [
        text for verdict, text in said if verdict == WRONG and 'the most that a map can reach' in text
    ]
    assert '--fixation-filter duplicates' in found


def test_one_image_is_too_few_to_be_certain():
    truth = GroundTruth('fixation maps')
    truth.add('one', points(0), SIZE)
    _, said = check(truth, settings())
    assert WRONG not in {verdict for verdict, _ in said}
    truth.add('none', np.zeros((0, 2), int), SIZE)
    _, said = check(truth, settings())
    assert verdicts(said, '1 image without fixations') == {UNSURE}


def test_nothing_fixated_at_all():
    truth = GroundTruth('fixation maps')
    truth.add('none', np.zeros((0, 2), int), SIZE)
    rows, said = check(truth, settings())
    assert rows == {} and said


def test_no_more_than_some_images_are_scored(monkeypatch):
    scored, check_image = [], self_check._check_image

    def counted(number, **more):
        scored.append(number)
        return check_image(number, **more)

    monkeypatch.setattr(self_check, 'MOST', 3)
    monkeypatch.setattr(self_check, '_check_image', counted)
    check(truth_of(), settings())
    assert scored == [0, 1, 2]
