"""Convolutions with oneDNN: an Op for one layer or one of its gradients, and the optimiser that inserts it.

It replaces any convolution in float32 on the CPU with stride 1 and the same padding on both sides, and its
gradients, that winograd.py and convolutions.py have left: filters of other sizes, layers with few channels,
CPUs with neither AVX2 nor NEON. oneDNN comes from PyPI (onednn-cpu-gomp) and is called through its C
interface with ctypes; if it is not installed, Theano's CorrMM is used. `SALGAN_CONV=onednn` leaves everything
to oneDNN, `corrmm` nothing.
"""

import ctypes
import functools
import os
import site
import sys
import threading

import numpy as np
import theano
import theano.tensor as T
from theano.compile import optdb
from theano.gof.opt import Optimizer

from backend import native
from backend.graph import FORWARD, GRADIENT_OF_FILTERS, GRADIENT_OF_INPUT, LayerOp, inputs_of

SCRATCH = 64 << 20  # bytes of an array in oneDNN's own layout; limits the number of images at a time
_lock = threading.Lock()  # the scratch arrays are shared

INPUT, FILTERS, OUTPUT = range(3)  # the arrays of a layer, or their gradients
ROLES = {  # the roles of a task's two inputs and its result, and the axes in which the inputs must agree
    FORWARD: ((INPUT, FILTERS, OUTPUT), (1, 1)),
    GRADIENT_OF_INPUT: ((OUTPUT, FILTERS, INPUT), (1, 0)),
    GRADIENT_OF_FILTERS: ((INPUT, OUTPUT, FILTERS), (0, 0)),
}


class OneDNNConvolution(LayerOp):
    """A convolution layer or one of its gradients.

    Parameters
    ----------
    task : FORWARD, GRADIENT_OF_INPUT or GRADIENT_OF_FILTERS
    pad : (rows, columns) of zeros on each side
    flip : bool
        As AbstractConv2d's `filter_flip`.
    """

    __props__ = ('task', 'pad', 'flip')

    def __init__(self, task, pad, flip):
        self.task, self.pad, self.flip = task, pad, flip

    def infer_shape(self, node, shapes):
        a, b = shapes
        if self.task == FORWARD:
            grown = [a[axis] + 2 * p - b[axis] + 1 for axis, p in zip((2, 3), self.pad)]
            return [(a[0], b[0], *grown)]
        if self.task == GRADIENT_OF_INPUT:
            shrunk = [a[axis] - 2 * p + b[axis] - 1 for axis, p in zip((2, 3), self.pad)]
            return [(a[0], b[1], *shrunk)]
        return [(b[1], a[1], *(a[axis] + 2 * p - b[axis] + 1 for axis, p in zip((2, 3), self.pad)))]

    def perform(self, node, inputs, outputs):
        a, b = (np.ascontiguousarray(array) for array in inputs)
        shape = tuple(int(side) for side in self.infer_shape(node, [a.shape, b.shape])[0])
        roles, (axis_of_a, axis_of_b) = ROLES[self.task]
        if a.shape[axis_of_a] != b.shape[axis_of_b] or min(shape[2:]) < 1:
            raise ValueError(
                f'a convolution has arrays of {a.shape} and {b.shape}, which do not fit together'
            )
        out = np.zeros(shape, np.float32)
        if a.size and b.size and out.size:
            if self.flip and self.task != GRADIENT_OF_FILTERS:
                b = np.ascontiguousarray(b[:, :, ::-1, ::-1])
            arrays = dict(zip(roles, (a, b, out)))
            with _lock:
                _run(self.task, arrays[INPUT], arrays[FILTERS], arrays[OUTPUT], self.pad)
        if self.flip and self.task == GRADIENT_OF_FILTERS:
            out = np.ascontiguousarray(out[:, :, ::-1, ::-1])
        outputs[0][0] = out


# --- oneDNN ---

# from oneapi/dnnl/dnnl_types.h, version 3
dnnl_out_of_memory = 1
dnnl_cpu = 1
dnnl_stream_in_order = 1
dnnl_f32 = 3
dnnl_format_tag_any, dnnl_abcd = 1, 5
dnnl_forward_training = 64
dnnl_convolution_direct = 1
dnnl_query_src_md, dnnl_query_diff_src_md = 129, 130
dnnl_query_weights_md, dnnl_query_diff_weights_md = 131, 132
dnnl_query_dst_md, dnnl_query_diff_dst_md = 133, 134
DNNL_ARG_FROM = DNNL_ARG_SRC = 1
DNNL_ARG_TO = DNNL_ARG_DST = 17
DNNL_ARG_WEIGHTS = 33
DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS = 129, 145, 161

SRC = dnnl_query_src_md, DNNL_ARG_SRC
WEIGHTS = dnnl_query_weights_md, DNNL_ARG_WEIGHTS
DST = dnnl_query_dst_md, DNNL_ARG_DST
DIFF_SRC = dnnl_query_diff_src_md, DNNL_ARG_DIFF_SRC
DIFF_WEIGHTS = dnnl_query_diff_weights_md, DNNL_ARG_DIFF_WEIGHTS
DIFF_DST = dnnl_query_diff_dst_md, DNNL_ARG_DIFF_DST
ARGUMENTS = {  # INPUT, FILTERS and OUTPUT as oneDNN calls them
    FORWARD: (SRC, WEIGHTS, DST),
    GRADIENT_OF_INPUT: (DIFF_SRC, WEIGHTS, DIFF_DST),
    GRADIENT_OF_FILTERS: (SRC, DIFF_WEIGHTS, DIFF_DST),
}
Dims = ctypes.c_int64 * 12


class _Argument(ctypes.Structure):
    _fields_ = [('number', ctypes.c_int), ('memory', ctypes.c_void_p)]


@functools.cache
def _library():
    """oneDNN, loaded; None if it is not installed."""
    for prefix in (sys.prefix, site.getuserbase()):
        try:
            return ctypes.CDLL(os.path.join(prefix, 'lib', 'libdnnl.so.3'))
        except OSError:
            pass
    return None


def usable():
    """Whether oneDNN is installed and may be used."""
    return (
        os.environ.get('SALGAN_CONV') != 'corrmm' and theano.config.device == 'cpu' and _library() is not None
    )


def _call(name, *arguments):
    status = getattr(_library(), name)(*arguments)
    if status == dnnl_out_of_memory:
        raise MemoryError('too little memory for the convolutions')
    if status:
        raise RuntimeError(f'oneDNN: {name} returned {status}')


def _made(name, *arguments):
    """The handle that a oneDNN function returns in its first argument."""
    handle = ctypes.c_void_p()
    _call(name, ctypes.byref(handle), *arguments)
    return handle


@functools.cache
def _engine_and_stream():
    engine = _made('dnnl_engine_create', dnnl_cpu, ctypes.c_size_t(0))
    return engine, _made('dnnl_stream_create', engine, dnnl_stream_in_order)


def _run(task, x, w, y, pad):
    """Computes the one of the three arrays that `task` asks for from the other two."""
    ctypes.CDLL('libgomp.so.1').omp_set_num_threads(native.threads())
    step = max(1, SCRATCH // (4 * max(x[0].size, y[0].size)))
    for i in range(0, len(x), step):
        convolution = _Convolution.of(task, x[i : i + step].shape, w.shape, y[i : i + step].shape, pad)
        part = w if i == 0 or task != GRADIENT_OF_FILTERS else np.empty_like(w)
        convolution(x[i : i + step], part, y[i : i + step])
        if part is not w:
            w += part


class _Convolution:
    """A convolution for arrays of given shapes, in layouts of oneDNN's choice."""

    def __init__(self, task, x, w, y, pad):
        self._result = ROLES[task][0][2]
        engine, _ = _engine_and_stream()
        plain = [_layout(shape, dnnl_abcd) for shape in (x, w, y)]
        free = [_layout(shape, dnnl_format_tag_any) for shape in (x, w, y)]
        x_, w_, y_ = free
        way = Dims(1, 1), Dims(0, 0), Dims(*pad), Dims(*pad)  # strides, dilations, padding before and after
        kind = forward = _made(
            'dnnl_convolution_forward_primitive_desc_create',
            *(engine, dnnl_forward_training, dnnl_convolution_direct, x_, w_, None, y_, *way, None),
        )
        if task == GRADIENT_OF_INPUT:
            kind = _made(
                'dnnl_convolution_backward_data_primitive_desc_create',
                *(engine, dnnl_convolution_direct, x_, w_, y_, *way, forward, None),
            )
        elif task == GRADIENT_OF_FILTERS:
            kind = _made(
                'dnnl_convolution_backward_weights_primitive_desc_create',
                *(engine, dnnl_convolution_direct, x_, w_, None, y_, *way, forward, None),
            )
        self._primitive = _made('dnnl_primitive_create', kind)
        library = _library()
        library.dnnl_primitive_desc_query_md.restype = ctypes.c_void_p
        self._arrays = []
        for at, (query, number) in enumerate(ARGUMENTS[task]):
            wanted = ctypes.c_void_p(library.dnnl_primitive_desc_query_md(kind, query, 0))
            self._arrays.append((number, _Memory(plain[at], wanted, at == self._result, at)))
        for description in {forward.value, kind.value}:
            library.dnnl_primitive_desc_destroy(ctypes.c_void_p(description))
        for layout in plain + free:
            library.dnnl_memory_desc_destroy(layout)

    @staticmethod
    @functools.lru_cache(maxsize=128)
    def of(*shapes):
        return _Convolution(*shapes)

    def __call__(self, *arrays):
        _, stream = _engine_and_stream()
        handles = [memory.taken(array) for (_, memory), array in zip(self._arrays, arrays)]
        numbers = [number for number, _ in self._arrays]
        arguments = (_Argument * 3)(*(_Argument(n, h.value) for n, h in zip(numbers, handles)))
        _call('dnnl_primitive_execute', self._primitive, stream, 3, arguments)
        self._arrays[self._result][1].given()
        _call('dnnl_stream_wait', stream)

    def __del__(self):
        if hasattr(self, '_primitive'):
            _library().dnnl_primitive_destroy(self._primitive)


_scratch: dict = {}


class _Memory:
    """One array of a convolution: in Theano's layout, and in oneDNN's if that differs."""

    def __init__(self, plain, wanted, result, at):
        library, (engine, _) = _library(), _engine_and_stream()
        library.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
        self._plain, self._wanted, self._reorder, self._result = None, None, None, result
        self._plain = _made('dnnl_memory_create', plain, engine, None)
        if not library.dnnl_memory_desc_equal(plain, wanted):
            self._size, self._at = library.dnnl_memory_desc_get_size(wanted), at
            self._wanted = _made('dnnl_memory_create', wanted, engine, None)
            ways = (wanted, engine, plain, engine) if result else (plain, engine, wanted, engine)
            description = _made('dnnl_reorder_primitive_desc_create', *ways, None)
            self._reorder = _made('dnnl_primitive_create', description)
            library.dnnl_primitive_desc_destroy(description)

    def taken(self, array):
        """The handle that the convolution must use for `array`."""
        _call('dnnl_memory_set_data_handle', self._plain, ctypes.c_void_p(array.ctypes.data))
        if self._reorder is None:
            return self._plain
        if self._at not in _scratch or _scratch[self._at].nbytes < self._size:
            _scratch[self._at] = np.empty(self._size, np.uint8)
        _call('dnnl_memory_set_data_handle', self._wanted, ctypes.c_void_p(_scratch[self._at].ctypes.data))
        if not self._result:
            self._move(self._plain, self._wanted)
        return self._wanted

    def given(self):
        """Copies the result to its destination."""
        if self._reorder is not None:
            self._move(self._wanted, self._plain)

    def _move(self, source, destination):
        arguments = (_Argument * 2)(
            _Argument(DNNL_ARG_FROM, source.value), _Argument(DNNL_ARG_TO, destination.value)
        )
        _call('dnnl_primitive_execute', self._reorder, _engine_and_stream()[1], 2, arguments)

    def __del__(self):
        library = _library()
        for handle in (self._plain, self._wanted):
            if handle is not None:
                library.dnnl_memory_destroy(handle)
        if self._reorder is not None:
            library.dnnl_primitive_destroy(self._reorder)


def _layout(shape, tag):
    return _made('dnnl_memory_desc_create_with_tag', len(shape), Dims(*shape), dnnl_f32, tag)


# --- graph optimiser ---


class ReplaceOtherConvolutions(Optimizer):
    """Replaces every convolution and gradient that oneDNN can do."""

    def apply(self, fgraph):
        found = [node for node in fgraph.toposort() if _pad(node) is not None]
        if found and usable():
            for node in found:
                (task, inputs), old = inputs_of(node), node.outputs[0]
                new = OneDNNConvolution(task, _pad(node), bool(node.op.filter_flip))(*inputs)
                fgraph.replace_validate(old, T.patternbroadcast(new, old.broadcastable), reason='onednn')


def _pad(node):
    """(rows, columns) of padding of a convolution or gradient that oneDNN can do, otherwise None."""
    op = node.op
    if not inputs_of(node) or any(v.dtype != 'float32' for v in (*node.inputs[:2], *node.outputs)):
        return None
    if (
        tuple(op.subsample) != (1, 1)
        or tuple(op.filter_dilation) != (1, 1)
        or op.num_groups != 1
        or op.unshared
    ):
        return None
    if op.border_mode == 'valid':
        return 0, 0
    mode = op.border_mode
    return mode if isinstance(mode, tuple) and all(isinstance(side, int) for side in mode) else None


def register(position):
    optdb.register('salgan_onednn', ReplaceOtherConvolutions(), position, 'fast_run', 'onednn')
