"""That training learns: ten real images, from random weights, by the commands of the README."""

import numpy as np
import pytest

from tests.conftest import script
from utils import samples
from utils.training import history
from utils.training.monitor import content_loss

# The second goes on from the first, with smaller steps: those of the first throw the maps off now and then.
TRAINING = """bce --size 128x96 --validation data/trainData.pickle --generator weights/random_modelWeights.npz
    --batch-size 2 --snapshot-every 10 --keep 1"""
STEPS = ['--learning-rate 0.006 --epochs 45', '--learning-rate 0.002 --epochs 60 --resume --force']


@pytest.mark.nightly
@pytest.mark.timeout(14400)
def test_ten_images_are_learned(reference_data, tmp_path):
    def run(name, *arguments):
        done = script(name, *arguments, cwd=tmp_path, timeout=7200)
        assert done.returncode == 0, done.stderr

    run('01-data-preprocessing.py', '--salicon', reference_data / 'salicon10', '--size', '128x96')
    run('weights/make_random.py')
    for step in STEPS:
        run('02-train.py', *TRAINING.split(), *step.split())
    columns = history.read(tmp_path / 'snapshots')
    truths = [sample.saliency.data / 255 for sample in samples.read(tmp_path / 'data' / 'trainData.pickle')]
    assert columns['epoch'][-1] == 59
    assert max(columns['validation_content_loss'][-5:]) < 0.8 * best_constant(truths)
    assert min(columns['validation_CC'][-5:]) > 0.8


def best_constant(truths):
    """The content loss of the best constant map, which is the mean of all."""
    mean = np.mean(truths)
    return np.mean([content_loss(np.full(truth.shape, mean), truth, 'bce', 4) for truth in truths])
