"""Compiles the functions of models for device=cuda and says what became of them, as JSON on stdout.

    python tests/helpers/gpu_graph.py MODE...

Run in a process of its own, see tests/test_gpu.py: {function: {'card': {op: how many}, 'host': [what],
'algorithms': [of cuDNN's convolutions]}}.
"""

import collections
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from models.model_bce import ModelBCE  # noqa: E402
from models.model_salgan import ModelSALGAN  # noqa: E402


def described(function):
    card: dict = collections.Counter()
    host, algorithms = set(), set()
    for node in function.maker.fgraph.toposort():
        if type(node.op).__module__.startswith('theano.gpuarray'):
            card[type(node.op).__name__] += 1
            if hasattr(node.op, 'algo'):
                algorithms.add(f'{type(node.op).__name__} {node.op.algo}')
        else:
            kinds = [f'{v.type.dtype} {v.type.ndim}d' for v in node.outputs if hasattr(v.type, 'dtype')]
            host.add(f'{node.op}: {", ".join(kinds)}')
    return {'card': card, 'host': sorted(host), 'algorithms': sorted(algorithms)}


def functions(mode):
    """Of the model of that mode, by name."""
    if mode == 'bce':
        bce = ModelBCE(64, 48, 2)
        return {'predict': bce.predictFunction, 'bce G': bce.G_trainFunction}
    salgan = ModelSALGAN(64, 48, 2)
    return {'salgan G': salgan.G_trainFunction, 'salgan D': salgan.D_trainFunction}


def main():
    found = {name: described(function) for mode in sys.argv[1:] for name, function in functions(mode).items()}
    print(json.dumps(found))


if __name__ == '__main__':
    main()
