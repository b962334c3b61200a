"""The snapshots of a run: which files are snapshots, and which are removed."""

import numpy as np
import pytest

from utils.errors import CouldNotStart
from utils.training import snapshots

NAMES = ['gen_modelWeights0003.npz', 'gen_modelWeights0120.npz', 'gen_modelWeights12000.npz']


def test_snapshots_are_found_by_epoch(tmp_path):
    others = ['discrim_modelWeights0003.npz', 'history.csv', 'gen_modelWeights.npz', 'gen_modelWeights7.npz']
    for name in [*reversed(NAMES), *others, 'gen_modelWeights٠٠٠٤.npz']:
        (tmp_path / name).touch()
    found = snapshots.find(tmp_path)
    assert list(found.items()) == [
        (epoch, str(tmp_path / name)) for epoch, name in zip((3, 120, 12000), NAMES)
    ]


def test_no_folder_is_a_sentence(tmp_path):
    with pytest.raises(CouldNotStart, match='nowhere: No such file'):
        snapshots.find(tmp_path / 'nowhere')


def test_the_newest_are_kept(tmp_path):
    for epoch in (0, 3, 6):
        snapshots.save(tmp_path, epoch, {'generator': [np.zeros(2)], 'discriminator': [np.ones(3)]})
    (tmp_path / 'discrim_modelWeights0000.npz').unlink()
    snapshots.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f'{network}_modelWeights{epoch:04d}.npz' for network in ('discrim', 'gen') for epoch in (3, 6)
    ]
