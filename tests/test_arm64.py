"""The C++ on arm64, by an emulator: both checks whole."""

import os
import shutil
import subprocess

import pytest

from backend import native
from tests.conftest import ROOT

FLAGS = [flag for flag in native.FLAGS if flag not in ('-shared', '-fPIC', '-O3')]


@pytest.mark.long
@pytest.mark.parametrize('name', ['winograd_check', 'convolutions_check'])
def test_the_checks_pass_with_neon(name, tmp_path):
    """Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static."""
    if not (shutil.which('aarch64-linux-gnu-g++') and shutil.which('qemu-aarch64-static')):
        pytest.skip('no compiler or emulator for arm64')
    source, program = str(ROOT / 'tests' / f'{name}.cpp'), str(tmp_path / 'check')
    subprocess.run(['aarch64-linux-gnu-g++', '-static', '-O2', *FLAGS, source, '-o', program], check=True)
    quietly = {**os.environ, 'OMP_WAIT_POLICY': 'passive'}  # more threads than cores
    command = ['qemu-aarch64-static', program]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=quietly)
    assert result.returncode == 0, result.stdout + result.stderr
