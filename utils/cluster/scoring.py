"""04 on workers: the fixations are sent to them once, they read the maps, and return the scores."""

import os
import pickle
from collections import Counter

from utils.cluster.connection import connected, look_around, workers
from utils.cluster.work import chunk_size, spread
from utils.command_line import progress
from utils.errors import CouldNotStart
from utils.evaluation.scores import collected, score_item
from utils.parallel import in_order


def score_all(items, count, truth, settings, options):
    """`utils.evaluation.scores.score_all` on the workers that `options` name: the same result.

    Parameters
    ----------
    items : iterable of (stem, path of the map)
    options : Namespace
        The options of 04.

    Raises
    ------
    CouldNotStart
        If there are no workers, or they do not see the same files; or the maps are in an archive.
    HadToStop
        See `utils.cluster.work.spread`.
    """
    numbered = [(number, stem, path) for number, (stem, path) in enumerate(items)]
    if not all(isinstance(path, str) for _, _, path in numbered):
        raise CouldNotStart(
            f'{options.maps}: workers read files, and not an archive; unpack it into a folder'
        )
    make_union(truth, settings)
    shared = pickle.dumps((truth, settings), pickle.HIGHEST_PROTOCOL)
    found: list = [None] * count
    with connected(options) as cluster, progress(total=count, unit='map', desc='scores') as bar:
        look_around(cluster, paths=[numbered[0][2]])
        size = chunk_size(count, len(workers(cluster)))
        name = 'utils.cluster.scoring.score_chunk'
        for chunk, results in spread(cluster, name, None, numbered, size, shared):
            if results is None:
                _, stem, path = chunk[0]
                results = [(stem, f'{path}: the workers that had it died, again and again', None, None)]
            for (number, _, _), result in zip(chunk, results):
                found[number] = result
            bar.update(len(chunk))
    return collected(found, truth)


def make_union(truth, settings):
    """Computes the union of all fixations that the metrics need: once, at the size of most images."""
    if 'sAUC' in settings.metrics and (settings.protocol == 'salicon' or not settings.others):
        sizes = Counter(image.size for image in truth.images.values())
        truth.counts(sizes.most_common(1)[0][0])


def score_chunk(settings, chunk, shared, go_on):
    """Scores a chunk of (number, stem, path) on a worker, in its threads."""
    truth, settings = shared

    def score(item):
        go_on()
        _, stem, path = item
        return score_item((stem, path), truth, settings)

    return list(in_order(score, chunk, int(os.environ.get('OMP_NUM_THREADS', '1'))))
