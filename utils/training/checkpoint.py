"""Checkpoints: everything that a training run needs to continue as if it had never stopped.

Each is one `.npz`, `checkpoint%08d.npz` with the number of updates made: `state` is JSON, the others are the
arrays of the networks and of their optimisers, in the type that the run computes in. Every array in a zip
archive has a checksum, and the state lists all names, so that a damaged or truncated file is detected.
"""

import contextlib
import glob
import json
import os
import re
import zipfile
from typing import NamedTuple

import numpy as np

from utils.command_line import say
from utils.weights import write_npz

KEPT = 2  # the newest, and one more in case the newest gets damaged


class Checkpoint(NamedTuple):
    """The arguments of `save`."""

    state: dict
    arrays: dict  # name -> array

    def weights(self, network):
        """The arrays of 'generator' or 'discriminator' in the order of a weights file; may be empty."""
        return [array for name, array in self.arrays.items() if re.fullmatch(rf'{network}_\d+', name)]


def save(folder, updates, state, arrays):
    """Writes a checkpoint into `folder`, whole or not at all; removes all but the newest `KEPT`.

    Parameters
    ----------
    updates : int
        Total number made; orders the checkpoints.
    state : dict
        Anything that JSON can represent; floats are restored exactly.
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
    """Reads the newest intact checkpoint; reports newer ones that are damaged.

    Returns
    -------
    Checkpoint, or None if there is none
    """
    for path in paths(folder):
        try:
            return read(path)
        except Exception as error:  # on a damaged archive zipfile and numpy may raise nearly anything
            say(f'{path}: left out, it is not whole ({error})')
    return None


def read(path):
    """Reads one checkpoint and verifies every checksum."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f'{damaged} is damaged')
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    state, names = json.loads(str(arrays.pop('state')))
    if list(arrays) != names:
        raise ValueError('its directory is damaged')
    return Checkpoint(state, arrays)
