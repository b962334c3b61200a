"""The Python is looked at before anything is downloaded, and the advice in a refusal works."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

INHERITED = {'MAKEFLAGS', 'MAKEOVERRIDES', 'MAKELEVEL', 'PYTHON', 'VENV'}
OLD = """
import platform, runpy, sys
platform.python_version = lambda: '3.8.1'
sys.version_info = (3, 8, 1, 'final', 0)
sys.argv = sys.argv[1:]
if sys.argv[0] == '-c':
    exec(sys.argv[1])
else:
    runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture
def old_python(tmp_path):
    """A command that is this Python, and says that it is 3.8."""
    (tmp_path / 'old.py').write_text(OLD)
    command = tmp_path / 'python3.8'
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/old.py "$@"\n')
    command.chmod(0o755)
    return str(command)


@pytest.fixture
def check(monkeypatch):
    """The module, whose functions a test may replace."""
    spec = importlib.util.spec_from_file_location('check_python', ROOT / 'requirements' / 'check_python.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(*arguments):
    """The finished `make`, without what another `make`, which runs these tests, was given."""
    command = ['make', '--no-print-directory', *arguments]
    kept = {name: value for name, value in os.environ.items() if name not in INHERITED}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=kept)


def test_a_refused_python_leaves_nothing_and_the_advice_works(old_python, tmp_path):
    environment = tmp_path / 'environment'
    refused = make('demo', f'PYTHON={old_python}', f'VENV={environment}')
    assert refused.returncode == 2
    sentence = refused.stderr.splitlines()[0]
    assert sentence.startswith('Python 3.9 to 3.15 (CPython) is needed, and ')
    assert 'is CPython 3.8.1; there is another: `make PYTHON=python3' in sentence
    assert not environment.exists()
    advised = sentence.partition('`make PYTHON=')[2].partition(' ')[0]
    plan = make('--dry-run', 'demo', f'PYTHON={advised}', f'VENV={environment}')
    assert plan.returncode == 0 and f'{advised} -m venv' in plan.stdout, plan.stderr


def test_an_environment_of_another_python_is_made_anew(old_python, tmp_path):
    environment = tmp_path / 'environment'
    (environment / 'bin').mkdir(parents=True)
    shutil.copy(old_python, environment / 'bin' / 'python')
    (environment / 'run.stamp').touch()
    anew = f'-m venv --clear {environment}'
    assert anew in make('--dry-run', 'demo', f'PYTHON={sys.executable}', f'VENV={environment}').stdout
    assert '-m venv' not in make('--dry-run', 'demo', f'VENV={environment}').stdout  # nothing was asked for
    (environment / 'bin' / 'python').unlink()  # as after an upgrade of the system
    assert anew in make('--dry-run', 'demo', f'VENV={environment}').stdout


def test_this_python_will_do(check):
    assert check.main() == 0


@pytest.mark.parametrize(
    ('release', 'minor', 'command'),
    [
        ('ID=debian', 11, 'apt-get install python3.11 python3.11-venv python3.11-dev g++ make'),
        (
            'ID=ubuntu\nID_LIKE=debian',
            14,
            'apt-get install python3.14 python3.14-venv python3.14-dev g++ make',
        ),
        (
            'ID="rocky"\nID_LIKE="rhel centos fedora"',
            12,
            'dnf install python3.12 python3.12-devel',
        ),
        ('ID=fedora', 13, 'dnf install python3.13 python3.13-devel gcc-c++ make'),
        (
            'ID="opensuse-leap"\nID_LIKE="suse opensuse"',
            11,
            'zypper install python311 python311-devel',
        ),
        ('ID=arch', 13, 'pacman -S python gcc make'),
        ('ID=unheard-of', 11, 'apt-get install python3.11'),
    ],
)
def test_the_command_is_that_of_the_system(release, minor, command, check, monkeypatch, tmp_path):
    (tmp_path / 'os-release').write_text(release)
    real = open
    monkeypatch.setattr(
        check, 'open', lambda path: real(str(path).replace('/etc', str(tmp_path))), raising=False
    )
    monkeypatch.setattr(os.path, 'realpath', lambda path: '/usr/bin/python3.99')
    assert check.install(f'python3.{minor}')[0].startswith(command)


def test_parts_that_systems_package_apart(check, monkeypatch, tmp_path):
    monkeypatch.setattr(check.sysconfig, 'get_path', lambda name: str(tmp_path))
    monkeypatch.setitem(sys.modules, 'ensurepip', None)
    assert 'comes without the module venv and the C headers: install with `' in check.parts()
    monkeypatch.undo()
    monkeypatch.setattr(check, 'which', lambda command: False)
    assert check.parts().startswith('there is no C++ compiler (g++): install with `')


@pytest.mark.parametrize(
    ('platform', 'word'), [('darwin', 'on macOS use Docker'), ('win32', 'on Windows WSL 2')]
)
def test_other_systems(platform, word, check, monkeypatch):
    monkeypatch.setattr(sys, 'platform', platform)
    assert f'this is {platform}' in check.system() and word in check.system()
