"""Predicts images of a golden record on device=cuda; prints what came of it as JSON.

    python tests/helpers/gpu_map.py [IMAGES]

Run in a process of its own, see tests/test_virtual_card.py: {'line': of `python -m backend`, 'graph': see
gpu_graph.py, 'made': whether that graph was built or read from disk, 'error': the largest difference of the
maps from the record's}.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'golden')]

import inputs  # noqa: E402
import numpy as np  # noqa: E402

from backend import cuda  # noqa: E402
from models import prediction  # noqa: E402
from tests.helpers.gpu_graph import described  # noqa: E402


def main():
    record = np.load(ROOT / 'tests' / 'golden' / 'network' / 'train_bce.npz')
    width, height, size = (int(record[name]) for name in ('width', 'height', 'batch_size'))
    arrays = inputs.generator_arrays(int(record['generator_seed']), float(record['gain']))
    # maps_before has the batches in the order of their seeds
    images, _ = inputs.batch(min(record['batch_seed_of_update']), size, width, height)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else size
    make, made = prediction._compile, []

    def counted():
        made.append(True)
        return make()

    prediction._compile = counted
    predictor = prediction.Predictor(arrays, width, height)
    maps = predictor(images[:count].astype(np.uint8).transpose(0, 2, 3, 1))
    error = np.abs(maps - record['maps_before'][:count, 0]).max()
    found = {'line': cuda.report(), 'graph': described(predictor._function), 'made': bool(made)}
    print(json.dumps({**found, 'error': str(error)}))


if __name__ == '__main__':
    main()
