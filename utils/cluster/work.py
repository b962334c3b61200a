"""Gives chunks of work to workers, a few ahead for each, and collects the results."""

import itertools
import pickle
import queue
import time
from typing import Any, NamedTuple

from utils.cluster import tasks, version
from utils.cluster.connection import wait_for_workers, workers
from utils.errors import HadToStop

AHEAD = 3  # chunks that each worker has or waits for, so that none waits for the client
CHUNKS_A_WORKER = 8  # at least, if there is little work: the last ones end at about the same time
LARGEST = 32  # items in a chunk: seconds of work, the most that a dying worker can lose
LOOK = 2  # seconds between checks for workers


class Task(NamedTuple):
    """A chunk that was given out."""

    items: list
    again: bool = False  # dask has abandoned it before: workers that had it died
    alone: bool = False  # so often that nothing else runs meanwhile, to be sure that it is the reason


def chunk_size(items, workers, multiple=1):
    """How many of `items` items a task has, for this many workers: a multiple of `multiple`, a batch."""
    size = max(1, min(LARGEST, items // (CHUNKS_A_WORKER * workers)))
    return max(1, size // multiple) * multiple


def chunks(items, size):
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def spread(cluster, name, settings, items, size, shared=None):
    """Calls a function on workers with all of `items`, in chunks.

    A chunk whose worker dies is given to another one. If workers die repeatedly because of something in it,
    as also seems to happen to chunks waiting on the same workers, it is put aside until everything else is
    done, and then divided until the fatal item is alone.

    Parameters
    ----------
    cluster : connection.Cluster
    name, settings, shared : see `tasks.perform`
        `shared` is sent once, and passed on between workers.
    items : iterable
        Taken as they are needed.
    size : int
        Items per chunk.

    Yields
    ------
    (chunk, result), in the order of completion; the result is None for an item that kills its workers, alone
    in its chunk

    Raises
    ------
    HadToStop
        If the scheduler has gone away, or no worker replaces the last one; exceptions of the function are
        raised too.
    """
    from distributed import KilledWorker

    waiting: Any = chunks(items, size)
    suspects: list = []
    pending: dict = {}  # future -> Task
    done: queue.SimpleQueue = queue.SimpleQueue()
    submit = _submitter(cluster, name, settings, shared)

    def hand_out(task):
        future = submit(task.items)
        pending[future] = task
        future.add_done_callback(done.put)

    most, looked = AHEAD * len(workers(cluster)), time.monotonic()
    try:
        while True:
            while len(pending) < most and (chunk := next(waiting, None)):
                hand_out(Task(chunk))
            if not pending and suspects:
                hand_out(suspects.pop(0))
            if not pending:
                return
            future = _next(done)
            if future is not None:
                task = pending.pop(future)
                error = _error_of(future, cluster)
                if error is None:
                    yield task.items, future.result()
                elif not isinstance(error, KilledWorker):
                    raise error
                elif not task.again:
                    hand_out(Task(task.items, again=True))
                elif not task.alone:
                    suspects.append(Task(task.items, again=True, alone=True))
                elif len(task.items) == 1:
                    yield task.items, None
                else:
                    half = len(task.items) // 2
                    parts = task.items[:half], task.items[half:]
                    suspects[:0] = [Task(part, again=True, alone=True) for part in parts]
            if time.monotonic() > looked + LOOK:
                most = AHEAD * len(wait_for_workers(cluster, HadToStop))
                looked = time.monotonic()
    finally:
        give_up(cluster, list(pending))


def _next(done):
    try:
        return done.get(timeout=LOOK)
    except queue.Empty:
        return None


def _submitter(cluster, name, settings, shared):
    """A function that hands items to the scheduler, and returns the future."""
    needs = {version.resource(): 1}
    numbers = itertools.count()
    perform = _by_value()
    submit_to = cluster.client.submit
    if shared is not None:
        key = f'salgan-shared-{cluster.job}'
        shared = submit_to(pickle.loads, shared, key=key, resources=needs, pure=False)

    def submit(items):
        task = pickle.dumps((name, cluster.job, cluster.folder, settings, items), pickle.HIGHEST_PROTOCOL)
        key = f'salgan-{name.rpartition(".")[2]}-{cluster.job}-{next(numbers)}'
        return submit_to(perform, task, shared, key=key, resources=needs, pure=False)

    return submit


def _by_value():
    """`tasks.perform` as a function that is pickled by its code, and not by its name.

    The scheduler unpickles all that it hands on, and may have been started where this project is not: as
    `dask scheduler`, whose path has not the current folder in it.
    """

    def perform(task, shared):
        import importlib

        return importlib.import_module('utils.cluster.tasks').perform(task, shared)

    return perform


def _error_of(future, cluster):
    """The error of a task, None if there was none."""
    if future.status == 'finished':
        return None
    if future.status == 'cancelled':
        return HadToStop(
            f'{cluster.where}: the scheduler has gone away; what was finished is kept; start it again, and '
            'run the same command again'
        )
    return future.exception()


def give_up(cluster, futures):
    """Ends the job: chunks not yet begun are cancelled, and workers stop before the next image."""
    if not futures or cluster.client.status != 'running':
        return
    try:
        cluster.client.cancel(futures, force=True)
        cluster.client.run(tasks.stop, cluster.job, workers=workers(cluster), on_error='ignore')
    except Exception:  # the scheduler or the workers have gone: nobody is left to tell
        pass
