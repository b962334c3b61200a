"""Connects to workers: through an existing scheduler, or through our own with workers on this machine."""

import contextlib
import json
import logging
import os
import signal
import time
import urllib.parse
import uuid
import warnings
from multiprocessing import resource_tracker
from typing import Any, NamedTuple

from utils.cluster import processes, tasks, version
from utils.cluster.options import TLS, current_folder
from utils.command_line import one_line, say
from utils.errors import CouldNotStart

PATIENCE = 300  # seconds to wait for a worker
CONNECT = 20  # seconds to wait for a scheduler
HOW = 'start them on each machine with `python -m utils.cluster.worker`'


class Cluster(NamedTuple):
    """A scheduler with workers.

    Attributes
    ----------
    client : distributed.Client
    where : str
        The scheduler, for messages.
    job : str
        A unique name for this work.
    folder : str
        The current folder, in which the workers work too: paths and messages are the same as here.
    refused, seen : set of str
        Addresses of the workers that were reported as unusable, and of all other workers seen so far.
    """

    client: Any
    where: str
    job: str
    folder: str
    refused: set
    seen: set


@contextlib.contextmanager
def connected(options):
    """A `Cluster` for the options of `add_scheduler`, with at least one worker of this version.

    Raises
    ------
    CouldNotStart
        If there is none.
    """
    import dask
    from distributed import Client

    for name in logging.root.manager.loggerDict:
        if name.startswith('distributed'):  # we report what matters ourselves
            logging.getLogger(name).setLevel(logging.CRITICAL)
    settings: dict[str, Any] = {'distributed.comm.timeouts.connect': f'{CONNECT}s'}
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.filterwarnings('ignore', module='distributed')  # other versions of packages, large graphs
        if (options.scheduler or '').startswith('local'):
            where = stack.enter_context(_local(options.scheduler))
            address, shown = where, options.scheduler
        else:
            address, shown = _address(options), options.scheduler or options.scheduler_file
        stack.enter_context(dask.config.set(settings))
        try:
            client = Client(address, security=_security(options), timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            why = str(error).partition('\n')[0] or 'no answer'
            raise CouldNotStart(one_line(f'no scheduler answers at {shown}: {why}')) from None
        stack.callback(_close, client)
        cluster = Cluster(client, shown, uuid.uuid4().hex, current_folder(), set(), set())
        wait_for_workers(cluster, CouldNotStart)
        yield cluster


def _close(client):
    with contextlib.suppress(Exception):  # the scheduler may have gone away
        client.close(timeout=5)


@contextlib.contextmanager
def _local(text):
    """A scheduler and this many workers in processes on this machine, unreachable from others."""
    import dask
    from distributed import LocalCluster

    number = int(text.partition(':')[2] or processes.cores())
    configuration, environment = processes.configuration(number), processes.environment(number)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_as_before(environment))  # dask sets it here, too, for its processes to inherit
        # Ctrl-C goes to all processes of a terminal, but only this one must handle it once they have started;
        # starting the tracker would unblock it again
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            with dask.config.set(configuration):
                cluster = LocalCluster(
                    n_workers=number,
                    threads_per_worker=1,
                    host='127.0.0.1',
                    dashboard_address=None,
                    memory_limit=0,
                    resources={version.resource(): 1},
                    preload=[processes.TASKS],
                    env=environment,
                    silence_logs=logging.CRITICAL,
                )
            stack.callback(_end, cluster)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield cluster.scheduler_address


def _end(cluster):
    with contextlib.suppress(Exception):  # a worker may be killed while it is asked to end
        cluster.close(timeout=10)


@contextlib.contextmanager
def _as_before(names):
    """Restores these environment variables afterwards."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _address(options):
    """The scheduler's address: as given, or from the scheduler file, for which it waits."""
    if options.scheduler:
        return options.scheduler
    path, deadline = options.scheduler_file, time.monotonic() + PATIENCE
    said = False
    while True:
        try:
            with open(path, encoding='utf-8') as file:
                return json.load(file)['address']
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise CouldNotStart(
                    f'{path}: there is none; `dask scheduler --scheduler-file` writes it'
                ) from None
        except (OSError, ValueError, LookupError, TypeError) as error:
            # the scheduler writes it in place, so it may be incomplete at first
            if not isinstance(error, ValueError) or time.monotonic() > deadline - PATIENCE + 5:
                raise CouldNotStart(f'{path}: not the file of a scheduler: {error}') from None
        if not said:
            say(f'waiting for {path}')
            said = True
        time.sleep(0.2)


def _security(options):
    from distributed.security import Security

    ca, certificate, key = (getattr(options, name) for name in TLS)
    if not ca:
        return None
    for path in (ca, certificate, key):
        try:
            open(path, 'rb').close()
        except OSError as error:
            raise CouldNotStart(f'{path}: {error.strerror}') from None
    return Security(tls_ca_file=ca, tls_client_cert=certificate, tls_client_key=key, require_encryption=True)


# --- its workers ---


def workers(cluster):
    """The addresses of the usable workers; each of the others is reported once."""
    usable = []
    for address, about in cluster.client.scheduler_info(n_workers=-1)['workers'].items():
        why = version.refusal(address, about['resources'])
        if why is None:
            usable.append(address)
        elif address not in cluster.refused:
            cluster.refused.add(address)
            say(why)
    cluster.seen.update(usable)
    return usable


def wait_for_workers(cluster, error):
    """The workers, at least one; raises `error`, with one sentence, if none appears."""
    began, said = time.monotonic(), False
    while not (usable := workers(cluster)):
        waited = time.monotonic() - began
        if error is CouldNotStart and cluster.refused and waited > CONNECT / 4:
            raise error(f'{cluster.where}: none of its workers can be used; {HOW}')
        if waited > PATIENCE:
            raise error(f'{cluster.where}: no worker came in {PATIENCE} s; {HOW}')
        if not said:
            say(f'{cluster.where}: no worker there; waiting for one: {HOW}')
            said = True
        time.sleep(0.2)
    return usable


def look_around(cluster, **what):
    """Checks that all workers see the same files as this process; see `tasks.look`.

    Raises
    ------
    CouldNotStart
        If some do not; the message has one sentence on each.
    """
    usable = workers(cluster)
    found = cluster.client.run(tasks.look, cluster.folder, workers=usable, on_error='ignore', **what)
    troubles = sorted({why for why in found.values() if why})
    if troubles:
        raise CouldNotStart('; '.join(troubles))


def tidy(cluster, folders):
    """Removes unfinished files of dead workers in `folders`, on each machine that still has other workers."""
    left = workers(cluster)
    if cluster.seen - set(left):
        one_of_each = {urllib.parse.urlsplit(address).hostname: address for address in left}
        where = list(one_of_each.values())
        cluster.client.run(tasks.tidy, cluster.folder, folders, workers=where, on_error='ignore')
