"""Samples for training: several pickles joined, checked once, and read in batches in the background."""

import bisect
import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, islice

import numpy as np

from utils import samples
from utils.command_line import progress
from utils.errors import CouldNotStart, HadToStop, Unreadable

AHEAD = 2  # batches made in advance, while the network works: 20 MB each at 256 x 192 and 32 images
MOST_NAMED = 10  # largest number of samples of another size named in a message


class Joined:
    """Several sequences of samples as one; a stream of samples stays on the disk."""

    def __init__(self, parts):
        self._parts = parts
        self._ends = list(accumulate(len(part) for part in parts))

    def __len__(self):
        return self._ends[-1]

    def __getitem__(self, index):
        part = bisect.bisect_right(self._ends, index)
        return self._parts[part][index - self._ends[part]]


def read(paths, width, height):
    """Opens the samples in `paths`, as 01 writes them, and checks every one.

    Returns
    -------
    (sequence of samples, str)
        The str is a fingerprint of the images and maps in their order, however they are stored.

    Raises
    ------
    CouldNotStart
        If a file is not a pickle of samples or contains none, or if samples have another size than
        `width` x `height`, or no saliency map: these are named.
    """
    try:
        parts = [samples.read(path) for path in paths]
        joined, digest, refused = Joined(parts), hashlib.sha256(), []
        for i in progress(range(len(joined)), desc='checking the samples', unit='image'):
            sample = joined[i]
            problem = misfit(sample, width, height)
            if problem:
                refused.append(f'{name(joined, i)} ({problem})')
            else:
                digest.update(sample.image.data.tobytes() + sample.saliency.data.tobytes())
    except Unreadable as error:
        raise CouldNotStart(f'{error}; 01-data-preprocessing.py makes such files') from None
    where = ', '.join(map(str, paths))
    if refused:
        more = f' and {len(refused) - MOST_NAMED} more' if len(refused) > MOST_NAMED else ''
        raise CouldNotStart(
            f'{where}: {len(refused)} of {len(joined)} samples do not fit --size {width}x{height}: '
            f'{", ".join(refused[:MOST_NAMED])}{more}; run 01 with that --size, or give another one here'
        )
    if not len(joined):
        raise CouldNotStart(f'{where}: no samples in it')
    return joined, digest.hexdigest()


def misfit(sample, width, height):
    """Why a sample cannot be trained on at this size, or None."""
    if sample.saliency is None:
        return 'no saliency map'
    sizes = [f'{a.shape[1]}x{a.shape[0]}' for a in (sample.image.data, sample.saliency.data)]
    wrong = [size for size in sizes if size != f'{width}x{height}']
    return wrong[0] if wrong else None


def name(samples, index):
    """The file that a sample's image came from, or its number."""
    return str(getattr(samples[index].image, 'filePath', None) or f'sample {index}')


def batch(samples, indices, dtype='float32'):
    """The samples `indices` in the networks' format.

    Returns
    -------
    images : float array, shape (batch, 3, rows, columns)
        RGB in 0..255.
    maps : float array, shape (batch, 1, rows, columns)
        In 0..1.
    """
    chosen = [samples[i] for i in indices]
    images = np.stack([sample.image.data for sample in chosen]).astype(dtype).transpose(0, 3, 1, 2)
    maps = np.stack([sample.saliency.data for sample in chosen])[:, None].astype(dtype)
    return np.ascontiguousarray(images), maps / np.dtype(dtype).type(255)


def batches(samples, order, size, skip=0, dtype='float32'):
    """The complete batches of an epoch, made in advance by a thread, at most `AHEAD`.

    Parameters
    ----------
    samples : sequence of samples
    order : sequence of int
        Which samples, in order; a last, shorter batch is left out, as in the original.
    size : int
        Samples in a batch.
    skip : int
        Number of batches at the beginning to leave out.

    Yields
    ------
    indices, images, maps
        See `batch`.
    """
    groups = iter([order[i : i + size] for i in range(skip * size, len(order) - size + 1, size)])
    with ThreadPoolExecutor(1) as thread:

        def begin(count):
            return [(group, thread.submit(batch, samples, group, dtype)) for group in islice(groups, count)]

        begun = deque(begin(AHEAD))
        while begun:
            indices, made = begun.popleft()
            try:
                images, maps = made.result()
            except Unreadable as error:  # intact when the run began: replaced since, or the disk fails
                raise HadToStop(str(error)) from None
            begun.extend(begin(1))
            yield indices, images, maps
