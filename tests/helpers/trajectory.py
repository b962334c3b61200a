"""Replays a recorded training trajectory: python tests/helpers/trajectory.py RECORD.npz OUTPUT.npz [UPDATES]

A process of its own is for another device. It writes the arrays of the record under the same names; with
UPDATES only so many.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'golden')]

import inputs  # noqa: E402
import numpy as np  # noqa: E402

from backend import lasagne, theano  # noqa: E402
from tests.helpers import networks  # noqa: E402


def statistics(arrays):
    """Sum, Euclidean norm and first eight values of every array, in float64."""
    arrays = [np.asarray(array, 'float64') for array in arrays]
    head = np.full((len(arrays), 8), np.nan)
    for row, array in zip(head, arrays):
        row[: min(8, array.size)] = array.ravel()[:8]
    return {
        'sum': np.array([array.sum() for array in arrays]),
        'norm': np.array([np.sqrt((array**2).sum()) for array in arrays]),
        'head': head,
    }


def cast(arrays):
    return [np.asarray(array, theano.config.floatX) for array in arrays]


def replay(record, updates=None):
    """The arrays of a record under the same names, computed by this project in Theano's floatX.

    With `updates` only so many, and nothing but them: no maps and probabilities before and after.
    """
    width, height, size = (int(record[name]) for name in ('width', 'height', 'batch_size'))
    salgan = 'costs' in record
    assert (width, height, size) == (networks.WIDTH, networks.HEIGHT, networks.BATCH)
    model: Any = networks.model('salgan' if salgan else 'bce')
    generator = inputs.generator_arrays(int(record['generator_seed']), float(record['gain']))
    parts = {'gen_' if salgan else '': (model.net['output'], generator)}
    if salgan:
        discriminator = inputs.discriminator_arrays(int(record['discriminator_seed']), width, height)
        parts['disc_'] = (model.discriminator['prob'], discriminator)
        if updates is None:
            concatenated = [model.input_var, model.output_var]
            prob = theano.function(concatenated, lasagne.layers.get_output(model.discriminator['prob']))
    for layer, start in parts.values():
        lasagne.layers.set_all_param_values(layer, cast(start))

    seeds = [int(seed) for seed in record['batch_seed_of_update']][:updates]
    batches = {seed: cast(inputs.batch(seed, size, width, height)) for seed in seeds}

    def observe(when):
        maps = {seed: model.predictFunction(images) for seed, (images, _) in batches.items()}
        result['maps_' + when] = np.concatenate([maps[seed] for seed in sorted(batches)])
        if salgan:
            for name, of in (('truth', {s: b[1] for s, b in batches.items()}), ('pred', maps)):
                result[f'prob_{name}_{when}'] = np.concatenate(
                    [prob(batches[seed][0], of[seed]) for seed in sorted(batches)]
                )

    result, costs = {}, []
    if updates is None:
        observe('before')
    for update, seed in enumerate(seeds, 1):
        train = model.D_trainFunction if salgan and update % 2 else model.G_trainFunction
        costs.append(train(*batches[seed]))
        if update in record['checkpoints']:
            for prefix, (layer, start) in parts.items():
                now = lasagne.layers.get_all_param_values(layer)
                moved = [np.asarray(new, 'float64') - old for new, old in zip(now, cast(start))]
                for kind, values in (('', statistics(now)), ('delta_', statistics(moved))):
                    result.update({f'u{update}_{prefix}{kind}{name}': a for name, a in values.items()})
    if updates is None:
        observe('after')
    result['costs' if salgan else 'loss'] = np.array(costs)
    for prefix, (layer, start) in parts.items():
        same = [
            np.array_equal(now, old)
            for now, old in zip(lasagne.layers.get_all_param_values(layer), cast(start))
        ]
        result[prefix.replace('gen_', '') + 'unchanged'] = np.flatnonzero(same)
    return result


if __name__ == '__main__':
    np.savez(sys.argv[2], **replay(np.load(sys.argv[1]), *map(int, sys.argv[3:])))
