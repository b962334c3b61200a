"""A machine with a card, but for the card: what tests/test_gpu.py runs programs in.

Real are pygpu and libgpuarray (Debian 12), NVRTC, the headers of CUDA and cuDNN (PyPI), and gcc; the driver,
cuBLAS and cuDNN are those of tests/gpu_stubs, which compute nothing.
"""

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
from tests.gpu_stubs.build import build

GPU = ROOT / 'requirements' / 'gpu.py'
PINNED = (ROOT / 'requirements' / 'gpu.txt').read_text()
REAL = ['nvidia-cuda-nvrtc-cu12', 'nvidia-cuda-runtime-cu12', 'nvidia-cuda-nvcc-cu12', 'mako', 'markupsafe']
NEWEST_CUDNN = '9.27.0.42'


def packages(cudnn=8):
    """A folder of packages in which device=cuda finds everything, with the image's cuDNN or a newer one.

    Made once and kept in the user's cache; skips where it cannot be downloaded.
    """
    if sys.version_info[:2] != (3, 11):
        pytest.skip('pygpu is there for Python 3.11 only')
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    key = hashlib.sha256(PINNED.encode() + GPU.read_bytes()).hexdigest()[:12]
    folder = Path(base, 'salgan-tests', f'{key}-cudnn{cudnn}')
    whole = folder / 'whole'
    if not whole.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            download(folder, cudnn)
            build_stubs(folder, cudnn)
            run(sys.executable, GPU, '--target', folder)
        except subprocess.CalledProcessError as error:
            pytest.skip(f'what a card needs cannot be downloaded: {error.stderr.strip()[-300:]}')
        whole.touch()
    build_stubs(folder, cudnn)  # of this checkout
    return folder


def download(folder, cudnn):
    """The real parts, and of cuDNN, whose libraries have a gigabyte, the headers."""
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch, 'requirements.txt')
        requirements.write_text('\n'.join(map(pinned, REAL)))
        run(*pip, 'install', '--no-deps', '--require-hashes', '--target', folder, '-r', requirements)
        name = 'nvidia-cudnn-cu12'
        requirements.write_text(pinned(name) if cudnn == 8 else f'{name}=={NEWEST_CUDNN}')
        run(*pip, 'download', '--no-deps', '--no-cache-dir', '--dest', scratch, '-r', requirements)
        with zipfile.ZipFile(next(Path(scratch).glob('nvidia_cudnn*.whl'))) as wheel:
            wheel.extractall(folder, [name for name in wheel.namelist() if '/include/' in name])


def pinned(name):
    """The lines of requirements/gpu.txt on that package, hashes and all."""
    found = re.search(rf'^{name}==[^\\\n]*(\\\n +--hash[^\\\n]*)+', PINNED, re.MULTILINE)
    assert found, name
    return found[0]


def build_stubs(folder, cudnn):
    """Of the driver, and of what NVIDIA's packages have."""
    nvidia = folder / 'nvidia'
    for name, library in (
        ('driver', folder / 'driver' / 'libcuda.so.1'),
        ('cublas', nvidia / 'cublas' / 'lib' / 'libcublas.so.12'),
        ('cudnn', nvidia / 'cudnn' / 'lib' / f'libcudnn.so.{cudnn}'),
    ):
        library.parent.mkdir(parents=True, exist_ok=True)
        build(name, library)


def run(*command):
    return subprocess.run([*map(os.fspath, command)], check=True, capture_output=True, text=True)


def variables(folder, flags='', **others):
    """The environment of a process that finds these packages and the stub of the driver."""
    return {
        **os.environ,
        'PYTHONPATH': os.fspath(folder),
        'LD_LIBRARY_PATH': os.fspath(folder / 'driver'),
        'THEANO_FLAGS': ','.join(filter(None, [os.environ.get('THEANO_FLAGS'), 'device=cuda', flags])),
        **others,
    }
