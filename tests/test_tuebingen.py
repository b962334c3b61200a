"""The benchmark's own numbers, from its code run unmodified, and what holds for degenerate inputs."""

import json
import pickle
import sys
from collections import namedtuple

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.conftest import GOLDEN
from utils.evaluation import tuebingen

sys.path.insert(0, str(GOLDEN / 'tuebingen'))
import inputs_tuebingen  # noqa: E402

Image = namedtuple('Image', 'points size')
RECORD = json.loads((GOLDEN / 'tuebingen' / 'record_tuebingen.json').read_text())
SIX = ('AUC', 'sAUC', 'NSS', 'CC', 'KLDiv', 'SIM')
BITS = 'IG of the log densities, bits, against uniform'
RANDOM = np.random.RandomState(5)


@pytest.fixture(scope='module', params=['repeated', 'merged'])
def recorded(request):
    """A variant of the record; its images, by name; where all their fixations fall in an image of a size."""
    images = inputs_tuebingen.build(RECORD['seed'], request.param == 'repeated')
    part = RECORD['variants'][request.param]
    assert inputs_tuebingen.hashes(images) == part['inputs']
    others = tuebingen.OtherFixations(Image(image['points'], image['size']) for image in images)
    return part, {image['name']: image for image in images}, others


def scores(image, others, sigma=tuebingen.SIGMA):
    return tuebingen.scores(image['map'], image['points'], others.at(image['size']), sigma)


def close(found, expected):
    return found == pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize('dtype', [np.uint8, float])
@pytest.mark.parametrize('column', [9, 60, 90, 140, 199])
def test_sim_as_it_is_defined_wherever_maps_meet(dtype, column):
    """In the middle, at the edge, and nowhere."""
    saliency_map = np.zeros((40, 200), dtype)
    saliency_map[:, 5:12] = 200
    fixations = np.array([[20, column]])
    density = tuebingen.blurred_fixations(fixations, saliency_map.shape, 20)
    expected = np.minimum(saliency_map / saliency_map.sum(dtype=float), density).sum()
    assert tuebingen.scores(saliency_map, fixations, None, 20)['SIM'] == pytest.approx(
        expected, rel=1e-12, abs=0
    )


def test_the_record_image_by_image_and_in_the_mean(recorded):
    part, images, others = recorded
    found = {name: scores(image, others) for name, image in images.items()}
    for name, expected in part['images'].items():
        assert list(found[name]) == list(SIX) and close(found[name], expected), name
    means = {metric: np.mean([values[metric] for values in found.values()]) for metric in SIX}
    assert close(means, part['benchmark'])


def test_the_record_at_other_widths_of_the_blur(recorded):
    part, images, others = recorded
    for sigma, expected in part['other sigmas'].items():
        for name, image in images.items():
            found = scores(image, others, float(sigma))
            assert close(
                {metric: found[metric] for metric in ('CC', 'KLDiv', 'SIM')}, expected['images'][name]
            )


def test_information_gain_of_the_record(recorded):
    part, images, _ = recorded
    for name, expected in part[BITS]['per image'].items():
        found = tuebingen.information_gain(images[name]['logdensity'], images[name]['points'])
        assert close(found, expected)


def test_a_map_of_another_size():
    expected = RECORD['variants']['repeated']['t1 by the map `small`, 52 x 66']
    images = inputs_tuebingen.build(RECORD['seed'])
    others = tuebingen.OtherFixations(Image(image['points'], image['size']) for image in images)
    full = tuebingen.resized(images[0]['small'], images[0]['size'])
    assert close(scores({**images[0], 'map': full}, others), expected)
    assert tuebingen.resized(full, images[0]['size']) is full


def test_the_same_map_as_floats_and_as_eight_bits(recorded):
    """Two ways of counting; and a factor moves nothing."""
    _, images, others = recorded
    for name in ('t1', 't3', 't6', 't8'):
        eight_bits = scores(images[name], others)
        floats = scores({**images[name], 'map': images[name]['map'] / 255}, others)
        assert floats == pytest.approx(eight_bits, rel=1e-12), name


@pytest.mark.parametrize('size', [(7, 300), (40, 31), (1, 1), (250, 200)])
def test_blurred_fixations_are_scipys(size):
    """Also where the Gaussian is longer than the image, so that borders reflect it many times."""
    points = np.stack([RANDOM.randint(0, side, 50) for side in size], axis=1)
    counts = np.zeros(size)
    np.add.at(counts, tuple(points.T), 1)
    for sigma in (3, 23.99, 40):
        expected = gaussian_filter(counts, sigma, mode='reflect') / 50
        found = tuebingen.blurred_fixations(points, size, sigma)
        assert np.abs(found - expected).max() <= 1e-14 * expected.max()
        assert np.array_equal(found == 0, expected == 0)


def test_negatives_are_all_the_fixations_of_the_others_as_often_as_they_are_there():
    points = [np.array([[0, 0], [0, 0], [1, 2]]), np.array([[3, 4], [2, 5]]), np.zeros((0, 2), int)]
    images = [Image(of, size) for of, size in zip(points, [(2, 3), (4, 6), (2, 3)])]
    others = tuebingen.OtherFixations(images)
    assert others.at((2, 3)).tolist() == [0, 0, 1 * 3 + 2, 1 * 3 + 2, 1 * 3 + 2]  # 5 / 2 columns: cut off
    assert others.at((4, 6)).tolist() == [0, 0, 2 * 6 + 4, 2 * 6 + 5, 3 * 6 + 4]
    assert pickle.loads(pickle.dumps(others)).at((2, 3)).tolist() == others.at((2, 3)).tolist()
    saliency_map = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found = tuebingen.scores(saliency_map, points[0], others.at((2, 3)))
    # against the others' two, both at the value 5: none below 0 and 0, half of a tie with 5
    assert found['sAUC'] == pytest.approx((0 + 0 + 0.5) / 3)


def test_constant_maps_whatever_their_value_and_type():
    points = np.array([[1, 2], [5, 5], [5, 5]])
    others = tuebingen.OtherFixations([Image(points, (100, 100)), Image(points[:2] + 3, (100, 100))])
    uniform: tuple = ()
    for value in (np.uint8(0), np.uint8(128), 0.0, 0.4, 0.1, -3.7, np.float32(1 / 3), np.float16(0.3)):
        found = tuebingen.scores(np.full((100, 100), value), points, others.at((100, 100)))
        assert [found[metric] for metric in ('AUC', 'sAUC', 'NSS', 'CC')] == [0.5, 0.5, 0, 0], value
        uniform = uniform or (found['KLDiv'], found['SIM'])
        assert (found['KLDiv'], found['SIM']) == pytest.approx(uniform, rel=1e-12)
    assert uniform[0] > 0.1 and uniform[1] < 0.9


def test_what_is_not_defined():
    saliency_map, nothing = RANDOM.rand(20, 30), np.zeros((0, 2), int)
    assert all(np.isnan(value) for value in tuebingen.scores(saliency_map, nothing).values())
    assert np.isnan(tuebingen.information_gain(np.full((2, 3), -np.log(6)), nothing))
    # one image with fixations has no negatives; all its other metrics are what they are
    points = np.array([[3, 4]])
    alone = tuebingen.OtherFixations([Image(points, (20, 30)), Image(nothing, (9, 9))])
    found = tuebingen.scores(saliency_map, points, alone.at((20, 30)))
    assert [metric for metric in SIX if np.isnan(found[metric])] == ['sAUC']
    # all pixels fixated alike
    everywhere = np.argwhere(np.ones((6, 5)))
    assert np.isnan(tuebingen.scores(np.full((6, 5), 7, np.uint8), everywhere)['CC'])


def test_information_gain_where_the_density_is_uniform_or_nothing():
    assert tuebingen.information_gain(np.full((4, 8), -np.log(32)), np.array([[1, 1]])) == pytest.approx(0)
    with np.errstate(divide='ignore'):
        half = np.log(np.array([[1.0, 0.0]]))
    assert tuebingen.information_gain(half, np.array([[0, 0]])) == 1
    assert tuebingen.information_gain(half, np.array([[0, 1]])) == -np.inf


@pytest.mark.parametrize('points', [[[0, 30]], [[20, 0]], [[-1, 0]]])
def test_a_fixation_outside_is_an_error(points):
    with pytest.raises(ValueError, match='outside'):
        tuebingen.scores(np.zeros((20, 30)), np.array(points))


def test_inputs_that_are_no_maps():
    for array in (np.zeros(3), np.zeros((0, 3)), np.where(np.eye(3), np.nan, 1)):
        with pytest.raises(ValueError):
            tuebingen.scores(array, np.array([[0, 0]]))
