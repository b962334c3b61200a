"""Where the records are, and what every test may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / 'tests' / 'golden'
sys.path[:0] = [str(ROOT), str(GOLDEN), str(GOLDEN / 'metrics')]


@pytest.fixture(scope='session')
def reference_data():
    """The folder of other people's data that is run on and never committed; skips where it is not there."""
    folder = Path(os.environ.get('SALGAN_REFERENCE_DATA', ROOT.parent / 'shared' / 'golden' / 'never-commit'))
    if not (folder / 'salicon10').is_dir():
        pytest.skip('no reference data (SALGAN_REFERENCE_DATA)')
    return folder


def script(name, *arguments, cwd=None, timeout=600, **environment):
    """Runs one of the numbered scripts as a user would; returns the finished process, output as text."""
    return subprocess.run(
        [sys.executable, str(ROOT / name), *map(os.fspath, arguments)],
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
        errors='surrogateescape',
        env={**os.environ, **environment},
    )


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 1 MB of its own; skips where the user may not mount one."""
    folder = tmp_path / 'small disk'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip('cannot mount a small tmpfs')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)
