"""The summary: counts, totals and what they say of the edition."""

import numpy as np
import pytest

from utils.data_sets import salicon
from utils.data_sets.census import Census
from utils.data_sets.data_set import DataSet, Fixations
from utils.data_sets.preprocessing import Prepared


def census(layout, split, images, recorded, samples, problems=()):
    """The lines for `images` images that together hold so many fixations and mouse samples."""
    counted = Census(DataSet(layout, {}, [], None))
    points = np.zeros((1, 2), np.int64)
    for i in range(images):
        share = [total if total is None else total * (i == 0) for total in (recorded, samples)]
        counted.add(Prepared({split: None}, Fixations(points, (480, 640), 0, *share), (480, 640), None))
    for problem in problems:
        counted.add(Prepared({}, None, None, problem))
    return '\n'.join(counted.lines())


@pytest.mark.parametrize(
    'layout, split, images, recorded, samples, expected',
    [
        (salicon.GAZE, 'train', 10_000, 3_171_533, 68_992_355, '3 171 533 fixations: the 2015 edition'),
        (salicon.GAZE, 'train', 3, 3_171_533, 68_992_355, 'the 2015 edition'),
        (salicon.GAZE, 'train', 10_000, 2_000_000, 40_000_000, 'it is probably that of 2017'),
        (salicon.GAZE, 'val', 5_000, 7, 38_846_998, 'the 2015 edition'),
        (salicon.GAZE, 'val', 5_000, 7, 38_846_999, 'it is probably that of 2017'),
        (salicon.GAZE, 'val', 4_999, 7, 38_846_999, 'too few images to tell'),
        (salicon.JSON, 'train', 10_000, None, 68_992_355, 'mouse samples: the 2015 edition'),
        (salicon.JSON, 'train', 10_000, None, 68_992_354, 'not the whole of the 2015 edition'),
        (salicon.JSON, 'train', 10, None, 73_630, 'too few images to tell'),
    ],
)
def test_editions(layout, split, images, recorded, samples, expected):
    assert expected in census(layout, split, images, recorded, samples)


def test_no_totals_no_edition():
    assert 'edition' not in census(salicon.MAT_2015, 'train', 10_000, None, None)


def test_the_summary():
    text = census(salicon.GAZE, 'train', 2, 7, 8, problems=['a.jpg: broken', 'b.jpg: gone'])
    assert 'train 2 of 10 000, val 0 of 5 000, test 0 of 5 000' in text
    assert 'sizes: 640 x 480 (2)\n' in text
    assert text.endswith('left out (2):\n  a.jpg: broken\n  b.jpg: gone')
