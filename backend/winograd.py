"""Chains of convolutions in winograd.cpp: a graph optimiser that finds them, and the Op that runs them.

A chain consists of 3 x 3 convolutions with stride 1, one pixel of padding, bias and ReLU; 2 x 2 maximum
pools; nearest-neighbour upscaling by 2 before such a convolution; and at its end a 1 x 1 convolution with one
filter. It must be in float32 on the CPU, and nothing else may need its intermediate results, so gradients
never pass through it. Theano computes the rest of the graph.

`SALGAN_CONV=onednn` or `corrmm` in the environment leaves everything to oneDNN or to Theano alone, as does a
CPU without vectors known to native.py; `avx512` uses AVX-512 if the CPU has it.
"""

import ctypes
import threading
from pathlib import Path

import numpy as np
import theano.tensor as T
from theano.compile import optdb
from theano.gof import Apply, Op
from theano.gof.opt import Optimizer
from theano.tensor.nnet.abstract_conv import AbstractConv2d
from theano.tensor.signal.pool import Pool, pool_2d

from backend import native
from backend.graph import input_of, plain, same, shared, upscaled_from

# note: deviation 22: the original's convolutions are sums of products, by a BLAS or cuDNN
SOURCE = Path(__file__).with_name('winograd.cpp')
CONVOLUTION, UPSCALED_CONVOLUTION, POOL, WEIGHTED_SUM = range(4)  # as in winograd.cpp
ARRAYS = {CONVOLUTION: 2, UPSCALED_CONVOLUTION: 2, POOL: 0, WEIGHTED_SUM: 1}  # used by each step


class Chain(Op):
    """(images, filters and biases..) -> the last step's activations.

    Parameters
    ----------
    steps : tuple of (kind, flip)
        `flip` as AbstractConv2d's `filter_flip`; ignored for a pool.
    """

    __props__ = ('steps',)

    def __init__(self, steps):
        self.steps = steps
        self._reset()

    def _reset(self):
        self._held: tuple = (None, None)  # what the chain was made for, and the chain
        self._lock = threading.Lock()

    def __getstate__(self):
        return {'steps': self.steps}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._reset()

    def make_node(self, images, *arrays):
        inputs = [T.as_tensor_variable(variable) for variable in (images, *arrays)]
        if any(variable.dtype != 'float32' for variable in inputs):
            raise TypeError(f'float32 only, not {[variable.dtype for variable in inputs]}')
        one = self.steps[-1][0] == WEIGHTED_SUM
        return Apply(self, inputs, [T.TensorType('float32', (False, one, False, False))()])

    def infer_shape(self, node, shapes):
        (n, channels, rows, columns), arrays = shapes[0], list(shapes[1:])
        for kind, _ in self.steps:
            if kind == POOL:
                rows, columns = rows // 2, columns // 2
            if kind == UPSCALED_CONVOLUTION:
                rows, columns = rows * 2, columns * 2
            if ARRAYS[kind]:
                channels = arrays[0][0]
                del arrays[: ARRAYS[kind]]
        return [(n, channels, rows, columns)]

    def perform(self, node, inputs, outputs):
        arrays = [np.ascontiguousarray(array) for array in inputs]
        shape = self.infer_shape(node, [array.shape for array in arrays])[0]
        out = outputs[0][0]
        if out is None or out.shape != shape or not out.flags.c_contiguous:
            out = np.empty(shape, np.float32)
        if out.size:
            with self._lock:  # a chain of C++ can run in one thread at a time
                self._run(arrays, out)
        outputs[0][0] = out

    def _run(self, arrays, out):
        images, arrays = arrays[0], arrays[1:]
        library = engine()
        made_for = images.shape[1], [array.shape for array in arrays]
        if self._held[0] != made_for:
            self._held = made_for, _Handle(library, self._table(*made_for))
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        failed = library.chain_run(
            self._held[1].pointer,
            pointers,
            images.ctypes.data,
            out.ctypes.data,
            *images.shape,
            native.threads(),
        )
        if failed:
            raise MemoryError('too little memory for the convolutions')

    def _table(self, channels, shapes):
        """The steps in winograd.cpp's format; raises ValueError if the arrays do not fit together."""
        table, shapes = [], list(shapes)
        for kind, flip in self.steps:
            filters = channels
            if ARRAYS[kind]:
                filters = shapes[0][0]
                side = 1 if kind == WEIGHTED_SUM else 3
                expected = [(filters, channels, side, side), (filters,)][: ARRAYS[kind]]
                if shapes[: ARRAYS[kind]] != expected:
                    raise ValueError(f'a convolution has arrays of {shapes[: ARRAYS[kind]]}, not {expected}')
                del shapes[: ARRAYS[kind]]
            table += [kind, channels, filters, int(flip)]
            channels = filters
        return table


class _Handle:
    """A chain of winograd.cpp's, freed with this object."""

    def __init__(self, library, table):
        self._library = library
        self.pointer = library.chain_new((ctypes.c_long * len(table))(*table), len(table) // 4)
        if not self.pointer:
            raise MemoryError('too little memory for the convolutions')

    def __del__(self):
        if getattr(self, 'pointer', None):
            self._library.chain_free(self.pointer)


_loaded: list = []


def engine():
    """winograd.cpp, compiled and loaded."""
    if not _loaded:
        library = native.loaded(SOURCE, *native.vectors()[1])
        library.chain_new.argtypes = [ctypes.c_void_p, ctypes.c_long]
        library.chain_new.restype = ctypes.c_void_p
        library.chain_free.argtypes = [ctypes.c_void_p]
        library.chain_free.restype = None
        library.chain_run.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_long] * 4 + [ctypes.c_int]
        _loaded.append(library)
    return _loaded[0]


# --- finding chains in a graph ---


class FindChains(Optimizer):
    """Replaces every chain, from its last step back to the first that nothing else needs."""

    def apply(self, fgraph):
        ends = [variable for node in reversed(fgraph.toposort()) for variable in node.outputs]
        ends = [variable for variable in ends if _is_end(variable)]
        if not ends or not native.usable(engine):
            return
        for end in ends:
            if end in fgraph.variables:  # not in a chain that has been replaced already
                self._replace(fgraph, end)

    def _replace(self, fgraph, end):
        steps: list = []
        arrays: list = []
        variable = end
        while True:
            step = _step(variable, last=variable is end)
            if step is None:
                break
            kind, flip, before, parameters = step
            region = _between(variable, before)
            if any(_needed_elsewhere(node, variable, region) for node in region):
                break
            steps.insert(0, (kind, flip))
            arrays[:0] = parameters
            variable = before
            if any(client not in region for client, _ in before.clients):
                break
        if any(kind in (CONVOLUTION, UPSCALED_CONVOLUTION) for kind, _ in steps):
            found = T.patternbroadcast(Chain(tuple(steps))(variable, *arrays), end.broadcastable)
            fgraph.replace_validate(end, found, reason='winograd')


def _is_end(variable):
    """Cheaper than `_step`, for every variable of a graph: might a chain end here?"""
    return variable.ndim == 4 and variable.dtype == 'float32' and _step(variable, last=True) is not None


def _step(variable, last):
    """(kind, flip, input, [arrays]) of the step whose output `variable` is, or None."""
    return _pool(variable) or _convolution(variable) or (_weighted_sum(variable) if last else None)


def _pool(variable):
    node = variable.owner
    if node and isinstance(node.op, Pool):
        before = node.inputs[0]
        if same(variable, pool_2d(before, ws=(2, 2), ignore_border=True, mode='max'), before):
            return POOL, False, before, []
    return None


def _convolution(variable):
    """A rectified convolution with a bias, perhaps of an upscaled input."""
    from lasagne.nonlinearities import rectify

    # 0.5 * (a + |a|), where a is the convolution plus the bias
    activation = input_of(input_of(variable, -1), 0)
    convolution, bias = input_of(activation, 0), input_of(input_of(activation, 1), 0)
    if bias is None or bias.ndim != 1 or not _filters(convolution, (1, 1), (3, 3)):
        return None
    if not same(variable, rectify(convolution + bias.dimshuffle('x', 0, 'x', 'x')), convolution, bias):
        return None
    before, filters = convolution.owner.inputs
    flip = bool(convolution.owner.op.filter_flip)
    small = upscaled_from(before)
    if small is not None:
        return UPSCALED_CONVOLUTION, flip, small, [filters, bias]
    return CONVOLUTION, flip, before, [filters, bias]


def _weighted_sum(variable):
    if not _filters(variable, (0, 0), (1, 1)):
        return None
    before, filters = variable.owner.inputs
    if filters.owner is None and filters.get_value(borrow=True).shape[0] == 1:
        return WEIGHTED_SUM, False, before, [filters]
    return None


def _filters(variable, border, shape):
    """Is `variable` a float32 convolution with this padding, and with shared filters of this shape?"""
    node = variable.owner if variable is not None else None
    if not node or not isinstance(node.op, AbstractConv2d):
        return False
    return plain(node, border) and shared(node.inputs[1], shape)


def _between(variable, before):
    """The nodes on the way from `before` to `variable`."""
    nodes = []

    def leads_there(current):
        if current is before or current.owner in nodes:
            return True
        found = [leads_there(variable) for variable in current.owner.inputs] if current.owner else []
        if any(found):
            nodes.append(current.owner)
        return any(found)

    leads_there(variable)
    return nodes


def _needed_elsewhere(node, variable, region):
    """Does anything outside `region`, apart from users of `variable`, use an output of `node`?"""
    return any(
        client not in region
        for output in node.outputs
        if output is not variable
        for client, _ in output.clients
    )


def register(position):
    """`position` among Theano's optimisers: before shapes are lifted and the graph changes form."""
    optdb.register('salgan_winograd', FindChains(), position, 'fast_run', 'winograd')
