"""Samples on their way to the networks: joined, checked, in batches."""

import threading
import time

import numpy as np
import pytest

from tests.helpers.training import sample, seeded_samples, write_pickle
from utils import samples
from utils.errors import CouldNotStart, HadToStop, Unreadable
from utils.training import data as training_data


def test_several_files_are_joined_in_their_order_whatever_their_form(tmp_path):
    of = seeded_samples(1, 5, 32, 16)
    first = write_pickle(tmp_path / 'a.pickle', of[:2])
    second = write_pickle(tmp_path / 'b.pickle', of[2:], stream=True)
    joined, _ = training_data.read([first, second], 32, 16)
    assert len(joined) == 5
    for i in range(5):
        np.testing.assert_array_equal(joined[i].image.data, of[i].image.data)
        assert training_data.name(joined, i) == f'{i}.png'


def test_the_fingerprint_is_of_the_data_and_not_of_the_file(tmp_path):
    of = seeded_samples(1, 4, 32, 16)

    def fingerprint(name, of, stream=False):
        return training_data.read([write_pickle(tmp_path / name, of, stream)], 32, 16)[1]

    one = fingerprint('a', of)
    assert fingerprint('b', of, stream=True) == one
    assert fingerprint('c', of[::-1]) != one
    of[3].saliency.data[0, 0] ^= 1
    assert fingerprint('d', of) != one


def test_samples_of_another_size_are_refused_by_name(tmp_path):
    of = seeded_samples(1, 2, 32, 16)
    of += [
        sample(np.zeros((16, 16, 3), 'uint8'), np.zeros((16, 16), 'uint8'), f'odd{i}.png') for i in range(12)
    ]
    of += [sample(np.zeros((16, 32, 3), 'uint8'), np.zeros((16, 30), 'uint8'), 'map.png')]
    path = write_pickle(tmp_path / 'a.pickle', of)
    with pytest.raises(
        CouldNotStart, match=r'13 of 15 samples .* --size 32x16: odd0.png \(16x16\), .* 3 more'
    ):
        training_data.read([path], 32, 16)


def test_samples_without_a_map_are_refused_by_name(tmp_path):
    image = np.zeros((16, 32, 3), 'uint8')
    test = samples.Target(samples.ImageContainer(image, 'test.png', samples.InputType.image))
    with pytest.raises(CouldNotStart, match=r'test.png \(no saliency map\)'):
        training_data.read([write_pickle(tmp_path / 'a.pickle', [test])], 32, 16)


@pytest.mark.parametrize('content', [b'', b'garbage', b'\x80\x03]q\x00.'])
def test_what_is_no_pickle_of_samples_is_refused_by_name(tmp_path, content):
    path = tmp_path / 'a.pickle'
    path.write_bytes(content)
    with pytest.raises(CouldNotStart, match=r'a\.pickle'):
        training_data.read([path], 32, 16)
    with pytest.raises(CouldNotStart, match=r'missing\.pickle'):
        training_data.read([tmp_path / 'missing.pickle'], 32, 16)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_a_batch_is_what_the_networks_take(dtype):
    import inputs

    expected_images, expected_maps = inputs.batch(3, 4, 32, 16)
    images, maps = training_data.batch(seeded_samples(3, 4, 32, 16), [2, 0], dtype)
    assert images.dtype == maps.dtype == dtype
    assert images.flags.c_contiguous
    np.testing.assert_array_equal(images, expected_images[[2, 0]])
    if dtype == 'float32':
        np.testing.assert_array_equal(maps, expected_maps[[2, 0]])
    np.testing.assert_allclose(maps, expected_maps[[2, 0]], rtol=1e-6)


def test_whole_batches_only_and_from_where_the_epoch_stopped():
    of = seeded_samples(1, 7, 16, 16)
    order = [6, 5, 4, 3, 2, 1, 0]
    groups = [indices for indices, _, _ in training_data.batches(of, order, 2)]
    assert groups == [[6, 5], [4, 3], [2, 1]]
    assert [indices for indices, _, _ in training_data.batches(of, order, 2, skip=2)] == [[2, 1]]
    assert list(training_data.batches(of, order, 2, skip=3)) == []
    assert list(training_data.batches(of, order, 8)) == []


class Watched(list):
    """Counts what is read of it, and by which thread."""

    def __init__(self, items):
        super().__init__(items)
        self.read, self.threads = 0, set()

    def __getitem__(self, index):
        self.read += 1
        self.threads.add(threading.current_thread())
        return super().__getitem__(index)


def test_batches_are_made_ahead_in_the_background_and_no_more_than_two():
    of = Watched(seeded_samples(1, 20, 16, 16))
    made = training_data.batches(of, range(20), 2)
    next(made)
    while of.read < 6:  # one in use, two ahead
        time.sleep(0.01)
    time.sleep(0.1)
    assert of.read == 6
    assert threading.current_thread() not in of.threads
    before = threading.active_count()
    made.close()
    assert threading.active_count() < before


def test_a_file_that_goes_bad_while_training_stops_the_run():
    class Damaged(list):
        def __getitem__(self, index):
            raise Unreadable('a.pickle: sample 0 is broken')

    with pytest.raises(HadToStop, match=r'a\.pickle: sample 0'):
        next(training_data.batches(Damaged(range(4)), range(4), 2))
