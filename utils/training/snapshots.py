"""Snapshots of a run: the networks' weights after an epoch, in the released files' layout and names."""

import contextlib
import os
import re

from utils import weights
from utils.errors import CouldNotStart

# note: deviation 8: the original's code writes disrim_.., its released file is discrim_..
PREFIXES = {'generator': 'gen', 'discriminator': 'discrim'}


def save(folder, epoch, networks):
    """Writes a weights file for each of `networks`: dict of 'generator', 'discriminator' -> arrays."""
    for network, arrays in networks.items():
        weights.save(_path(folder, network, epoch), arrays)


def find(folder):
    """Epoch -> path of the generator's weights of each snapshot in `folder`, by epoch.

    Raises
    ------
    CouldNotStart
        If there is no such folder, or it cannot be read.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise CouldNotStart(f'{folder}: {error.strerror}') from None
    matches = [re.fullmatch(r'gen_modelWeights(\d{4,})\.npz', name, re.ASCII) for name in names]
    return dict(sorted((int(match[1]), os.path.join(folder, match[0])) for match in matches if match))


def prune(folder, keep):
    """Removes all but the newest `keep` snapshots in `folder`."""
    for epoch in list(find(folder))[:-keep]:
        for network in reversed(PREFIXES):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_path(folder, network, epoch))


def _path(folder, network, epoch):
    return os.path.join(folder, f'{PREFIXES[network]}_modelWeights{epoch:04d}.npz')
