"""Scripts and code in a process of their own, forked from a server that has imported Theano once.

Importing them takes two seconds of processor time, and the tests run hundreds of commands. What hangs on the
import itself (settings of Theano, what is imported, a broken environment) gets a Python of its own.
"""

import functools
import io
import multiprocessing
import os
import re
import runpy
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path

import utils.images  # noqa: F401  (this and cv2 set variables, which must not look like a test's)

# not looked at by an import, or set by backend when it is imported
HARMLESS = {
    'OMP_NUM_THREADS',
    'OPENBLAS_NUM_THREADS',
    'CRC32C_SW_MODE',  # by tensorboardX
    'OMP_WAIT_POLICY',
    'PYTEST_CURRENT_TEST',
    'CPATH',
    'THEANO_FLAGS',
}
ADDED = {
    'cxx',
    'floatX',
    'blas.ldflags',
    'gcc.cxxflags',
    'base_compiledir',
    'compiledir_format',
}  # by backend


@functools.cache
def _server():
    """The server, started."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.helpers.imported'])
    here = os.getcwd()
    os.chdir(Path(__file__).parents[2])  # Python 3.11 and older find what to import from here only
    try:
        forkserver.ensure_running()
    finally:
        os.chdir(here)
    return context


def _others(environment):
    return {name: value for name, value in environment.items() if name not in HARMLESS}


_environment, _flags = _others(os.environ), os.environ.get('THEANO_FLAGS', '')


def can_be_forked(environment):
    """Whether a process with that environment would have imported the same as the server."""
    flags = environment.get('THEANO_FLAGS', '')
    added = {*re.findall(r'([\w.]+)=', flags.removeprefix(_flags))}
    same = flags.startswith(_flags) and added <= ADDED and 'floatX=float64' not in flags
    return same and 'device=' not in flags and _others(environment) == _environment


def forked(target, *arguments, cwd=None, timeout=600, environment):
    """`target(*arguments)` in a fork of the server: the finished process, output as text.

    Parameters
    ----------
    target : function that can be pickled
    arguments : list of str
    cwd : path, optional
    timeout : float
        Seconds.
    environment : dict

    Raises
    ------
    subprocess.TimeoutExpired
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ('stdout', 'stderr')]
        process = _server().Process(
            target=_redirected, args=(files, os.fspath(cwd or os.getcwd()), environment, target, arguments)
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout)
        output, errors = (path.read_text(errors='surrogateescape') for path in files)
    return subprocess.CompletedProcess(arguments, process.exitcode, output, errors)


def _redirected(files, cwd, environment, target, arguments):
    for path, descriptor in zip(files, (1, 2)):
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    raw = (os.fdopen(descriptor, 'wb', closefd=False) for descriptor in (1, 2))
    sys.stdout = io.TextIOWrapper(next(raw), sys.stdout.encoding, sys.stdout.errors)
    sys.stderr = io.TextIOWrapper(next(raw), sys.stderr.encoding, 'backslashreplace', line_buffering=True)
    # all else is as it was when the server started, or as the imports have set it
    os.environ.update({name: value for name, value in environment.items() if name in HARMLESS})
    os.chdir(cwd)
    target(*arguments)


def run_script(path, *arguments):
    """As `python path arguments..`."""
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(path))
    runpy.run_path(path, run_name='__main__')


def run_code(code, *arguments):
    """As `python -c code arguments..`."""
    sys.argv = ['-c', *arguments]
    exec(compile(code, '<code>', 'exec'), {'__name__': '__main__'})
