"""Checks for what would make Theano fail with a traceback, or run slowly in silence: one sentence each."""

import configparser
import contextlib
import importlib
import io
import os
import re
import shutil
import sys
import sysconfig
import tempfile

from backend import flags
from backend.errors import CannotRun


def system():
    """Linux: Theano's compiler flags and the folders and locks here were not tested on anything else."""
    if not sys.platform.startswith('linux'):
        raise CannotRun(
            f'Theano 1.0.5 runs here on Linux, and this is {sys.platform}: on macOS use Docker '
            '(docker/README.md) or a virtual machine, on Windows WSL 2'
        )


def python():
    """CPython 3.9 to 3.15, which the patches were made for and are tested on."""
    version = sys.version_info[:2]
    if not (3, 9) <= version <= (3, 15) or sys.implementation.name != 'cpython':
        raise CannotRun(
            f'Theano 1.0.5 runs here on CPython 3.9 to 3.15, and this is {sys.implementation.name} '
            f"{version[0]}.{version[1]}: make the environment again with one of them, such as the system's: "
            '`make PYTHON=/usr/bin/python3 demo`'
        )


def numpy():
    """NumPy can be imported; another Python's, which may come first on PYTHONPATH, cannot."""
    try:
        np = importlib.import_module('numpy')
        np.lib.NumpyVersion(np.__version__)  # an incomplete NumPy lacks it
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        given = os.environ.get('PYTHONPATH')
        advice = (
            f'PYTHONPATH={given} may bring packages of another Python: unset it, or start with `python -E`'
            if given
            else 'make the environment again by `make demo`, and use its .venv/bin/python'
        )
        raise CannotRun(f'NumPy cannot be imported ({reason}); {advice}') from None


def compiler():
    """A C++ compiler and Python's headers."""
    name = flags.value('cxx', '')
    if not name or shutil.which(name) is None:
        raise CannotRun(
            f'no C++ compiler ({name or "THEANO_FLAGS sets cxx to nothing"}): install g++ '
            '(Debian: apt-get install g++), or name one by THEANO_FLAGS=cxx=/path/to/g++'
        )
    headers = sysconfig.get_path('include')
    if not os.path.exists(os.path.join(headers, 'Python.h')):
        version = f'{sys.version_info[0]}.{sys.version_info[1]}'
        raise CannotRun(
            f"Python's C headers are not in {headers}: install them "
            f'(Debian: apt-get install python{version}-dev)'
        )


def convolutions():
    """The environment variable SALGAN_CONV has a known value."""
    choice = os.environ.get('SALGAN_CONV', '')
    if choice not in ('', 'onednn', 'corrmm', 'avx512'):
        raise CannotRun(
            f'SALGAN_CONV={choice} is unknown: set it to onednn, corrmm or avx512, or leave it out'
        )


def user_flags():
    """THEANO_FLAGS can be parsed."""
    try:
        flags.value('device')
    except ValueError as error:
        raise CannotRun(
            f'THEANO_FLAGS={os.environ["THEANO_FLAGS"]} cannot be read ({error}): correct or unset it'
        ) from None
    if flags.value('floatX') == 'float16':
        raise CannotRun(
            'floatX=float16: the networks are computed in float32 or float64; set floatX to one of them'
        )


@contextlib.contextmanager
def importing_theano():
    """Turns Theano's complaint about settings that it rejects into a sentence."""
    try:
        with compiling():
            yield
    except (ValueError, configparser.Error, UnicodeDecodeError) as error:
        reason = ' '.join(str(error).split())
        raise CannotRun(f'Theano does not take its settings in THEANO_FLAGS or .theanorc: {reason}') from None


@contextlib.contextmanager
def compiling():
    """Reports a failed compilation of Theano's as a sentence; removes its stdout text and leftover files."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    except Exception as error:
        for left in re.findall(r'in this temporary file: (.+)', said.getvalue()):
            with contextlib.suppress(OSError):
                os.unlink(left)
        reason = ' '.join(str(error).split())
        if isinstance(error, OSError) and error.errno:
            raise CannotRun(f'Theano cannot keep what it compiles: {reason}') from None
        if reason.startswith('Compilation failed'):
            raise CannotRun(
                f'the C++ compiler {flags.value("cxx")} failed; is it whole, and is there room in the '
                f'compile folder and in {_temporary_folder()}? {reason[:500]}'
            ) from None
        raise


def _temporary_folder():
    try:
        return tempfile.gettempdir()
    except OSError:  # none is writable
        return os.environ.get('TMPDIR', '/tmp')
