"""All that the tests need of float64 networks: python tests/helpers/float64.py FOLDER quick|long

In a process of its own, since Theano takes floatX when it is imported; in one process, since it takes most of
the time to build and compile the graphs. Writes the trajectories train_bce.npz and train_salgan.npz, four
updates long or whole, and maps_WxH.npy; with `quick` also ops.json: the Ops of prediction and training.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'golden')]

import inputs  # noqa: E402
import numpy as np  # noqa: E402

from backend import lasagne, theano  # noqa: E402
from tests.helpers import networks, trajectory  # noqa: E402

MAPS = {(64, 48): 5, (16, 16): 3, (48, 80): 2}  # (width, height): how many seeds
LARGE = {(256, 192): 5, (640, 480): 1}


def maps(width, height, seeds):
    """Maps of two images by the weights of each seed, (seeds, 2, 1, height, width)."""
    made = []
    for seed in range(seeds):
        model = networks.model('bce')
        arrays = [array.astype('float64') for array in inputs.generator_arrays(seed)]
        lasagne.layers.set_all_param_values(model.net['output'], arrays)
        images, _ = inputs.batch(seed, 2, width, height)
        made.append(model.predictFunction(images.astype('float64')))
    return np.array(made)


def main(folder, which):
    assert theano.config.floatX == 'float64'
    for mode in ('bce', 'salgan'):
        record = np.load(ROOT / 'tests' / 'golden' / 'network' / f'train_{mode}_float64.npz')
        arrays = trajectory.replay(record, updates=4 if which == 'quick' else None)
        np.savez(Path(folder, f'train_{mode}.npz'), **arrays)
    for (width, height), seeds in (MAPS if which == 'quick' else LARGE).items():
        np.save(Path(folder, f'maps_{width}x{height}.npy'), maps(width, height, seeds))
    if which == 'quick':
        model = networks.model('bce')
        functions = {name: getattr(model, name) for name in ('predictFunction', 'G_trainFunction')}
        ops = {name: networks.names_of_ops(function) for name, function in functions.items()}
        Path(folder, 'ops.json').write_text(json.dumps(ops))


if __name__ == '__main__':
    main(*sys.argv[1:])
