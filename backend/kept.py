"""Compiled functions kept on disk: a warm start neither builds the graph nor optimises it again."""

import contextlib
import hashlib
import os
import pickle
import platform
import sys
from pathlib import Path

import lasagne
import numpy as np
import theano
from theano.configparser import _config_var_list

from backend import compile_lock, cuda, native, onednn, winograd

DEEP = 20000  # pickling recurses into the graph from its output, node by node


def function(name, make, *sources):
    """What `make()` returns, read from the user's compile folder if it was kept before.

    The key contains everything that it depends on, so any change, or any damage, makes it compile again.

    Parameters
    ----------
    name : str
    make : function without arguments
        Returns something that can be pickled: Theano functions with small shared variables.
    sources : paths
        The code that `make` runs, apart from this package.
    """
    file = f'{name}-{_key(sources)}.pickle'
    found = _read(file)
    if found is None:
        with _alone(file):
            found = _read(file)  # another process may have made it meanwhile
            if found is None:
                found = make()
                _write(file, found)
    return found


def _alone(file):
    """With the lock for making `file`; other functions may be made by others meanwhile."""
    try:
        return compile_lock.on(os.path.join(native.folder(), f'{file}.lock'))
    except OSError:  # no folder: `_write` says so
        return contextlib.nullcontext()


def _read(file):
    """What was kept under this name; None if nothing was, or if it is damaged."""
    try:
        data = native.whole(os.path.join(native.folder(), file))
    except OSError:  # no folder: `_write` says so
        return None
    if data is None:
        return None
    optimise = theano.config.reoptimize_unpickled_function
    theano.config.reoptimize_unpickled_function = False
    try:
        return pickle.loads(data)
    except Exception as error:  # for example, one of Theano's own modules was deleted or replaced
        print(f'the kept {file} cannot be used, it is made again: {_line(error)}', file=sys.stderr)
        return None
    finally:
        theano.config.reoptimize_unpickled_function = optimise


def _write(file, made):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEP)
    try:
        data = pickle.dumps(made, pickle.HIGHEST_PROTOCOL)
        # created again here: while compiling, Theano removes empty folders
        native.keep(os.path.join(native.folder(), file), data)
    except (OSError, RecursionError, AttributeError, TypeError, pickle.PicklingError) as error:
        # for example a full disk, or a Theano mode that cannot be pickled
        print(f'{file} cannot be kept, the next start makes it again: {_line(error)}', file=sys.stderr)
    finally:
        sys.setrecursionlimit(limit)


def _line(error):
    """One line of text for an error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _key(sources):
    package = Path(__file__).parent
    code = sorted({*map(Path, sources), *package.glob('*.py'), *package.glob('*.cpp'), *package.glob('*.h')})
    settings = [f'{setting.fullname}={setting.__get__(True, None)}' for setting in _config_var_list]
    parts = [
        platform.python_version(),
        theano.__version__,
        lasagne.__version__,
        np.__version__,
        *sorted(settings),
        cuda.report() if cuda.wanted() else 'cpu',
        ' '.join(sorted(native.cpu_features())),
        f'{native.usable(winograd.engine)} {onednn.usable()}',
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in code),
    ]
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:24]
