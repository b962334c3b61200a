"""Training's convolutions in convolutions.cpp: an Op for a layer or one of its gradients, and its optimiser.

It replaces 3 x 3 convolutions with stride 1, one pixel of padding and filters in a shared variable, and their
gradients, in float32 on the CPU; if the input was upscaled by 2, the large array is never created. The chains
of winograd.py come first; the rest is left to onednn.py. SALGAN_CONV turns this off as it does the chains.
"""

import ctypes
import threading
from pathlib import Path

import numpy as np
import theano
import theano.tensor as T
from theano.compile import optdb
from theano.gof.opt import Optimizer

from backend import native
from backend.graph import (
    FORWARD,
    GRADIENT_OF_FILTERS,
    GRADIENT_OF_INPUT,
    LayerOp,
    inputs_of,
    plain,
    same,
    shared,
    upscaled_from,
)

# note: deviation 22: the original's convolutions are sums of products, by a BLAS or cuDNN
SOURCE = Path(__file__).with_name('convolutions.cpp')
FEWEST = 16  # channels and filters: with fewer, padding them to 16 costs more than it gains
_lock = threading.Lock()  # convolutions.cpp uses one scratch memory


class Convolution3x3(LayerOp):
    """A convolution layer or one of its gradients.

    Parameters
    ----------
    task : FORWARD, GRADIENT_OF_INPUT or GRADIENT_OF_FILTERS
    upscaled : bool
        The layer's input is upscaled by 2 (nearest neighbour), then convolved; `input` here is the small one.
    flip : bool
        As AbstractConv2d's `filter_flip`.
    """

    __props__ = ('task', 'upscaled', 'flip')

    def __init__(self, task, upscaled, flip):
        self.task, self.upscaled, self.flip = task, bool(upscaled), bool(flip)

    def infer_shape(self, node, shapes):
        a, b = shapes
        grown = 2 if self.upscaled else 1
        if self.task == FORWARD:
            return [(a[0], b[0], a[2] * grown, a[3] * grown)]
        if self.task == GRADIENT_OF_INPUT:
            return [(a[0], b[1], a[2] // grown, a[3] // grown)]
        return [(b[1], a[1], 3, 3)]

    def perform(self, node, inputs, outputs):
        a, b = (np.ascontiguousarray(array) for array in inputs)
        grown = 2 if self.upscaled else 1
        if self.task == GRADIENT_OF_FILTERS:
            (n, channels, rows, columns), filters = a.shape, b.shape[1]
            fits = b.shape == (n, filters, rows * grown, columns * grown)
        else:
            (filters, channels), (n, _, rows, columns) = b.shape[:2], a.shape
            fits = b.shape[2:] == (3, 3) and a.shape[1] == (channels if self.task == FORWARD else filters)
            if self.task == GRADIENT_OF_INPUT:
                fits, rows, columns = (
                    fits and not (rows % grown or columns % grown),
                    rows // grown,
                    columns // grown,
                )
        if not fits:
            raise ValueError(
                f'a 3 x 3 convolution has arrays of {a.shape} and {b.shape}, which do not fit together'
            )
        shape = tuple(int(side) for side in self.infer_shape(node, [a.shape, b.shape])[0])
        out = outputs[0][0]
        if out is None or out.shape != shape or not out.flags.c_contiguous:
            out = outputs[0][0] = np.empty(shape, np.float32)
        if not a.size or not b.size:
            out[...] = 0
            return
        pointers = (array.ctypes.data for array in (a, b, out))
        sizes = (n, channels, filters, rows, columns)
        with _lock:
            failed = engine().convolution(
                self.task, self.upscaled, self.flip, *pointers, *sizes, native.threads()
            )
        if failed:
            raise MemoryError('too little memory for the convolutions')


_loaded: list = []


def engine():
    """convolutions.cpp, compiled and loaded."""
    if not _loaded:
        library = native.loaded(SOURCE, *native.vectors()[1])
        library.convolution.argtypes = (
            [ctypes.c_int] * 3 + [ctypes.c_void_p] * 3 + [ctypes.c_long] * 5 + [ctypes.c_int]
        )
        _loaded.append(library)
    return _loaded[0]


# --- graph optimiser ---


class Replace3x3Convolutions(Optimizer):
    """Replaces every such convolution and gradient that the chains have left."""

    def apply(self, fgraph):
        found = [node for node in fgraph.toposort() if _possible(node)]
        if found and native.usable(engine):
            for node in found:
                old, new = _replacement(node)
                fgraph.replace_validate(
                    old, T.patternbroadcast(new, old.broadcastable), reason='convolution3x3'
                )


def _possible(node):
    """Can convolutions.cpp do what this node does?"""
    found = inputs_of(node)
    if not found or not plain(node, (1, 1)):
        return False
    task, (_, filters) = found
    if task == GRADIENT_OF_FILTERS:
        filters = _whose_shape(node.inputs[2])
    return shared(filters, (3, 3)) and min(filters.get_value(borrow=True).shape[:2]) >= FEWEST


def _replacement(node):
    """(a variable of the graph, its replacement)."""
    task, (first, second) = inputs_of(node)
    old, flip = node.outputs[0], node.op.filter_flip
    if task == GRADIENT_OF_INPUT:
        old, upscaled = _gradient_of_upscaled(old, _whose_shape(node.inputs[2]))
        return old, Convolution3x3(task, upscaled, flip)(first, second)
    small = upscaled_from(first)
    upscaled = small is not None
    return old, Convolution3x3(task, upscaled, flip)(small if upscaled else first, second)


def _whose_shape(variable):
    """The variable v if this is `v.shape[-2:]`, otherwise None."""
    shape = variable.owner.inputs[0] if variable.owner else None
    if shape is None or not shape.owner or not isinstance(shape.owner.op, T.Shape):
        return None
    whole = shape.owner.inputs[0]
    return whole if same(variable, whole.shape[-2:], whole) else None


def _gradient_of_upscaled(gradient, large):
    """(gradient of the array `large` was upscaled from, True) if `large`'s gradient has no other use."""
    small = upscaled_from(large) if large is not None else None
    if small is None:
        return gradient, False
    expected = theano.grad(None, small, known_grads={large: gradient})
    variable = gradient
    while len(variable.clients) == 1 and variable.clients[0][0] != 'output':
        variable = variable.clients[0][0].outputs[0]
        if same(variable, expected, small, gradient):
            return variable, True
    return gradient, False


def register(position):
    optdb.register('salgan_convolutions', Replace3x3Convolutions(), position, 'fast_run', 'winograd')
