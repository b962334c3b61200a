"""Compiled functions kept on disk: a warm start neither builds the graph nor optimises it again."""

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

from backend import native, onednn, winograd

DEEP = 20000  # pickling goes down the graph from its output, node by node


def function(name, make, *sources):
    """What `make()` returns, from the user's compile folder where it was kept before.

    Kept under a key of everything that it depends on, so that it is made again where anything is another, and
    where it is damaged. Always made on a GPU, whose functions are not for keeping.

    Parameters
    ----------
    name : str
    make : function without arguments
        Returns what can be pickled: functions of Theano's, with shared variables small.
    sources : paths
        The code that `make` runs, beside this package.
    """
    if theano.config.device != 'cpu':
        return make()
    path = os.path.join(native.folder(), f'{name}-{_key(sources)}.pickle')
    data = native.whole(path)
    if data is not None:
        optimise, theano.config.reoptimize_unpickled_function = (
            theano.config.reoptimize_unpickled_function,
            False,
        )
        try:
            return pickle.loads(data)
        except Exception:  # as where one of Theano's own modules was deleted or another made
            pass
        finally:
            theano.config.reoptimize_unpickled_function = optimise
    made = make()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEP)
    try:
        native.keep(path, pickle.dumps(made, pickle.HIGHEST_PROTOCOL))
    except (OSError, RecursionError):  # a full disk, say: it is there all the same
        pass
    finally:
        sys.setrecursionlimit(limit)
    return made


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
        ' '.join(sorted(native.cpu_features())),
        f'{winograd.usable()} {onednn.usable()}',
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in code),
    ]
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:24]
