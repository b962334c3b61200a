"""Cost of dask.distributed: processor time per task, memory per path, and how far more workers help.

Measures the processor time, which other work on the machine affects less than wall-clock time, of three
processes: a scheduler, this client, and one with all the workers, whose tasks do nothing. From this it
computes how many images per second a number of workers predict if one image takes `--seconds`, and how many
workers saturate the busier of scheduler and client, which use one core each.

    python benchmarks/cluster.py --paths 1000000
"""

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from utils import image_sources, outputs  # noqa: E402
from utils.cluster import connection, version, work  # noqa: E402

LINKS = 30000  # per file: file systems limit them
NAME = f'{Path(__file__).parent.name}.{Path(__file__).stem}.nothing'


def nothing(settings, chunk, shared, go_on):
    """Replaces `utils.cluster.predicting.predict_chunk`."""
    for _ in chunk:
        go_on()
    return {}


# --- processes ---


async def work_for(address, number):
    """Runs that many workers in this process until it is told to end."""
    from distributed import Worker

    offers = {version.resource(): 1.0}
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(number):
            await stack.enter_async_context(Worker(address, nthreads=1, memory_limit=0, resources=offers))
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()


@contextlib.contextmanager
def started(*command):
    """The id of a process that runs while the block lasts."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def cluster_of(workers):
    """A `connection.Cluster` of that many workers, and the ids of the scheduler's and workers' processes."""
    from distributed import Client

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = os.path.join(folder, 'scheduler.json')
        dask = ['-m', 'distributed.cli.dask_scheduler', '--host', '127.0.0.1', '--port', 0, '--no-dashboard']
        scheduler = stack.enter_context(started(*dask, '--scheduler-file', file))
        client = stack.enter_context(Client(scheduler_file=file, set_as_default=False))
        worker = stack.enter_context(started(__file__, '--work-for', client.scheduler.address, workers))
        client.wait_for_workers(workers)
        yield connection.Cluster(client, 'here', 'benchmark', os.getcwd(), set(), set()), scheduler, worker


def processor_seconds(pid):
    with open(f'/proc/{pid}/stat') as file:
        fields = file.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


# --- measurements ---


def milliseconds_a_task(workers, tasks):
    """Processor time of the scheduler, the client and the worker."""
    size = work.LARGEST
    with cluster_of(workers) as (cluster, scheduler, worker):
        list(work.spread(cluster, NAME, None, range(workers), 1))  # opens the connections
        pids = scheduler, os.getpid(), worker
        before = [processor_seconds(pid) for pid in pids]
        items = ((f'/a/shared/folder/of/images/{i:09d}.jpg', i) for i in range(tasks * size))
        for _ in work.spread(cluster, NAME, None, items, size):
            pass
        return [1000 * (processor_seconds(pid) - was) / tasks for pid, was in zip(pids, before)]


def memory_of(paths):
    """Kilobytes that the client needs per listed image, and processor seconds to list all."""
    with tempfile.TemporaryDirectory() as folder:
        image = cv2.imencode('.jpg', np.zeros((48, 64, 3), np.uint8))[1]
        for number in range(paths):
            below = os.path.join(folder, 'images', f'{number // 1000:04d}')
            if number % 1000 == 0:
                os.makedirs(below, exist_ok=True)
            path = os.path.join(below, f'{number:09d}.jpg')
            if number % LINKS == 0:
                image.tofile(path)
                first = path
            else:
                os.link(first, path)
        before, began = resident(), time.process_time()
        sources, _ = image_sources.find([os.path.join(folder, 'images')])
        targets = outputs.plan(sources, os.path.join(folder, 'saliency'), ['jpg'])
        took = time.process_time() - began
        assert len(targets) == paths
        return (resident() - before) / paths / 1024, took


def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--workers', type=int, nargs='+', default=[1, 10, 100], metavar='N')
    parser.add_argument('--seconds', type=float, default=0.06, help='per image: 0.06 is 1000 per minute')
    parser.add_argument('--tasks', type=int, default=2000, metavar='N')
    parser.add_argument('--paths', type=int, default=100_000, metavar='N', help='in the list')
    parser.add_argument('--work-for', nargs=2, metavar=('ADDRESS', 'N'), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work_for:
        asyncio.run(work_for(options.work_for[0], int(options.work_for[1])))
        return

    kilobytes, took = memory_of(options.paths)
    print(
        f'a list of {options.paths} images: {kilobytes:.2f} KB of memory per image, listed in {took:.1f} s\n'
    )
    print('| workers | scheduler, ms per task | client | worker | images per second | share of the network |')
    print('| ---: | ---: | ---: | ---: | ---: | ---: |')
    chunk = options.seconds * work.LARGEST
    for workers in options.workers:
        scheduler, client, worker = milliseconds_a_task(workers, options.tasks)
        share = chunk / (chunk + worker / 1000)
        most = 1000 * work.LARGEST / max(scheduler, client)
        rate = min(workers * share / options.seconds, most)
        costs = f'{scheduler:.2f} | {client:.2f} | {worker:.2f}'
        print(f'| {workers} | {costs} | {rate:.0f} | {100 * share:.1f} % |', flush=True)
    print(f'\nmore than {most * options.seconds:.0f} workers do not help: {most:.0f} images per second')


if __name__ == '__main__':
    main()
