"""A worker of a dask scheduler: `python -m utils.cluster.worker tcp://HOST:PORT`, on each machine that helps.

It is dask's own, started so that tasks of this version of the project are given to it: what it does not know
itself it hands on to `dask worker`, such as --tls-ca-file FILE, --death-timeout SECONDS or --interface ib0.
"""

import os

from utils.cluster import version
from utils.command_line import argument_parser, positive, run

TASKS = 'utils.cluster.tasks'
SHARE = 'SALGAN_WORKERS_HERE'  # how many workers of one start there are on a machine


def parser():
    parser = argument_parser(
        __doc__.split('\n')[0], 'Other options are those of `dask worker`; docs/cluster.md says more.'
    )
    option = parser.add_argument
    option('address', nargs='?', metavar='SCHEDULER', help='tcp://HOST:PORT or tls://HOST:PORT')
    option('--scheduler-file', metavar='FILE', help='that the scheduler writes, in its place (default: none)')
    option(
        '--workers',
        type=positive,
        metavar='N',
        help='processes, which share the cores between them (default: one a core)',
    )
    return parser


def environment(workers):
    """The environment of each of so many workers on this machine.

    Threads: the cores divided by the workers, unless the user has set OMP_NUM_THREADS. dask would set it to 1,
    and have freed memory given back to the kernel at once, which an image's arrays then pay for.
    """
    threads = os.environ.get('OMP_NUM_THREADS') or str(max(1, cores() // workers))
    return {'OMP_NUM_THREADS': threads, 'OPENBLAS_NUM_THREADS': '1', SHARE: str(workers)}


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def configuration(workers):
    """dask's configuration for it."""
    return {'distributed.nanny.pre-spawn-environ': environment(workers)}


def main():
    options, others = parser().parse_known_args()
    from utils.cluster.connection import dask_is_there

    dask_is_there()
    import dask
    from distributed.cli.dask_worker import main as dask_worker

    workers = options.workers or cores()
    dask.config.set(configuration(workers))
    where = ['--scheduler-file', options.scheduler_file] if options.scheduler_file else [options.address or '']
    ours = ['--nworkers', workers, '--nthreads', 1, '--resources', f'{version.resource()}=1', '--preload', TASKS]
    ours += ['--memory-limit', 0]  # a worker that asks for too much ends by itself, or by the kernel
    dask_worker([*map(str, [*where, *ours, *others])])


if __name__ == '__main__':
    run(main)
