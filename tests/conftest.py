"""Where the records are, and what every test may use."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

if 'PYTEST_XDIST_WORKER' in os.environ:  # there are as many as cores
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    path = os.environ.pop('PYTHONPATH', '').removeprefix(os.getcwd()).lstrip(os.pathsep)  # not xdist's own
    os.environ.update({'PYTHONPATH': path} if path else {})

from tests import allowed_skips
from tests.helpers import processes, workers

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / 'tests' / 'golden'
REFERENCE_DATA = Path(
    os.environ.get('SALGAN_REFERENCE_DATA', ROOT.parent / 'shared' / 'golden' / 'never-commit')
)
sys.path[:0] = [str(ROOT), str(GOLDEN), *(str(GOLDEN / name) for name in ('metrics', 'cases', 'datasets'))]
# a shell's background jobs ignore it, and so would all that tests start and interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_configure = allowed_skips.pytest_configure


def pytest_collection_modifyitems(items):
    """What takes longest begins first; the first test that asks for float64 networks waits for them."""
    for item in items:
        if {'float64', 'float64_long'} & {*item.fixturenames}:
            item.add_marker(pytest.mark.timeout(3600))
    items.sort(key=lambda item: workers.place(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return workers.scheduler(config, log)


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


@pytest.fixture(scope='session')
def float64(tmp_path_factory):
    """The folder of what float64 networks compute, see tests/helpers/float64.py."""
    return _by_float64('quick', tmp_path_factory.mktemp('float64'))


@pytest.fixture(scope='session')
def float64_long(tmp_path_factory):
    """The same for whole trajectories and large maps."""
    return _by_float64('long', tmp_path_factory.mktemp('float64_long'))


def _by_float64(which, folder):
    """In a compile folder of its own, so that no lock holds it up."""
    program = ROOT / 'tests' / 'helpers' / 'float64.py'
    kept = ROOT / '.pytest_cache' / 'theano_float64'
    flags = {'THEANO_FLAGS': with_flags('floatX=float64', f'base_compiledir="{kept}"')}
    subprocess.run([sys.executable, program, folder, which], check=True, env={**os.environ, **flags})
    return folder


def with_flags(*flags):
    """THEANO_FLAGS with some more."""
    return ','.join(filter(None, [os.environ.get('THEANO_FLAGS'), *flags]))


def script(name, *arguments, cwd=None, timeout=600, fresh=False, **environment):
    """Runs one of the scripts as a user would; returns the finished process, output as text.

    `fresh` for a Python of its own, where it would be forked from one that has imported the packages.
    """
    texts = [os.fsdecode(a) if isinstance(a, (bytes, os.PathLike)) else str(a) for a in arguments]
    fresh = fresh or environment.keys() - {'OMP_NUM_THREADS'}
    environment = {**os.environ, **environment}
    if not fresh and processes.can_be_forked(environment):
        return processes.forked(
            processes.run_script,
            *(str(ROOT / name), *texts),
            cwd=cwd,
            timeout=timeout,
            environment=environment,
        )
    return subprocess.run(
        [sys.executable, str(ROOT / name), *texts],
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
        errors='surrogateescape',
        env=environment,
    )


def run_python(code, *arguments, **environment):
    """What `code` prints, run by another Python."""
    prelude = f'import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "golden")!r}]\n'
    texts = [prelude + code, *map(str, arguments)]
    fresh = environment.keys() - {'OMP_NUM_THREADS'}
    environment = {**os.environ, **environment}
    if not fresh and processes.can_be_forked(environment):
        result = processes.forked(processes.run_code, *texts, environment=environment)
        result.check_returncode()
        return result.stdout
    return subprocess.run(
        [sys.executable, '-c', *texts], env=environment, capture_output=True, text=True, check=True
    ).stdout


def passes_when_compiled(name, folder):
    """Compiles one of the C++ checks of this folder with sanitisers and runs it."""
    from backend import native, theano

    program = folder / 'check'
    flags = [flag for flag in native.FLAGS if flag not in ('-shared', '-fPIC', '-O3')]
    sanitisers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']
    command = [theano.config.cxx, '-O1', '-g', *native.vectors()[1], *flags, *sanitisers, '-o', str(program)]
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
