"""Runs 02's loop on a record of the original's: python tests/helpers/epochs.py RECORD.json FOLDER

In a process of its own, so that THEANO_FLAGS=floatX=float64 can give float64 networks. Snapshots go to
FOLDER, and calls.json: function, samples and costs of every call, and the rows of the history.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'golden')]

import inputs  # noqa: E402
import numpy as np  # noqa: E402

from backend import theano  # noqa: E402
from models.model_bce import ModelBCE  # noqa: E402
from models.model_salgan import ModelSALGAN  # noqa: E402
from models.parameters import set_values  # noqa: E402
from tests.helpers.training import options_of_02, seeded_samples, train_02  # noqa: E402
from utils.training.state import State  # noqa: E402


def run(record, folder):
    mode, width, height, size = (record[key] for key in ('mode', 'width', 'height', 'batch_size'))
    model: Any = (ModelBCE if mode == 'bce' else ModelSALGAN)(width, height, size)
    set_values(model.net['output'], inputs.generator_arrays(record['generator_seed'], record['gain']))
    if mode == 'salgan':
        discriminator = inputs.discriminator_arrays(record['discriminator_seed'], width, height)
        set_values(model.discriminator['prob'], discriminator)
    calls = recorded(model, mode, inputs.batch(record['batch_seed'], record['samples'], width, height))
    options = options_of_02(mode, '--output', folder, '--epochs', record['epochs'], '--batch-size', size)
    samples = seeded_samples(record['batch_seed'], record['samples'], width, height)
    state = State(np.random.RandomState(0))
    training = train_02.Training(options, model, state, samples, [], samples[0])
    status = train_02.train(training, orders(record), threading.Event())
    return {'status': status, 'updates': state.updates, 'calls': calls, 'history': state.history}


def recorded(model, mode, samples):
    """Lets `model` train as before, and lists the function, the samples and the costs of its calls."""
    images, maps = (array.astype(theano.config.floatX) for array in samples)
    maps = np.round(255 * maps) / maps.dtype.type(255)
    calls = []
    for name in ('G_trainFunction', 'D_trainFunction')[: 2 if mode == 'salgan' else 1]:
        train = getattr(model, name)

        def call(fed_images, fed_maps, name=name, train=train):
            found = [
                i for image in fed_images for i in range(len(images)) if np.array_equal(image, images[i])
            ]
            np.testing.assert_array_equal(fed_maps, maps[found])
            costs = train(fed_images, fed_maps)
            calls.append({'function': name, 'samples': found, 'costs': np.atleast_1d(costs).tolist()})
            return costs

        setattr(model, name, call)
    return calls


def orders(record):
    """The recorded order of each epoch; what was left over at its end comes last."""
    of_epoch = len(record['calls']) // record['epochs']
    for epoch in range(record['epochs']):
        calls = record['calls'][epoch * of_epoch : (epoch + 1) * of_epoch]
        order = [sample for call in calls for sample in call['samples']]
        yield order + sorted({*range(record['samples'])} - {*order})


if __name__ == '__main__':
    result = run(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
    (Path(sys.argv[2]) / 'calls.json').write_text(json.dumps(result))
