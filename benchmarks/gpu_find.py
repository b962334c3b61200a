"""What cuDNN offers for the convolutions of both networks on this card, without Theano's graphs around them.

    THEANO_FLAGS=device=cuda python benchmarks/gpu_find.py [--size 256x192] [BATCH ...]

For every distinct layer, forward and both gradients, prints the first choice of the `guess` heuristic, and
each algorithm by its time, with its workspace, whether it gives the same bits each time, and its largest
error compared with the same convolution in float64, relative to the largest value. Layers that are summed in
float64 are also tried in float64.
"""

import argparse
import ctypes
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from utils.command_line import network_size, positive  # noqa: E402

# cudnnDataType_t, cudnnConvolutionMode_t, cudnnMathType_t
FLOAT, DOUBLE = 0, 1
CONVOLUTION, CROSS_CORRELATION = 0, 1
FMA = 3
MOST = 16  # more algorithms than there are of any kind
WORKSPACE = 1 << 30  # the limit of backend/include/cudnn.h
KINDS = {'forward': 'Forward', 'gradient of input': 'BackwardData', 'gradient of filters': 'BackwardFilter'}
# inputs and result of each, in cuDNN's order: input x, filters w, output y
FROM = {
    'Forward': ('x', 'w', 'y'),
    'BackwardData': ('w', 'y', 'x'),
    'BackwardFilter': ('x', 'y', 'w'),
}
EXACT = {'Forward': 0, 'BackwardData': 1, 'BackwardFilter': 1}  # deterministic, and available for float64
RUNS = 5


class Found(ctypes.Structure):
    """cudnnConvolution..AlgoPerf_t"""

    _fields_ = [
        ('algorithm', ctypes.c_int),
        ('status', ctypes.c_int),
        ('milliseconds', ctypes.c_float),
        ('memory', ctypes.c_size_t),
        ('deterministic', ctypes.c_int),
        ('math', ctypes.c_int),
        ('reserved', ctypes.c_int * 3),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('batches', type=positive, nargs='*', default=[1, 32], metavar='BATCH')
    parser.add_argument('--size', type=network_size, default='256x192', help='width x height')
    arguments = parser.parse_args()

    from backend import cuda, theano

    if theano.config.device == 'cpu' or not theano.gpuarray.dnn.dnn_present():
        print('this needs THEANO_FLAGS=device=cuda, and cuDNN', file=sys.stderr)
        return 2
    print(cuda.report())
    context = theano.gpuarray.type.get_context(None)
    with context:
        cudnn = CuDNN(theano.gpuarray.dnn.version(), context)
        for batch in arguments.batches:
            print(f'\nbatch {batch}, {arguments.size[0]} x {arguments.size[1]}')
            for layer in layers(*arguments.size):
                for kind, way in KINDS.items():
                    describe(cudnn, layer, batch, kind, way)
    return 0


class CuDNN:
    """Its functions by their names without `cudnn`; they raise an exception if the library returns an error.

    Attributes
    ----------
    context : of pygpu
    handle : cudnnHandle_t
    workspace : the memory that every algorithm may use, and its size
    """

    def __init__(self, version, context):
        import pygpu

        self._library = ctypes.CDLL(f'libcudnn.so.{version // (10000 if version >= 90000 else 1000)}')
        self._library.cudnnGetErrorString.restype = ctypes.c_char_p
        self.context, self.handle = context, ctypes.c_void_p()
        self.Create(ctypes.byref(self.handle))
        self._room = pygpu.empty((WORKSPACE,), dtype='uint8', context=context)
        self.workspace = ctypes.c_void_p(self._room.gpudata), ctypes.c_size_t(WORKSPACE)

    def __getattr__(self, name):
        function = getattr(self._library, f'cudnn{name}')

        def call(*arguments):
            status = function(*arguments)
            if status:
                raise RuntimeError(f'{name}: {self._library.cudnnGetErrorString(status).decode()}')

        return call


def layers(width, height):
    """The distinct convolutions of both networks, each under the name of its first layer."""
    import lasagne

    from models.layers import Conv2DLayer
    from models.model_salgan import ModelSALGAN

    model, found = ModelSALGAN(width, height), {}
    for net in (model.net, model.discriminator):
        for name, layer in net.items():
            if isinstance(layer, Conv2DLayer):
                shapes = lasagne.layers.get_output_shape(layer.input_layer)[1:], layer.W.get_value().shape
                found.setdefault((*shapes, layer.flip_filters, layer.exact), (name, layer.pad))
    return [(name, *key, pad) for key, (name, pad) in found.items()]


class Problem:
    """The arrays and descriptors of a convolution, of one dtype, filled with the same numbers every time."""

    def __init__(self, cudnn, layer, batch, dtype):
        _, (channels, rows, columns), filters, flip, _, pad = layer
        self.type, self.context = (DOUBLE if dtype == 'float64' else FLOAT), cudnn.context
        grown = 2 * pad - filters[2] + 1
        self.shapes = {
            'x': (batch, channels, rows, columns),
            'w': filters,
            'y': (batch, filters[0], rows + grown, columns + grown),
        }
        self.descriptors = {name: self._described(cudnn, name, shape) for name, shape in self.shapes.items()}
        self.convolution = ctypes.c_void_p()
        cudnn.CreateConvolutionDescriptor(ctypes.byref(self.convolution))
        mode, one = CONVOLUTION if flip else CROSS_CORRELATION, integers(1, 1)
        cudnn.SetConvolutionNdDescriptor(self.convolution, 2, integers(pad, pad), one, one, mode, self.type)
        cudnn.SetConvolutionMathType(self.convolution, FMA)
        random = np.random.RandomState(0)
        scale = {'x': 1, 'w': 0.05, 'y': 1}
        self.values = {
            name: (scale[name] * random.uniform(-1, 1, shape)).astype('float32').astype(dtype)
            for name, shape in self.shapes.items()
        }
        self.arrays: dict = {}
        self.fill()

    def _described(self, cudnn, name, shape):
        descriptor = ctypes.c_void_p()
        if name == 'w':
            cudnn.CreateFilterDescriptor(ctypes.byref(descriptor))
            cudnn.SetFilterNdDescriptor(descriptor, self.type, 0, 4, integers(*shape))
        else:
            cudnn.CreateTensorDescriptor(ctypes.byref(descriptor))
            strides = [int(np.prod(shape[axis + 1 :])) for axis in range(4)]
            cudnn.SetTensorNdDescriptor(descriptor, self.type, 4, integers(*shape), integers(*strides))
        return descriptor

    def fill(self):
        import pygpu

        self.arrays = {
            name: pygpu.gpuarray.array(values, context=self.context) for name, values in self.values.items()
        }

    def given(self, name):
        """The arguments of cuDNN's functions for one tensor: its descriptor and its memory."""
        return self.descriptors[name], ctypes.c_void_p(self.arrays[name].gpudata)

    def number(self, value):
        return ctypes.byref((ctypes.c_double if self.type == DOUBLE else ctypes.c_float)(value))

    def run(self, cudnn, way, algorithm):
        """Computes, and returns the result, on the card."""
        a, b, result = FROM[way]
        getattr(cudnn, f'Convolution{way}')(
            *(cudnn.handle, self.number(1), *self.given(a), *self.given(b), self.convolution),
            *(algorithm, *cudnn.workspace, self.number(0), *self.given(result)),
        )
        return self.arrays[result]


def integers(*values):
    return (ctypes.c_int * len(values))(*values)


def describe(cudnn, layer, batch, kind, way):
    """Prints the algorithms for one layer, in float32 and, if it is summed in float64, in float64."""
    name, exact_layer = layer[0], layer[4]
    wide = Problem(cudnn, layer, batch, 'float64')
    exact = np.asarray(wide.run(cudnn, way, EXACT[way]))
    for dtype in ('float32', 'float64') if exact_layer and way == 'Forward' else ('float32',):
        problem = wide if dtype == 'float64' else Problem(cudnn, layer, batch, dtype)
        operations = 2 * np.prod(problem.shapes['y']) * np.prod(problem.shapes['w'][1:])
        guessed = guess(cudnn, problem, way)
        print(f'{name}, {kind}, {dtype}: {operations / 1e9:.2f} GFLOP; guess names {guessed}', flush=True)
        for found in tried(cudnn, problem, way):
            problem.fill()
            result = np.asarray(problem.run(cudnn, way, found.algorithm)).astype('float64')
            seconds = timed(cudnn, problem, way, found.algorithm)
            kind_of_bits = 'deterministic' if found.deterministic else 'not deterministic'
            error = np.abs(result - exact).max() / np.abs(exact).max()
            print(
                f'  algorithm {found.algorithm}: {1e3 * seconds:9.3f} ms '
                f'{operations / seconds / 1e12:7.2f} TFLOP/s {found.memory / 2**20:8.1f} MB  '
                f'{kind_of_bits:18}error {error:.1e}',
                flush=True,
            )


def guess(cudnn, problem, way):
    """The first algorithm of the heuristic that fits, as with Theano's `guess`."""
    count, found = ctypes.c_int(), (Found * MOST)()
    a, b, result = (problem.descriptors[name] for name in FROM[way])
    function = getattr(cudnn, f'GetConvolution{way}Algorithm_v7')
    function(cudnn.handle, a, b, problem.convolution, result, MOST, ctypes.byref(count), found)
    fitting = [
        each.algorithm for each in found[: count.value] if not each.status and each.memory <= WORKSPACE
    ]
    return fitting[0] if fitting else 'none'


def tried(cudnn, problem, way):
    """The algorithms that cuDNN finds to work, the fastest first."""
    count, found = ctypes.c_int(), (Found * MOST)()
    a, b, result = FROM[way]
    getattr(cudnn, f'FindConvolution{way}AlgorithmEx')(
        *(cudnn.handle, *problem.given(a), *problem.given(b), problem.convolution, *problem.given(result)),
        *(MOST, ctypes.byref(count), found, *cudnn.workspace),
    )
    return [each for each in found[: count.value] if not each.status and each.memory <= WORKSPACE]


def timed(cudnn, problem, way, algorithm):
    """Seconds: the best of some runs."""
    best, driver = float('inf'), ctypes.CDLL('libcuda.so.1')
    for _ in range(RUNS):
        start = time.perf_counter()
        problem.run(cudnn, way, algorithm)
        driver.cuCtxSynchronize()
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == '__main__':
    sys.exit(main())
