"""The project on arm64, by an emulator: both C++ checks whole, a generator's map, and 03 as a command.

Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import inputs
import numpy as np
import pytest

from backend import native, winograd
from tests.conftest import GOLDEN, ROOT
from tests.helpers.engines import needs_cpp
from tests.helpers.roots import unpacked
from utils.architecture import GENERATOR, MEAN_BGR

pytestmark = pytest.mark.long
FLAGS = [flag for flag in native.FLAGS if flag not in ('-shared', '-fPIC', '-O3')]


def emulated(name, folder, given=b''):
    """What the program that is made of a C++ file of this folder writes."""
    source, program = str(ROOT / 'tests' / name), str(folder / 'program')
    subprocess.run(['aarch64-linux-gnu-g++', '-static', '-O2', *FLAGS, source, '-o', program], check=True)
    quietly = {**os.environ, 'OMP_WAIT_POLICY': 'passive'}  # more threads than cores
    command = ['qemu-aarch64-static', program]
    result = subprocess.run(command, input=given, capture_output=True, check=False, env=quietly)
    assert result.returncode == 0, (result.stdout + result.stderr).decode(errors='replace')
    return result.stdout


@pytest.mark.parametrize('name', ['winograd_check.cpp', 'convolutions_check.cpp'])
def test_the_checks_pass_with_neon(name, tmp_path):
    assert emulated(name, tmp_path).endswith(b'all good\n')


@needs_cpp
def test_a_map_is_that_of_this_cpu(tmp_path):
    """A generator's at 64 x 48, before the sigmoid; tests/test_winograd.py holds this CPU's to float64."""
    arrays = [np.ascontiguousarray(array, np.float32) for array in inputs.generator_arrays(0)[:-1]]
    image = inputs.batch(0, 1, 64, 48)[0][:, ::-1]
    image = np.float32(image - np.array(MEAN_BGR).reshape(1, 3, 1, 1))
    numbers = np.array([len(steps()), *np.ravel(steps()), *image.shape], np.int64)
    given = b''.join(array.tobytes() for array in (numbers, image, *arrays))
    output = np.frombuffer(emulated('arm64_chain.cpp', tmp_path, given), np.float32).reshape(1, 1, 48, 64)
    chain = winograd.Chain(tuple((kind, flip) for kind, _, _, flip in steps()))
    expected = np.empty((1, 1, 48, 64), np.float32)
    chain._run([image, *arrays], expected)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5)


def steps():
    """A generator as winograd.cpp takes it: (kind, channels, filters, flip) of each step."""
    found, channels, upscaled = [], 3, False
    for layer in GENERATOR:
        if layer.kind == 'upscale':
            upscaled = True
            continue
        if layer.kind == 'pool':
            kind, filters = winograd.POOL, channels
        else:
            kind = winograd.UPSCALED_CONVOLUTION if upscaled else winograd.CONVOLUTION
            kind, filters = (kind if layer.side == 3 else winograd.WEIGHTED_SUM), layer.units
        found.append((kind, channels, filters, int(layer.flips)))
        channels, upscaled = filters, False
    return found


# --- Python and Theano ---

SUITE, PYTHON = 'bookworm', 'python3.11'
WHEELS = re.compile(r'(numpy|opencv-python-headless|pillow|scipy|six|tqdm)==')  # what 03 imports
PLATFORMS = ('manylinux_2_28_aarch64', 'manylinux_2_17_aarch64', 'manylinux2014_aarch64')


@pytest.fixture(scope='module')
def arm64(tmp_path_factory):
    """A function: arguments of an arm64 Python -> the finished process.

    That Python and the packages are Debian's and the pinned ones for arm64. The compiler runs unemulated.
    """
    folder = tmp_path_factory.mktemp('arm64')
    root, packages, links = folder / 'root', folder / 'packages', folder / 'links'
    trouble = unpacked(root, SUITE, 'arm64', f'{PYTHON}-dev', 'libgomp1')
    if trouble:
        pytest.skip(trouble)
    pinned = re.split(r'(?m)^(?=[a-zA-Z])', (ROOT / 'requirements' / 'run.txt').read_text())
    (folder / 'pinned.txt').write_text(''.join(block for block in pinned if WHEELS.match(block)))
    options = ['--quiet', '--no-deps', '--require-hashes', '--only-binary', ':all:']
    options += [f'--platform={name}' for name in PLATFORMS]
    command = [sys.executable, '-m', 'pip', 'install', *options, '--python-version', PYTHON[6:]]
    subprocess.run([*command, '--target', packages, '-r', folder / 'pinned.txt'], check=True)
    for path in Path(sysconfig.get_path('purelib')).iterdir():
        if path.name.lower().startswith(('theano', 'lasagne')):  # nothing in them is compiled
            (packages / path.name).symlink_to(path)
    links.mkdir()
    library = f'lib{PYTHON}.so'
    (links / library).symlink_to(root / 'usr' / 'lib' / 'aarch64-linux-gnu' / library)
    flags = f'base_compiledir={folder / "theano"},cxx=aarch64-linux-gnu-g++,gcc.cxxflags=-L{links}'
    environment = {
        **os.environ,
        'PYTHONPATH': str(packages),
        'PYTHONDONTWRITEBYTECODE': '1',
        'THEANO_FLAGS': flags,
        'CPATH': str(root / 'usr' / 'include'),
        'OMP_NUM_THREADS': '1',
    }

    def run(*arguments):
        command = ['qemu-aarch64-static', '-L', root, root / 'usr' / 'bin' / PYTHON, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_predicted_map_is_the_record(arm64, seeded_weights, tmp_path):
    """At the published size, with the project's C++ for NEON."""
    image = GOLDEN / 'network' / 'predict_exact.png'
    options = ['--weights', seeded_weights, '--format', 'npy', '--output', tmp_path]
    result = arm64('03-predict.py', image, *options)
    assert result.returncode == 0, result.stderr
    made_by = json.loads((tmp_path / 'maps.json').read_text())
    assert made_by['code_path'] == "cpu, float32, the project's C++ with NEON"
    record = np.load(GOLDEN / 'network' / 'predict_full.npz')['exact_map']
    np.testing.assert_allclose(np.load(tmp_path / 'predict_exact.npy'), record, rtol=0, atol=1e-5)
