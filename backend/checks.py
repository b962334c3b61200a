"""What Theano would fail on with a traceback, or worse, silently work around: one sentence each."""

import configparser
import contextlib
import os
import shutil
import sys
import sysconfig
import tempfile

from backend import flags


class CannotRun(SystemExit):
    """Theano cannot run here. A SystemExit with status 2: scripts and interpreters end with the sentence."""

    def __init__(self, sentence):
        super().__init__(2)
        self.sentence = sentence
        print(sentence, file=sys.stderr)

    def __str__(self):
        return self.sentence


def python():
    """CPython 3.9 to 3.13: what the mends were made for and are tested on."""
    version = sys.version_info[:2]
    if not (3, 9) <= version <= (3, 13) or sys.implementation.name != 'cpython':
        raise CannotRun(
            f'Theano 1.0.5 runs here on CPython 3.9 to 3.13, and this is {sys.implementation.name} '
            f'{version[0]}.{version[1]}: make the environment again with `make PYTHON=python3.11`'
        )


def compiler():
    """A C++ compiler and Python's headers."""
    name = flags.value('cxx', 'clang++' if sys.platform == 'darwin' else 'g++')
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
    """The environment's SALGAN_CONV."""
    choice = os.environ.get('SALGAN_CONV', '')
    if choice not in ('', 'onednn', 'corrmm'):
        raise CannotRun(
            f'SALGAN_CONV={choice} is unknown: set it to onednn or corrmm, or leave it out for the fastest'
        )


def compile_folder():
    """The folder of compiled modules, and those that Theano has made in it, can be written to.

    Tried by writing, since a read-only file system or a full disk does not show in the permissions.
    """
    base = compile_base()
    try:
        os.makedirs(base, exist_ok=True)
        folders = [
            base,
            *(f.path for f in os.scandir(base) if f.name.startswith('compiledir_') and f.is_dir()),
        ]
        for folder in folders:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b'probe')
    except OSError as error:
        raise CannotRun(
            f'Theano cannot keep its compiled modules in {base} ({error.strerror}): make it writable, '
            'or name another folder by THEANO_FLAGS=base_compiledir=/path/to/folder'
        ) from None


def compile_base():
    """The folder in which Theano makes a compile folder, or the compile folder where the user names one."""
    home = os.environ.get('HOME') or os.path.expanduser('~')
    base = flags.value('base_compiledir', os.path.join(home, '.theano'))
    return os.path.expanduser(os.path.expandvars(flags.value('compiledir', base)))


def user_flags():
    """THEANO_FLAGS can be taken apart at all."""
    try:
        flags.value('device')
    except ValueError as error:
        raise CannotRun(
            f'THEANO_FLAGS={os.environ["THEANO_FLAGS"]} cannot be read ({error}): correct or unset it'
        ) from None


@contextlib.contextmanager
def importing_theano():
    """What Theano says of settings that it does not take, as a sentence."""
    try:
        yield
    except (ValueError, configparser.Error, UnicodeDecodeError) as error:
        reason = ' '.join(str(error).split())
        raise CannotRun(f'Theano does not take its settings in THEANO_FLAGS or .theanorc: {reason}') from None
    except Exception as error:
        compilation_failed(error)
        raise


def compilation_failed(error):
    """Ends the process where `error` is Theano's on a failed compilation."""
    if str(error).startswith('Compilation failed'):
        reason = ' '.join(str(error).split())
        raise CannotRun(
            f'the C++ compiler {flags.value("cxx", "g++")} failed; is it whole, and is there room in the '
            f'compile folder and in {tempfile.gettempdir()}? {reason[:500]}'
        ) from None
