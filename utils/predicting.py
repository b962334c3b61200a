"""Runs images through the network, for 03 and for the snapshots of 04.

Threads decode ahead, the network predicts in batches, and maps are returned one by one.
"""

import itertools
from functools import partial
from typing import NamedTuple, Optional

import numpy as np

from utils import outputs
from utils.command_line import one_line
from utils.errors import HadToStop, Unreadable
from utils.images import shrink
from utils.parallel import in_order

THREADS = 2  # for decoding, and as many for writing: the network needs the cores


class Decoded(NamedTuple):
    """An image as it goes to the network."""

    small: np.ndarray  # uint8, (height, width, 3), RGB: at the network's size
    size: tuple  # (rows, columns) of its map
    original: Optional[np.ndarray]  # uint8, (any, any, 3), RGB; None unless requested


def predictions(sources, predictor, weights, batch_size, skip, keep_originals=False):
    """Predicts on images, in order.

    Parameters
    ----------
    sources : iterable of `utils.image_sources.Source`
    predictor : models.prediction.Predictor, or anything with the same call
        Also has its `width` and `height`.
    weights : str
        The predictor's file, for messages.
    batch_size : int
        Images per batch.
    skip : function of (source, sentence)
        Called for each image that cannot be read, instead of yielding a result.
    keep_originals : bool
        Whether to keep `Decoded.original`.

    Yields
    ------
    source, Decoded, saliency map : float array, shape (height, width), in 0..1

    Raises
    ------
    HadToStop
        If the network's map of an image is not finite.
    """
    read = partial(_read, width=predictor.width, height=predictor.height, keep_original=keep_originals)
    found = in_order(read, sources, THREADS, ahead=batch_size + THREADS)
    while batch := list(itertools.islice(found, batch_size)):
        for source, _, why in batch:
            if why:
                skip(source, why)
        good = [(source, decoded) for source, decoded, why in batch if not why]
        maps = predictor(np.stack([decoded.small for _, decoded in good])) if good else ()
        for (source, decoded), saliency_map in zip(good, maps):
            if not np.isfinite(saliency_map).all():
                what = f'{weights}: makes no finite map of {source.path}; take other weights'
                raise HadToStop(one_line(what))
            yield source, decoded, saliency_map


def write_all(sources, targets, predictor, weights, batch_size):
    """Predicts on images and writes their maps.

    Parameters
    ----------
    targets : dict of Source -> dict of format -> path
        See `utils.outputs.plan`.
    sources, predictor, weights, batch_size : see `predictions`

    Yields
    ------
    source, None or one sentence on why it has no maps: once each, about in their order
    """
    unread: list = []
    keep_originals = any('overlay' in targets[source] for source in sources)

    def write(predicted):
        source, decoded, saliency_map = predicted
        return source, outputs.write_maps(targets[source], saliency_map, decoded.size, decoded.original)

    def skip(source, why):
        unread.append((source, why))

    # the network runs here, between threads that decode the next images and threads that write maps
    predicted = predictions(sources, predictor, weights, batch_size, skip, keep_originals)
    for result in in_order(write, predicted, THREADS, ahead=THREADS):
        while unread:
            yield unread.pop(0)
        yield result
    yield from unread


def _read(source, width, height, keep_original):
    """The source, its `Decoded` image, and None; or None and one sentence on why it cannot be read."""
    try:
        image, size = source.read()
        return source, Decoded(shrink(image, width, height), size, image if keep_original else None), None
    except Unreadable as error:
        return source, None, str(error)
    except MemoryError:
        return source, None, f'{source.path}: not enough memory for so large an image'
