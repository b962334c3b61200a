"""Checks, before anything is downloaded, whether an environment can be made with this Python.

    python3 requirements/check_python.py

Exit status 0, or 2 with a sentence on stderr. Runs on any Python, including 2.7, so that each gets an answer.
"""
# ruff: noqa: UP010, UP024, UP031

from __future__ import print_function

import os
import platform
import subprocess
import sys
import sysconfig

OLDEST, NEWEST = (3, 9), (3, 15)  # as in backend/checks.py
COMMANDS = ['python3.%d' % minor for minor in (11, 13, 12, 14, 10, 9, 15)] + ['python3']
COMMON = {  # ID or ID_LIKE of /etc/os-release: the command, and the name of another Python
    'debian': ('apt-get install {python} {python}-venv {python}-dev g++ make', 'python{version}'),
    'fedora': ('dnf install {python} {python}-devel gcc-c++ make', 'python{version}'),
    'rhel': ('dnf install {python} {python}-devel gcc-c++ make', 'python{version}'),
    'suse': ('zypper install {python} {python}-devel gcc-c++ make', 'python{compact}'),
    'arch': ('pacman -S python gcc make', ''),
}


def main():
    trouble = system() or version() or parts()
    if trouble:
        print(trouble, file=sys.stderr)
    return 2 if trouble else 0


def system():
    """The required wheels are for Linux with glibc."""
    if not sys.platform.startswith('linux'):
        return (
            'this project runs on Linux, and this is %s: on macOS use Docker (docker/README.md) or a virtual '
            'machine, on Windows WSL 2' % sys.platform
        )
    if os.path.exists('/etc/alpine-release'):
        return (
            'there are no wheels of OpenCV and others for Alpine (musl): use Docker (docker/README.md) or a '
            'Linux with glibc, such as Debian'
        )
    return None


def version():
    """CPython of a supported version."""
    if OLDEST <= sys.version_info[:2] <= NEWEST and platform.python_implementation() == 'CPython':
        return None
    found = [command for command in COMMANDS if which(command) and supported(command)]
    if found:
        advice = 'another is here: `make PYTHON=%s demo`' % found[0]
    else:
        advice = 'install one with `%s`, and then `make PYTHON=/usr/bin/%s demo`' % install(packaged())
    return 'Python %d.%d to %d.%d (CPython) is needed, and %s is %s %s; %s' % (
        OLDEST
        + NEWEST
        + (sys.executable or 'this', platform.python_implementation(), platform.python_version(), advice)
    )


def parts():
    """What systems package separately from Python: venv and the C headers; and the compiler."""
    missing = []
    try:
        import ensurepip
        import venv

        del ensurepip, venv
    except ImportError:
        missing.append('the module venv')
    if not os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')):
        missing.append('the C headers')
    if missing:
        return '%s comes without %s: install with `%s`' % (
            sys.executable,
            ' and '.join(missing),
            install('python3.%d' % sys.version_info[1])[0],
        )
    compilers = os.environ.get('CXX', '').split() + ['g++', 'clang++', 'c++']
    if not any(which(compiler) for compiler in compilers):
        return 'there is no C++ compiler (g++): install with `%s`' % install('python3')[0]
    return None


def install(command):
    """The command of this system's package manager that installs a Python, and that Python's name."""
    text, pattern = next((COMMON[name] for name in distribution() if name in COMMON), COMMON['debian'])
    if command in ('python3', os.path.basename(os.path.realpath('/usr/bin/python3'))):
        return text.format(python='python3'), 'python3'
    version = command[len('python') :]
    python = pattern.format(version=version, compact=version.replace('.', ''))
    return text.format(python=python), command


def packaged():
    """A Python packaged for this system: the default one if it works, otherwise the first of the others."""
    if not os.path.exists('/usr/bin/python3') or supported('/usr/bin/python3'):
        return 'python3'
    names = run('apt-cache', 'pkgnames', 'python3.').split() or COMMANDS[1:2]
    return next((command for command in COMMANDS if command in names), 'python3')


def distribution():
    """The names that /etc/os-release has for this system, its own first."""
    settings = {}
    try:
        with open('/etc/os-release') as file:
            for line in file:
                key, _, value = line.strip().partition('=')
                settings[key] = value.strip('"\'')
    except (IOError, OSError):
        pass
    return [settings.get('ID', '')] + settings.get('ID_LIKE', '').replace('opensuse', 'suse').split()


def which(command):
    if os.sep in command:
        return os.access(command, os.X_OK)
    folders = os.environ.get('PATH', os.defpath).split(os.pathsep)
    return any(os.access(os.path.join(folder, command), os.X_OK) for folder in folders)


def supported(command):
    """Whether `command` starts a Python that passes this script's checks."""
    code = 'import sys; print(%r <= sys.version_info[:2] <= %r)' % (OLDEST, NEWEST)
    return run(command, '-c', code).strip() == 'True'


def run(*command):
    """What a command prints; nothing if it cannot be run."""
    try:
        with open(os.devnull, 'w') as silence:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=silence).communicate()[0].decode()
    except (IOError, OSError):
        return ''


if __name__ == '__main__':
    sys.exit(main())
