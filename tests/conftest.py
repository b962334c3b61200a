"""Where the records are, and what every test may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / 'tests' / 'golden'
REFERENCE_DATA = Path(
    os.environ.get('SALGAN_REFERENCE_DATA', ROOT.parent / 'shared' / 'golden' / 'never-commit')
)
sys.path[:0] = [str(ROOT), str(GOLDEN), *(str(GOLDEN / name) for name in ('metrics', 'cases', 'datasets'))]


@pytest.fixture(scope='session')
def reference_data():
    """The folder of other people's data that is run on and never committed; skips where it is not there."""
    if not (REFERENCE_DATA / 'salicon10').is_dir():
        pytest.skip('no reference data (SALGAN_REFERENCE_DATA)')
    return REFERENCE_DATA


@pytest.fixture(scope='session')
def seeded_weights(tmp_path_factory):
    """A generator's weights file of the size and layout of the released one: those of the records."""
    import inputs

    from utils import weights

    path = tmp_path_factory.mktemp('weights') / 'seeded.npz'
    weights.save(path, inputs.generator_arrays(1))
    return path


def script(name, *arguments, cwd=None, timeout=600, **environment):
    """Runs one of the numbered scripts as a user would; returns the finished process, output as text."""
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / name),
            *(os.fsdecode(a) if isinstance(a, (bytes, os.PathLike)) else str(a) for a in arguments),
        ],
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
        errors='surrogateescape',
        env={**os.environ, **environment},
    )


def run_python(code, *arguments, **environment):
    """What `code` prints, run by another Python."""
    prelude = f'import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "golden")!r}]\n'
    return subprocess.run(
        [sys.executable, '-c', prelude + code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def passes_when_compiled(name, sanitisers, folder):
    """Compiles one of the C++ checks of this folder and runs it."""
    from backend import native, theano

    program = folder / 'check'
    flags = [flag for flag in native.FLAGS if flag not in ('-shared', '-fPIC', '-O3')]
    command = [theano.config.cxx, '-O1', '-g', '-mavx2', '-mfma', *flags, *sanitisers, '-o', str(program)]
    subprocess.run([*command, str(ROOT / 'tests' / name)], check=True)
    quietly = {**os.environ, 'OMP_WAIT_POLICY': 'passive'}  # more threads than cores
    result = subprocess.run([program], capture_output=True, text=True, check=False, env=quietly)
    assert result.returncode == 0, result.stdout + result.stderr


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
