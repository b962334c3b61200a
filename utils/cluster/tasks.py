"""The code that runs on a worker: one chunk of work at a time, abandoned between images on request."""

import asyncio
import functools
import importlib
import os
import pickle
import signal
import socket
import threading

from utils import files
from utils.errors import HadToStop, Unreadable

_stopped: set = set()  # abandoned jobs
_running: set = set()  # jobs of the chunks in progress


class Stopped(Exception):
    """The job was abandoned in the middle of a chunk."""


def dask_setup(worker):
    """Called by dask when a worker starts, since it is started with this module as --preload."""
    # Ctrl-C in a terminal goes to all its processes; the one that was started there ends the others.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def perform(task, shared=None):
    """Calls a function with a chunk.

    Parameters
    ----------
    task : bytes
        Pickled (name, job, folder, settings, chunk). `name` is that of a function of (settings, chunk,
        shared, go_on), with dots: the client need not import what only workers use. It calls `go_on()`
        before each image, which raises `Stopped`. `job` is what the chunk belongs to, `folder` the client's
        current one.
    shared :
        Handed through.
    """
    name, job, folder, settings, chunk = pickle.loads(task)

    def go_on():
        if job in _stopped:
            raise Stopped

    module, _, function = name.rpartition('.')
    _running.add(job)
    try:
        go_on()
        _enter(folder)
        return getattr(importlib.import_module(module), function)(settings, chunk, shared, go_on)
    except MemoryError as error:
        advice = getattr(error, 'advice', 'smaller batches, or fewer workers on a machine, need less')
        raise HadToStop(
            f'{socket.gethostname()}: out of memory; what was finished is kept; {advice}'
        ) from None
    except ModuleNotFoundError as error:
        raise HadToStop(f'{socket.gethostname()}: {error}; make the environment with `make demo`') from None
    finally:
        _running.discard(job)


def _enter(folder):
    """Changes this worker, which does one task at a time, to the client's current folder."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise HadToStop(_not_shared(folder, error.strerror)) from None


def _not_shared(path, why):
    return f'{socket.gethostname()}: {path}: {why}; the workers need the same disks by the same names'


async def stop(job):
    """Tells this worker to abandon `job`, and waits until it has: a few images at most."""
    _stopped.add(job)
    for _ in range(200):
        if job not in _running:
            return
        await asyncio.sleep(0.05)


def look(folder, paths=(), weights=None, probe=None):
    """Whether this worker sees the same files as the client, on a shared disk.

    Parameters
    ----------
    folder : str
        The client's current folder.
    paths : list of path
        These must exist.
    weights : (path, sha256), optional
    probe : path, optional
        A file that the client has just written to the output folder; this writes another beside it.

    Returns
    -------
    None, or one sentence on what differs
    """
    try:
        _enter(folder)
        for path in paths:
            if not os.path.exists(path):
                return _not_shared(path, 'no such file')
        if weights:
            check_weights(*weights)
        if probe:
            output = os.path.dirname(probe)
            if not os.path.exists(probe):
                return _not_shared(output, 'another folder there')
            with files.probe(output):
                pass
    except HadToStop as error:
        return str(error)
    except OSError as error:
        return f'{socket.gethostname()}: cannot write to the folder {output}: {error.strerror}'
    return None


def tidy(folder, folders):
    """Removes unfinished files there of processes on this machine that have died."""
    _enter(folder)
    for each in folders:
        files.make_folder(each)


@functools.lru_cache(maxsize=4)
def check_weights(path, sha256):
    """Raises HadToStop if `path` has other weights on this machine than on the client's."""
    try:
        found = files.sha256_of(path)
    except Unreadable as error:
        raise HadToStop(
            f'{socket.gethostname()}: {error}; the workers need the same disks by the same names'
        ) from None
    if found != sha256:
        host = socket.gethostname()
        raise HadToStop(f'{host}: {path} holds other weights there, of sha256 {found} and not {sha256}')
