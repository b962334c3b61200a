"""The version that all workers must share for maps and scores to be equal: the code and its libraries."""

import hashlib
import importlib.metadata
import platform
from functools import lru_cache
from pathlib import Path

from utils import VERSION

PACKAGES = ('backend', 'models', 'utils')
LIBRARIES = ('numpy', 'opencv-python-headless', 'scipy', 'Theano', 'Lasagne', 'POT', 'onednn-cpu-gomp')
PREFIX = 'salgan-'


@lru_cache(maxsize=1)
def resource():
    """The name of the dask resource that workers of this version offer and tasks of this version need.

    So workers of another version, which the scheduler may also have, never get a task.
    """
    root = Path(__file__).parents[2]
    code = [path for package in PACKAGES for path in (root / package).rglob('*') if _is_code(path)]
    parts = [platform.python_version().rpartition('.')[0], *map(_version, LIBRARIES)]
    parts += [
        f'{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}' for path in sorted(code)
    ]
    digest = hashlib.sha256('\n'.join(parts).encode()).hexdigest()
    return f'{PREFIX}{VERSION}-{digest[:12]}'


def _is_code(path):
    return path.suffix in ('.py', '.cpp', '.h')


def _version(library):
    try:
        return f'{library} {importlib.metadata.version(library)}'
    except importlib.metadata.PackageNotFoundError:
        return library


def refusal(address, resources):
    """One sentence on why a worker gets no work; None if it is of this version.

    Parameters
    ----------
    address : str
    resources : dict
        What it offers, by name.
    """
    if resource() in resources:
        return None
    others = [name[len(PREFIX) :] for name in resources if name.startswith(PREFIX)]
    if others:
        return (
            f'{address} gets no work: it runs version {others[0]}, and this is {resource()[len(PREFIX) :]}; '
            'give both the same code and the same libraries'
        )
    return f'{address} gets no work: it was not started by `python -m utils.cluster.worker`'
