"""PNGs that tell what they were made from: taken only while nothing of it has changed."""

import cv2
import numpy as np
import pytest

from utils.data_sets import checked_png
from utils.images import encode


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def test_what_is_made_is_read(tmp_path, image):
    path = tmp_path / 'x.png'
    for picture in (image, image[:, :, 0].copy()):
        path.write_bytes(checked_png.make(picture, (480, 640), 'source'))
        read, size = checked_png.read(path, 'source')
        np.testing.assert_array_equal(read, picture)
        assert size == (480, 640)


def test_it_is_the_png_that_opencv_writes(tmp_path, image):
    data, bare = checked_png.make(image, (480, 640), 'source'), encode(image, '.png')
    assert data[:33] == bare[:33] and data.endswith(bare[33:])
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[:, :, ::-1], image)


def test_nothing_else_is_taken_for_it(tmp_path, image):
    path = tmp_path / 'x.png'
    assert checked_png.read(path, 'source') == (None, None)
    data = checked_png.make(image, (480, 640), 'source')
    path.write_bytes(data)
    assert checked_png.read(path, 'another source') == (None, None)
    for other in (b'', data[:30], data[:60], data[:-1], data + b'x', encode(image, '.png'), bytes(500)):
        path.write_bytes(other)
        assert checked_png.read(path, 'source') == (None, None)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert checked_png.read(path, 'source') == (None, None), at


def test_digest():
    every = [
        checked_png.digest(*parts) for parts in ((b'ab', b'c'), (b'a', b'bc'), (b'abc',), ((1, 2),), ('a', 1))
    ]
    assert len(set(every)) == len(every)
