"""VGG-16's convolutions from `vgg16.pkl` of Lasagne's model zoo, which initialise a new encoder."""

import hashlib
import os

import numpy as np

from utils import safe_pickle
from utils.architecture import encoder_layout
from utils.command_line import say
from utils.errors import CouldNotStart
from utils.files import size_of

MD5 = '57858ec9bb7435e99c78a0520e6c5d3e'


def read(path):
    """Reads the 26 arrays of the 13 convolutions, with an unpickler that builds arrays and runs no code.

    Parameters
    ----------
    path : str or path
        A pickle of a dict whose 'param values' begin with the arrays, W then b for every layer.

    Returns
    -------
    list of 26 float32 arrays, shapes as in `utils.architecture.encoder_layout`

    Raises
    ------
    CouldNotStart
        If the file is missing or not such a pickle, or if an array has another shape, is not of a float type,
        or has a value that is not finite. An md5 other than the model zoo's only gives a warning.
    """
    path = os.fspath(path)
    try:
        size_of(path)  # checks that it is a file
        check_md5(path)
        content = safe_pickle.load(path, {})
    except OSError as error:
        raise CouldNotStart(f'{path}: {error.strerror}') from None
    values = content.get('param values') if isinstance(content, dict) else None
    if not isinstance(values, (list, tuple)):
        raise CouldNotStart(
            f"{path}: no dict with 'param values' in it, as vgg16.pkl of Lasagne's model zoo is"
        )
    layout = encoder_layout()
    if len(values) < len(layout):
        raise CouldNotStart(
            f'{path}: {len(values)} arrays, where the convolutions of VGG-16 are {len(layout)}'
        )
    for i, (array, (layer, parameter, shape)) in enumerate(zip(values, layout)):
        name = f"{path}: 'param values'[{i}] ({parameter} of {layer})"
        if not isinstance(array, np.ndarray) or array.dtype.kind != 'f' or array.shape != shape:
            found = f'{array.dtype} {array.shape}' if isinstance(array, np.ndarray) else type(array).__name__
            raise CouldNotStart(f'{name} is {found}, expected float32 {shape}')
        if not np.isfinite(array).all():
            raise CouldNotStart(f'{name} holds values that are not finite; fetch the file again')
    return [np.array(array, np.float32) for array in values[: len(layout)]]


def check_md5(path):
    """Warns if `path` is not exactly the model zoo's file."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(2**20), b''):
            digest.update(block)
    if digest.hexdigest() != MD5:
        say(
            f"{path}: md5 {digest.hexdigest()}, the model zoo's file has {MD5}; "
            'its arrays are used if their shapes are right'
        )
