"""A machine with a card that is its own processor: what the tests of device=cuda run programs in.

Real are pygpu and libgpuarray (Debian 12), the headers of CUDA and cuDNN, NVRTC and ptxas (PyPI), and g++.
The driver, cuBLAS and cuDNN are those of tests/virtual_card, and so is NVRTC where kernels are to be run.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.virtual_card.build import build, cudnn_version

GPU = ROOT / 'requirements' / 'gpu.py'
CAPABILITY = ROOT / 'requirements' / 'capability.cpp'
PINNED = (ROOT / 'requirements' / 'gpu.txt').read_text()
ALWAYS = ['mako', 'markupsafe']
CUDA = ['nvidia-cuda-nvrtc-cu12', 'nvidia-cuda-runtime-cu12', 'nvidia-cuda-nvcc-cu12']
CUDNN = 'nvidia-cudnn-cu12'
OTHERS = {  # (packages of CUDA, of cuDNN) beside the pinned ones
    'cuDNN 8': (CUDA, f'{CUDNN}==8.9.7.29'),
    'cuDNN 9.27': (CUDA, f'{CUDNN}==9.27.0.42'),
    'CUDA 13': (
        ['nvidia-cuda-nvrtc==13.0.88', 'nvidia-cuda-runtime==13.0.96', 'nvidia-cuda-crt==13.0.88'],
        'nvidia-cudnn-cu13==9.19.0.56',
    ),
}


def packages(which='pinned'):
    """A folder of packages in which device=cuda finds everything: the pinned ones, or one of OTHERS.

    Downloaded once and kept in the user's cache, as is what the virtual card compiles; skips where it cannot
    be downloaded.
    """
    if sys.version_info[:2] != (3, 11):
        pytest.skip('pygpu is there for Python 3.11 only')
    base = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'salgan-tests')
    made_of = PINNED.encode() + GPU.read_bytes() + CAPABILITY.read_bytes()
    folder = base / f'{hashlib.sha256(made_of).hexdigest()[:12]}-{which.replace(" ", "-")}'
    base.mkdir(parents=True, exist_ok=True)
    with alone(base / f'{folder.name}.lock'):
        if not (folder / 'whole').exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            download(folder, *OTHERS.get(which, (CUDA, CUDNN)))
            build_card(folder)
            from_debian(folder)
            (folder / 'whole').touch()
        build_card(folder)  # of this checkout
    return folder


@contextlib.contextmanager
def alone(path):
    """No other process is in here with the same file."""
    with open(path, 'w', encoding='ascii') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def download(folder, cuda, cudnn):
    """The real parts, and of cuDNN, whose libraries have a gigabyte, the headers."""
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch, 'requirements.txt')
        try:
            for packages in (ALWAYS, cuda):
                requirements.write_text('\n'.join(map(pinned, packages)))
                run(*pip, 'install', '--no-deps', '--upgrade', '--target', folder, '-r', requirements)
            requirements.write_text(pinned(cudnn))
            run(*pip, 'download', '--no-deps', '--no-cache-dir', '--dest', scratch, '-r', requirements)
        except subprocess.CalledProcessError as error:
            pytest.skip(f'what a card needs cannot be downloaded: {error.stderr.strip()[-300:]}')
        with zipfile.ZipFile(next(Path(scratch).glob('nvidia_cudnn*.whl'))) as wheel:
            wheel.extractall(folder, [name for name in wheel.namelist() if '/include/' in name])


def from_debian(folder):
    """pygpu and libgpuarray, and the libraries that requirements/gpu.py makes."""
    try:
        run(sys.executable, GPU, '--target', folder)
    except subprocess.CalledProcessError as error:
        if 'cannot be had from here' not in error.stderr:
            raise
        pytest.skip(f'what a card needs cannot be downloaded: {error.stderr.strip()[-300:]}')


def pinned(name):
    """The lines of requirements/gpu.txt on that package, hashes and all; a version that is named stays."""
    if '==' in name:
        return name
    found = re.search(rf'^{name}==[^\\\n]*(\\\n +--hash[^\\\n]*)+', PINNED, re.MULTILINE)
    assert found, name
    return found[0]


def build_card(folder):
    """The driver, what NVIDIA's packages would have, and, apart from NVIDIA's own, NVRTC."""
    nvidia = folder / 'nvidia'
    build('driver', folder / 'driver' / 'libcuda.so.1', folder)
    build('nvrtc', folder / 'compiler' / 'libnvrtc.so.12', folder)
    cublas = Path('cu13/lib/libcublas.so.13' if (nvidia / 'cu13').is_dir() else 'cublas/lib/libcublas.so.12')
    build('cublas', nvidia / cublas, folder)
    build('cudnn', nvidia / 'cudnn' / 'lib' / f'libcudnn.so.{cudnn_version(folder)[0]}', folder)


def run(*command):
    return subprocess.run([*map(os.fspath, command)], check=True, capture_output=True, text=True)


def variables(folder, flags='', computes=False, **others):
    """The environment of a process that finds these packages and the virtual card.

    With `computes` kernels are compiled for this computer's processor and run; without, by NVIDIA's NVRTC and
    not run. libgpuarray keeps kernels by their source alone, so that each kind has a folder of its own.
    """
    kind = 'real' if not computes else 'watched' if 'CARD_RACES' in others else 'virtual'
    settings = [os.environ.get('THEANO_FLAGS'), 'device=cuda', flags]
    if computes:
        settings.append(f'gpuarray.cache_path={folder / "kept" / kind}')
    libraries = [folder / 'driver', *([folder / 'compiler'] if computes else [])]
    return {
        **os.environ,
        'PYTHONPATH': os.fspath(folder),
        'LD_LIBRARY_PATH': os.pathsep.join(map(os.fspath, libraries)),
        'THEANO_FLAGS': ','.join(filter(None, settings)),
        **others,
    }


def python(*arguments, **environment):
    """Another Python, in the checkout's top folder; the finished process."""
    return subprocess.run(
        [sys.executable, *(a if isinstance(a, os.PathLike) else str(a) for a in arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=7000,
        env=environment,
    )
