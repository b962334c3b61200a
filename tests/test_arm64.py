"""The C++ on arm64, by an emulator: both checks whole, and a generator's map.

Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static.
"""

import os
import subprocess

import inputs
import numpy as np
import pytest

from backend import native, winograd
from tests.conftest import ROOT
from tests.helpers.engines import needs_cpp
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
