"""`make demo`, and tests, on fresh Debians: each in a folder, with the README's packages and an empty home.

    .venv/bin/python tests/systems.py [bookworm trixie sid] [--tests FILES]

Needs root and a network. Prints a row of a table for each system and each Python of it; exit status 1 where a
demo fails or its maps are more than one grey level from those of this environment, or where a test fails.
"""

import argparse
import contextlib
import datetime
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.helpers.roots import debian, execute  # noqa: E402

PACKAGES = ['g++', 'make', 'git', 'ca-certificates']
PYTHONS = {'bookworm': ['python3.11'], 'trixie': ['python3'], 'sid': ['python3', 'python3.15']}
USER, HOME = '4321', '/home/u'
VERSIONS = (
    'import platform, numpy, subprocess\n'
    'compiler = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()\n'
    'print(platform.python_version(), numpy.__version__, compiler, sep=" | ")'
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('suites', nargs='*', choices=[[], *PYTHONS], default=[], help='(default: all)')
    parser.add_argument(
        '--tests', nargs='+', metavar='FILE', default=[], help='after the demo (default: none)'
    )
    parser.add_argument(
        '--roots', type=Path, default='/var/tmp/salgan-roots', help='kept there (default: %(default)s)'
    )
    arguments = parser.parse_args()
    print('| system | Python | NumPy | g++ | machine | what | date | seconds |')
    print('| --- | --- | --- | --- | --- | --- | --- | --- |', flush=True)
    failed = 0
    for suite in arguments.suites or PYTHONS:
        base = arguments.roots / suite
        trouble = make_base(base, suite)
        if trouble:
            sys.exit(trouble)
        for python in PYTHONS[suite]:
            with fresh(base) as root:
                failed += not tried(root, python, arguments.tests)
    return 1 if failed else 0


def make_base(base, suite):
    """A root folder with the README's packages, unless it is there; a sentence where it cannot be made."""
    done = base.with_name(f'{suite}.done')
    if done.exists():
        return None
    base.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(base, ignore_errors=True)
    trouble = debian(base, suite)
    if trouble:
        return trouble
    pythons = [python + part for python in PYTHONS[suite] for part in ('', '-venv', '-dev')]
    install = (
        f'apt-get update && apt-get install --yes --no-install-recommends {" ".join(PACKAGES + pythons)}'
    )
    execute(base, ['sh', '-c', install], check=True, DEBIAN_FRONTEND='noninteractive')
    done.touch()
    return None


@contextlib.contextmanager
def fresh(base):
    """`base` with the checkout in an otherwise empty home; nothing of what is written there is kept."""
    with tempfile.TemporaryDirectory(dir=base.parent) as scratch:
        root, upper, work = (Path(scratch, name) for name in ('root', 'upper', 'work'))
        for folder in (root, upper, work):
            folder.mkdir()
        overlay = f'lowerdir={base},upperdir={upper},workdir={work}'
        command = ['mount', '-t', 'overlay', 'overlay', '-o', overlay, str(root)]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if not mounted:
            subprocess.run(['cp', '--archive', f'{base}/.', root], check=True)
        try:
            with open(root / 'etc/passwd', 'a', encoding='utf-8') as file:
                file.write(f'u:x:{USER}:{USER}::{HOME}:/bin/sh\n')
            home = root / HOME[1:]
            command = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
            for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.split(
                b'\0'
            ):
                source, target = ROOT / os.fsdecode(name), home / 'salgan' / os.fsdecode(name)
                if name and source.is_file():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, target)
            subprocess.run(['chown', '--recursive', f'{USER}:{USER}', home], check=True)
            yield root
        finally:
            if mounted:
                subprocess.run(['umount', '-l', root], check=True)


def tried(root, python, tests):
    """Whether all went well; prints the rows."""
    inside = {'user': USER, 'folder': f'{HOME}/salgan', 'HOME': HOME}
    started = time.monotonic()
    demo = execute(root, ['make', 'demo', *([f'PYTHON={python}'] if python != 'python3' else [])], **inside)
    seconds = time.monotonic() - started
    if demo.returncode:
        print(demo.stdout[-2000:], demo.stderr[-4000:], sep='\n', file=sys.stderr)
        row(root, f'{python} | | ', f'make demo: exit status {demo.returncode}', seconds)
        return False
    versions = execute(root, ['.venv/bin/python', '-c', VERSIONS], check=True, **inside).stdout.strip()
    difference = from_ours(root / HOME[1:] / 'salgan' / 'demo')
    row(root, versions, f'`make demo`, difference {difference}', seconds)
    return difference <= 1 and (not tests or passed(root, versions, tests, inside))


def passed(root, versions, tests, inside):
    """Whether the tests pass there, without those that are long."""
    install = ['make', '.venv/dev.stamp']
    execute(root, install, check=True, **inside)
    started = time.monotonic()
    command = ['.venv/bin/python', '-m', 'pytest', '-q', '-m', 'not long', '-p', 'no:cacheprovider', *tests]
    result = execute(root, command, **inside)
    lines = result.stdout.strip().splitlines()
    if result.returncode:
        print(*lines[-400:], result.stderr[-2000:], sep='\n', file=sys.stderr)
    row(root, versions, f'tests of {len(tests)} files: {lines[-1].strip("= ")}', time.monotonic() - started)
    return result.returncode == 0


def from_ours(demo):
    """The largest difference, in grey levels, of the demo's maps from those that this environment makes."""
    with tempfile.TemporaryDirectory() as folder:
        script = [sys.executable, str(ROOT / '03-predict.py'), str(demo / 'images'), '--output', folder]
        command = [*script, '--weights', str(demo / 'standin_modelWeights.npz')]
        subprocess.run(command, check=True, capture_output=True)
        ours = sorted(Path(folder).glob('*.jpg'))
        assert len(ours) == 3, ours
        pairs = [[cv2.imread(str(p), 0).astype(int) for p in (q, demo / 'saliency' / q.name)] for q in ours]
    return max(int(np.abs(one - other).max()) for one, other in pairs)


def row(root, versions, what, seconds):
    release = (root / 'etc/os-release').read_text(encoding='utf-8').splitlines()
    name = next(line.partition('=')[2].strip('"') for line in release if line.startswith('PRETTY_NAME='))
    today = datetime.date.today().isoformat()
    print(f'| {name} | {versions} | {platform.machine()} | {what} | {today} | {seconds:.0f} |', flush=True)


if __name__ == '__main__':
    sys.exit(main())
