"""What is computed on device=cuda with a mistake in one of Theano's Ops.

    python tests/helpers/gpu_mutant.py flip|barrier

Run in a process of its own, see tests/test_virtual_card.py. `flip` takes convolution for cross-correlation,
and prints what gpu_map.py does; `barrier` leaves one out of Theano's sums, and prints the share of a sum that
is left.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np  # noqa: E402

from backend import kept, theano  # noqa: E402
from tests.helpers import gpu_map  # noqa: E402


def flip():
    description = theano.gpuarray.dnn.GpuDnnConvDesc
    make = description.__init__

    def flipped(self, *arguments, conv_mode='conv', **others):
        make(self, *arguments, conv_mode={'conv': 'cross', 'cross': 'conv'}[conv_mode], **others)

    description.__init__ = flipped
    kept.function = lambda name, make, *sources: make()  # neither the right one read nor this one kept
    sys.argv[1:] = ['1']  # image
    gpu_map.main()


def barrier():
    reduction = theano.gpuarray.elemwise.GpuCAReduceCuda
    write = reduction._k_reduce_buf

    def hurried(self, *arguments, **others):
        head, loop = write(self, *arguments, **others).split('_n /= 2) {')
        assert '__syncthreads();' in loop
        return head + '_n /= 2) {' + loop.replace('__syncthreads();', '', 1)

    reduction._k_reduce_buf = hurried
    matrix = theano.tensor.matrix()
    total = theano.function([matrix], matrix.sum())
    print(total(np.ones((37, 70), theano.config.floatX)) / (37 * 70))


if __name__ == '__main__':
    {'flip': flip, 'barrier': barrier}[sys.argv[1]]()
