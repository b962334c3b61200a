"""A worker of a dask scheduler: `python -m utils.cluster.worker tcp://HOST:PORT`, on each machine that helps.

It is dask's own, started so that tasks of this version of the project are given to it: what it does not know
itself it hands on to `dask worker`, such as --tls-ca-file FILE, --death-timeout SECONDS or --interface ib0.
"""

from utils.cluster import version
from utils.cluster.options import dask_is_there
from utils.cluster.processes import TASKS, configuration, cores
from utils.command_line import argument_parser, positive, run


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


def main():
    options, others = parser().parse_known_args()
    dask_is_there()
    import dask
    from distributed.cli.dask_worker import main as dask_worker

    workers = options.workers or cores()
    dask.config.set(configuration(workers))
    where = (
        ['--scheduler-file', options.scheduler_file] if options.scheduler_file else [options.address or '']
    )
    ours = [
        '--nworkers',
        workers,
        '--nthreads',
        1,
        '--resources',
        f'{version.resource()}=1',
        '--preload',
        TASKS,
    ]
    ours += ['--memory-limit', 0]  # a worker that asks for too much ends by itself, or by the kernel
    dask_worker([*map(str, [*where, *ours, *others])])


if __name__ == '__main__':
    run(main)
