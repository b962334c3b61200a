"""Packs the project and its packages into one file, for machines without a network.

    .venv/bin/python requirements/bundle.py --make bundle.tar
    .venv/bin/python requirements/bundle.py --unpack bundle.tar FOLDER

The packages are those of build.txt and run.txt for the Python and the kind of machine that makes the bundle.
"""

import argparse
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOP, PACKAGES, MADE_FOR = 'salgan', 'packages', 'made-for.txt'
# as in the Makefile: PyPI has Theano and Lasagne as sources only
WHEELS = ['--require-hashes', '--only-binary', ':all:', '--no-binary', 'Theano,Lasagne']


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument('--make', type=Path, metavar='FILE', help='write the bundle')
    action.add_argument(
        '--unpack', type=Path, nargs=2, metavar=('BUNDLE', 'FOLDER'), help='unpack its packages into a folder'
    )
    arguments = parser.parse_args()
    try:
        make(arguments.make) if arguments.make else unpack(*arguments.unpack)
    except (OSError, tarfile.TarError, EOFError) as error:
        file = getattr(error, 'filename', None) or arguments.make or arguments.unpack[0]
        reason = getattr(error, 'strerror', None) or str(error).splitlines()[0].rstrip(':')
        sys.exit(stop(f'{file}: {reason}'))
    except subprocess.CalledProcessError as error:
        sys.exit(stop(f'{" ".join(map(str, error.cmd[:5]))} .. failed: the bundle needs git and a network'))


def here():
    """The Python and machine that packages are made for, in words."""
    return f'CPython {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform} {platform.machine()}'


def make(target):
    """Packs everything that git tracks, and the packages, under one folder in a tar archive."""
    names = git('ls-files', '-z').split('\0')[:-1]
    with tempfile.TemporaryDirectory(dir=target.resolve().parent, prefix='.salgan-') as scratch:
        packages = Path(scratch, PACKAGES)
        for name in ('build.txt', 'run.txt'):
            download(name, packages)
        (packages / MADE_FOR).write_text(here() + '\n', encoding='utf-8')
        archive = Path(scratch, 'archive')
        with tarfile.open(archive, 'w') as file:
            for name in names:
                if (ROOT / name).exists():  # it may be deleted but not yet committed
                    file.add(ROOT / name, f'{TOP}/{name}')
            file.add(packages, f'{TOP}/{PACKAGES}')
        os.replace(archive, target)
    print(
        f'{target}: {target.stat().st_size >> 20} MB for {here()}. There: tar xf {target.name} && '
        f'cd {TOP} && make demo OFFLINE=.',
        file=sys.stderr,
    )


def git(*arguments):
    return subprocess.run(
        ['git', *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding='utf-8'
    ).stdout


def download(name, packages):
    """The packages of a requirements file; Theano's sources, with their old setup, are asked for theirs."""
    subprocess.run(
        [
            *(sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check', 'download', *WHEELS),
            *('--no-build-isolation', '--no-deps', '--dest', packages, '-r', ROOT / 'requirements' / name),
        ],
        env={**os.environ, 'PYTHONPATH': str(ROOT / 'requirements' / 'build')},
        check=True,
    )


def unpack(bundle, folder):
    """Unpacks only the packages, and only for this Python and this kind of machine."""
    shutil.rmtree(folder, ignore_errors=True)
    if bundle.is_dir():
        shutil.copytree(bundle / PACKAGES, folder)
    else:
        folder.mkdir(parents=True)
        with tarfile.open(bundle) as file:
            for member in file:
                top, _, rest = member.name.partition(f'{TOP}/{PACKAGES}/')
                if member.isfile() and rest and not top and '/' not in rest:
                    with (
                        file.extractfile(member) or io.BytesIO() as source,
                        open(folder / rest, 'wb') as target,
                    ):
                        shutil.copyfileobj(source, target)
    made_for = folder / MADE_FOR
    if not made_for.exists():
        sys.exit(stop(f'{bundle} is no bundle: make one by `make bundle` where there is a network'))
    wanted = made_for.read_text(encoding='utf-8').strip()
    if wanted != here():
        sys.exit(
            stop(
                f'{bundle} is for {wanted}, and this is {here()}: make one with this Python on this kind of '
                'machine, or name that Python by PYTHON=...'
            )
        )


def stop(sentence):
    print(sentence, file=sys.stderr)
    return 2


if __name__ == '__main__':
    main()
