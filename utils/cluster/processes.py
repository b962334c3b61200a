"""Workers as processes on a machine: how many cores each has, and what dask must not change."""

import os

TASKS = 'utils.cluster.tasks'  # loaded by each of them when it starts
SHARE = 'SALGAN_WORKERS_HERE'  # how many workers were started together on a machine


def environment(workers):
    """The environment of each of this many workers on this machine.

    The number of threads is the cores divided by the workers, unless the user has set OMP_NUM_THREADS. dask
    would set it to 1, and return freed memory to the kernel at once, which makes images' arrays slow.
    """
    threads = os.environ.get('OMP_NUM_THREADS') or str(max(1, cores() // workers))
    return {'OMP_NUM_THREADS': threads, 'OPENBLAS_NUM_THREADS': '1', SHARE: str(workers)}


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def configuration(workers):
    """dask's configuration for this environment."""
    return {'distributed.nanny.pre-spawn-environ': environment(workers)}
