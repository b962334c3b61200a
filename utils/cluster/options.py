"""The options that name a scheduler. Imports nothing slow, so that `--help` answers at once."""

import argparse
import importlib.util
import os
import re

from utils.errors import CouldNotStart

TLS = ('tls_ca_file', 'tls_cert', 'tls_key')


def scheduler(text):
    """'local', 'local:3' or 'tcp://HOST:PORT', the value of --scheduler."""
    if re.fullmatch(r'local(:[1-9]\d*)?|(tcp|tls)://\S+:\d+', text):
        return text
    raise argparse.ArgumentTypeError(
        f'{text!r} is none of tcp://HOST:PORT, tls://HOST:PORT, local and local:N'
    )


def add_scheduler(parser):
    """Adds the options for working outside this process."""
    option = parser.add_argument_group('several machines (docs/cluster.md)').add_argument
    option(
        '--scheduler',
        type=scheduler,
        metavar='WHERE',
        help='tcp://HOST:PORT of a dask scheduler, or local:N for N processes here, local for one per core '
        '(default: this process, with threads)',
    )
    option(
        '--scheduler-file',
        metavar='FILE',
        help='the file that `dask scheduler --scheduler-file` writes, on a disk that all see (default: none)',
    )
    option(
        '--tls-ca-file', metavar='FILE', help="the certificate of the scheduler's authority (default: none)"
    )
    option('--tls-cert', metavar='FILE', help='our certificate for it (default: none)')
    option('--tls-key', metavar='FILE', help='the key of our certificate (default: none)')


def is_asked_for(options):
    """Whether the work is to be done outside this process."""
    return bool(options.scheduler or options.scheduler_file)


def check(options, **without):
    """Raises CouldNotStart for options that exclude each other.

    `without`: options that only work in this process, with the reason for each: {'snapshots': 'why'}.
    """
    tls = [name for name in TLS if getattr(options, name)]
    if not is_asked_for(options):
        if tls:
            raise CouldNotStart(
                f'{_spelt(tls[0])} is for a scheduler: name it by --scheduler or --scheduler-file'
            )
        return
    if options.scheduler and options.scheduler_file:
        raise CouldNotStart('--scheduler and --scheduler-file name one scheduler each; give one of them')
    if tls and len(tls) < len(TLS):
        raise CouldNotStart(f'TLS takes three files: {", ".join(map(_spelt, TLS))}')
    if tls and options.scheduler and not options.scheduler.startswith('tls://'):
        raise CouldNotStart(f'TLS files are for --scheduler tls://HOST:PORT, and not for {options.scheduler}')
    if options.scheduler and options.scheduler.startswith('tls://') and not tls:
        raise CouldNotStart(f'{options.scheduler} takes three files: {", ".join(map(_spelt, TLS))}')
    for name, why in without.items():
        if getattr(options, name):
            raise CouldNotStart(f'{_spelt(name)} does not go with a scheduler: {why}')
    dask_is_there()


def dask_is_there():
    """Raises CouldNotStart if dask.distributed is not installed."""
    if importlib.util.find_spec('distributed') is None:
        raise CouldNotStart(
            'a scheduler needs dask.distributed, which this environment lacks: install it with `make cluster`'
        )


def _spelt(name):
    return '--' + name.replace('_', '-')


def current_folder():
    """The current folder under the name by which other machines find it: the shell's, if it has one.

    An automounted home has a machine-specific name besides the common one.
    """
    here, named = os.getcwd(), os.environ.get('PWD', '')
    if os.path.isabs(named) and os.path.isdir(named) and os.path.samefile(named, here):
        return named
    return here
