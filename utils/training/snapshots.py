"""Snapshots of a run: the networks' weights after an epoch, in the released files' layout and names."""

import contextlib
import glob
import os
import re

from utils import weights


def save(folder, epoch, model):
    """Writes `gen_modelWeights%04d.npz`, and `discrim_..` where the model has a discriminator."""
    from lasagne.layers import get_all_param_values

    weights.save(_path(folder, 'gen', epoch), get_all_param_values(model.net['output']))
    if hasattr(model, 'discriminator'):
        # note: deviation 8: the original's code writes disrim_.., its released file is discrim_..
        weights.save(_path(folder, 'discrim', epoch), get_all_param_values(model.discriminator['prob']))


def epochs(folder):
    """The epochs of which `folder` has a snapshot of the generator, in their order."""
    names = map(os.path.basename, glob.glob(os.path.join(glob.escape(folder), 'gen_modelWeights*.npz')))
    matches = [re.fullmatch(r'gen_modelWeights(\d{4,})\.npz', name, re.ASCII) for name in names]
    return sorted(int(match[1]) for match in matches if match)


def prune(folder, keep):
    """Removes all snapshots in `folder` but the newest `keep`."""
    for epoch in epochs(folder)[:-keep]:
        for network in ('discrim', 'gen'):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_path(folder, network, epoch))


def _path(folder, network, epoch):
    return os.path.join(folder, f'{network}_modelWeights{epoch:04d}.npz')
