"""A worker of a dask scheduler: `python -m utils.cluster.worker --scheduler tcp://HOST:PORT`.

It is dask's own worker, started so that it gets tasks of this version of the project. Unknown options are
passed on to `dask worker`, such as --tls-ca-file FILE, --death-timeout SECONDS or --interface ib0.
"""

from utils.cluster import version
from utils.cluster.options import dask_is_there
from utils.cluster.processes import TASKS, configuration, cores
from utils.command_line import argument_parser, positive, run
from utils.errors import CouldNotStart


def parser():
    parser = argument_parser(
        __doc__.split('\n')[0], 'Other options are those of `dask worker`; docs/cluster.md says more.'
    )
    option = parser.add_argument
    option('--scheduler', metavar='WHERE', help='tcp://HOST:PORT or tls://HOST:PORT (default: none)')
    option('--scheduler-file', metavar='FILE', help='instead, the file that it writes (default: none)')
    option(
        '--workers',
        type=positive,
        metavar='N',
        help='number of processes, which share the cores (default: one per core)',
    )
    return parser


def main():
    options, others = parser().parse_known_args()
    if bool(options.scheduler) == bool(options.scheduler_file):
        raise CouldNotStart('name a scheduler: --scheduler tcp://HOST:PORT or --scheduler-file FILE')
    dask_is_there()
    import dask
    from distributed.cli.dask_worker import main as dask_worker

    workers = options.workers or cores()
    dask.config.set(configuration(workers))
    ours = ['--scheduler-file', options.scheduler_file] if options.scheduler_file else [options.scheduler]
    ours += ['--nworkers', str(workers), '--nthreads', '1', '--resources', f'{version.resource()}=1']
    ours += ['--preload', TASKS]
    ours += ['--memory-limit', '0']  # one that needs too much ends itself, or is killed by the kernel
    dask_worker(ours + others)


if __name__ == '__main__':
    run(main)
