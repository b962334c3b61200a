"""Compiles every function of both models for device=cuda and says what became of them, as JSON on stdout.

Run in a process of its own, see tests/test_gpu.py: {function: {'card': {op: how many}, 'host': [what]}}.
"""

import collections
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.model_bce import ModelBCE  # noqa: E402
from models.model_salgan import ModelSALGAN  # noqa: E402


def described(function):
    card: dict = collections.Counter()
    host = []
    for node in function.maker.fgraph.toposort():
        if type(node.op).__module__.startswith('theano.gpuarray'):
            card[type(node.op).__name__] += 1
        else:
            kinds = [f'{v.type.dtype} {v.type.ndim}d' for v in node.outputs if hasattr(v.type, 'dtype')]
            host.append(f'{node.op}: {", ".join(kinds)}')
    return {'card': card, 'host': sorted(set(host))}


def main():
    bce, salgan = ModelBCE(64, 48, 2), ModelSALGAN(64, 48, 2)
    functions = {
        'predict': bce.predictFunction,
        'bce G': bce.G_trainFunction,
        'salgan predict': salgan.predictFunction,
        'salgan G': salgan.G_trainFunction,
        'salgan D': salgan.D_trainFunction,
    }
    print(json.dumps({name: described(function) for name, function in functions.items()}))


if __name__ == '__main__':
    main()
