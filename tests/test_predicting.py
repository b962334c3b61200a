"""The one way of images through the network: in their order, in batches, whatever cannot be read skipped."""

import cv2
import numpy as np
import pytest

from utils import image_sources
from utils.errors import HadToStop
from utils.images import shrink
from utils.predicting import predictions

STEMS = [f'image{number}' for number in range(12)]


class Predictor:
    """The red channel, in place of a network."""

    width, height = 32, 16

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        assert images.dtype == np.uint8 and images.shape[1:] == (16, 32, 3)
        self.batches.append(len(images))
        return images[..., 0] / np.float32(255)


@pytest.fixture
def sources(tmp_path):
    random = np.random.RandomState(0)
    for number, stem in enumerate(STEMS):
        image = random.randint(0, 256, (40 + number, 60, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f'{stem}.png'), image)
    return sorted(image_sources.find([str(tmp_path)])[0], key=lambda source: STEMS.index(source.name))


@pytest.mark.parametrize('batch_size', [1, 5, 100])
@pytest.mark.parametrize('keep', [False, True])
def test_every_image_is_predicted_in_its_turn(sources, batch_size, keep):
    predictor, skipped = Predictor(), []
    found = list(predictions(sources, predictor, 'w.npz', batch_size, skipped.append, keep))
    assert [source.name for source, _, _ in found] == STEMS and not skipped
    assert sum(predictor.batches) == len(STEMS) and max(predictor.batches) <= batch_size
    for source, decoded, saliency_map in found:
        image, size = source.read()
        assert decoded.size == size
        np.testing.assert_array_equal(decoded.small, shrink(image, 32, 16))
        np.testing.assert_array_equal(saliency_map, decoded.small[..., 0] / np.float32(255))
        assert np.array_equal(decoded.original, image) if keep else decoded.original is None


@pytest.mark.parametrize('batch_size', [1, 3, 5])
def test_what_cannot_be_read_is_skipped_with_the_reason(sources, tmp_path, batch_size):
    def too_large():
        raise MemoryError

    (tmp_path / 'image2.png').write_bytes(b'\x89PNG')
    sources[7] = sources[7]._replace(read=too_large)
    skipped = {}
    found = predictions(
        sources, Predictor(), 'w.npz', batch_size, lambda s, why: skipped.update({s.name: why})
    )
    assert [source.name for source, _, _ in found] == [s for s in STEMS if s not in ('image2', 'image7')]
    assert list(skipped) == ['image2', 'image7']
    assert 'image2.png: the PNG is cut short' in skipped['image2']
    assert 'image7.png: not enough memory' in skipped['image7']


def test_a_map_that_is_not_finite_is_an_error_that_names_weights_and_image(sources):
    class Diverged(Predictor):
        def __call__(self, images):
            return super().__call__(images) * np.nan

    with pytest.raises(HadToStop, match=r'^w\\nw\.npz: makes no finite map of .*image0\.png'):
        list(predictions(sources, Diverged(), 'w\nw.npz', 2, None))
