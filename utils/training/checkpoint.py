"""Checkpoints: all that a training run needs to go on as if it had never stopped.

One `.npz` a checkpoint, `checkpoint%08d.npz` with the number of updates made: `state` is JSON, the rest are
the arrays of the networks and of their optimisers, in the type that the run computes in. Every array in a
zip archive has a checksum, and the state holds the names of all, so that a damaged or cut file shows.
"""

import contextlib
import glob
import json
import os
import zipfile

import numpy as np

from utils.command_line import say
from utils.weights import write_npz

KEPT = 2  # the newest, and one more in case the disk damages that


def save(folder, updates, state, arrays):
    """Writes a checkpoint into `folder`, whole or not at all; removes all but the newest `KEPT`.

    Parameters
    ----------
    updates : int
        Made in all; orders the checkpoints.
    state : dict
        What JSON can hold; its floats come back to the bit.
    arrays : dict of str -> array
    """
    path = os.path.join(folder, f'checkpoint{updates:08d}.npz')
    write_npz(path, {'state': np.array(json.dumps([state, list(arrays)])), **arrays})
    prune(folder)


def prune(folder):
    """Removes all checkpoints but the newest `KEPT`."""
    for old in paths(folder)[KEPT:]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(old)


def paths(folder):
    """The checkpoints in `folder`, the newest first."""
    return sorted(glob.glob(os.path.join(glob.escape(folder), 'checkpoint' + 8 * '[0-9]' + '.npz')))[::-1]


def newest(folder):
    """Reads the newest whole checkpoint; says which newer ones are not whole.

    Returns
    -------
    (state, arrays) as given to `save`, or None where there is none
    """
    for path in paths(folder):
        try:
            return read(path)
        except Exception as error:  # a damaged archive makes zipfile and numpy raise nearly anything
            say(f'{path}: left out, it is not whole ({error})')
    return None


def read(path):
    """Reads one checkpoint, every checksum compared."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f'{damaged} is damaged')
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    state, names = json.loads(str(arrays.pop('state')))
    if list(arrays) != names:
        raise ValueError('its directory is damaged')
    return state, arrays


# --- the networks ---


def variables(model):
    """The shared variables that training changes, and all weights, by their names in a checkpoint.

    Parameters
    ----------
    model : models.model_bce.ModelBCE or models.model_salgan.ModelSALGAN

    Returns
    -------
    dict of str -> Theano shared variable
        `generator_00` .. and `discriminator_00` .. in the order of the weights files, and for each what its
        optimiser adds up, `generator_optimiser_00` ..
    """
    from lasagne.layers import get_all_params

    networks = {'generator': (model.net['output'], model.G_updates)}
    if hasattr(model, 'discriminator'):
        networks['discriminator'] = (model.discriminator['prob'], model.D_updates)
    named = {}
    for network, (layer, updates) in networks.items():
        parameters = get_all_params(layer)
        added_up = [variable for variable in updates if variable not in parameters]
        for prefix, group in ((network, parameters), (f'{network}_optimiser', added_up)):
            named.update({f'{prefix}_{i:02d}': variable for i, variable in enumerate(group)})
    return named


def take(model):
    """The arrays of `model` for `save`."""
    return {name: variable.get_value(borrow=True) for name, variable in variables(model).items()}


def put(model, arrays):
    """Sets all variables of `model` to the arrays of a checkpoint, or none.

    Raises
    ------
    ValueError
        If they are not those of this model: one sentence.
    """
    named = variables(model)
    if named.keys() != arrays.keys():
        raise ValueError('the checkpoint is of another mode')
    for name, variable in named.items():
        shape, dtype = variable.get_value(borrow=True).shape, variable.dtype
        if (arrays[name].shape, arrays[name].dtype) != (shape, dtype):
            raise ValueError(
                f'{name} is {arrays[name].dtype} {arrays[name].shape} in the checkpoint, {dtype} {shape} here'
            )
    for name, variable in named.items():
        variable.set_value(arrays[name])
