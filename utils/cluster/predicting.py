"""03 on workers: they read images and write maps themselves, and only messages come back."""

import contextlib
import functools
import importlib
import os
from types import SimpleNamespace

from utils import files
from utils.cluster import tasks, version
from utils.cluster.connection import connected, look_around, tidy, workers
from utils.cluster.work import chunk_size, spread
from utils.errors import HadToStop
from utils.predicting import write_all

NETWORK = 'models.worker'


def predict(sources, targets, options, network=NETWORK):
    """Predicts on images and writes their maps, on the workers that `options` name.

    Parameters
    ----------
    sources, targets : see `utils.predicting.write_all`
        With paths that are valid on the workers too.
    options : Namespace
        The options of 03.
    network : str
        The module of the network, which only workers import; see `models.worker`.

    Yields
    ------
    source, None or one sentence on why it has no maps: once each, as they are done

    Raises
    ------
    CouldNotStart
        If there are no workers, or they do not see the same files.
    HadToStop
        See `utils.cluster.work.spread`.
    """
    sha256 = files.sha256_of(options.weights)
    settings = SimpleNamespace(
        weights=options.weights,
        sha256=sha256,
        size=options.size,
        batch_size=options.batch_size,
        network=network,
    )
    with connected(options) as cluster:
        first = sources[0].path.partition(': ')[0] if not os.path.exists(sources[0].path) else sources[0].path
        with files.probe(options.output) as probe:
            look_around(cluster, paths=[first], weights=(options.weights, sha256), probe=probe)
        size = chunk_size(len(sources), len(workers(cluster)), options.batch_size)
        items = ((source, targets[source]) for source in sources)
        for chunk, left_out in spread(
            cluster, 'utils.cluster.predicting.predict_chunk', settings, items, size
        ):
            if left_out is None:
                (source, _), why = chunk[0], 'the workers that had it died, again and again'
                yield source, f'{source.path}: {why}'
                continue
            for number, (source, _) in enumerate(chunk):
                yield source, left_out.get(number)
        tidy(cluster, sorted({os.path.dirname(path) for of in targets.values() for path in of.values()}))


def predict_chunk(settings, chunk, shared, go_on):
    """Predicts a chunk of (source, targets) on a worker: {number in it: why there are no maps}."""
    predictor = _predictor(settings.network, settings.weights, settings.sha256, settings.size)
    targets = dict(chunk)
    sources = [source for source, _ in chunk]
    left_out = {}
    found = write_all(sources, targets, predictor, settings.weights, settings.batch_size)
    with contextlib.closing(found):
        for source, why in found:
            if why:
                left_out[sources.index(source)] = why
            go_on()
    return left_out


@functools.lru_cache(maxsize=1)
def _predictor(network, path, sha256, size):
    """The network with its weights: loaded once for all tasks of a worker.

    On a machine where nothing has been compiled yet, one worker compiles while the others wait.
    """
    from utils import weights

    tasks.check_weights(path, sha256)
    module = importlib.import_module(network)
    if module.several_on_a_card():
        raise HadToStop(
            "several workers on one card would get in each other's way: take --scheduler local:1, or start "
            'each by itself with `python -m utils.cluster.worker --workers 1`, on a card of its own'
        )
    arrays, name = weights.read_generator(path), version.resource()
    with contextlib.ExitStack() as stack:
        if not module.is_compiled(name):
            descriptor = files.lock(module.compile_folder(), wait=True)
            if descriptor is not None:
                stack.callback(os.close, descriptor)
        return module.predictor(arrays, *size, name)
