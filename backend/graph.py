"""How convolutions look in Theano's graphs, and the base class of the Ops that replace them."""

import theano.tensor as T
from theano.compile.sharedvalue import SharedVariable
from theano.gof import Apply, Op
from theano.scan_module.scan_utils import equal_computations
from theano.tensor.nnet.abstract_conv import (
    AbstractConv2d,
    AbstractConv2d_gradInputs,
    AbstractConv2d_gradWeights,
)

FORWARD, GRADIENT_OF_INPUT, GRADIENT_OF_FILTERS = range(3)  # as in convolutions.cpp
TASKS = {
    AbstractConv2d: FORWARD,
    AbstractConv2d_gradInputs: GRADIENT_OF_INPUT,
    AbstractConv2d_gradWeights: GRADIENT_OF_FILTERS,
}


class LayerOp(Op):
    """Base class of the Ops that compute a convolution layer or one of its gradients.

    Inputs, all float32: FORWARD (input, filters), GRADIENT_OF_INPUT (gradient of the output, filters),
    GRADIENT_OF_FILTERS (input, gradient of the output)."""

    def make_node(self, a, b):
        inputs = [T.as_tensor_variable(variable) for variable in (a, b)]
        if any(variable.dtype != 'float32' or variable.ndim != 4 for variable in inputs):
            raise TypeError(f'float32 with four axes only, not {[variable.type for variable in inputs]}')
        return Apply(self, inputs, [T.TensorType('float32', (False,) * 4)()])


def inputs_of(node):
    """(task, its two inputs in a LayerOp's order) of one of Theano's nodes; None for other nodes."""
    task = TASKS.get(type(node.op))
    if task is None:
        return None
    first, second = node.inputs[:2]
    return task, (second, first) if task == GRADIENT_OF_INPUT else (first, second)


def plain(node, border):
    """Whether a convolution or gradient is simple: all float32, two-dimensional, padded by `border` (rows,
    columns), and neither strided, dilated nor grouped."""
    op = node.op
    return (
        op.convdim == 2
        and op.border_mode in (border, 'valid' if border == (0, 0) else border)
        and tuple(op.subsample) == (1, 1) == tuple(op.filter_dilation)
        and op.num_groups == 1
        and not op.unshared
        and all(v.dtype == 'float32' for v in (*node.inputs[:2], *node.outputs))
    )


def shared(filters, shape):
    """Whether it is a shared variable with filters of this size (rows, columns)."""
    return isinstance(filters, SharedVariable) and filters.get_value(borrow=True).shape[2:] == shape


def upscaled_from(variable):
    """The variable of which `variable` is the nearest-neighbour upscaling by 2, or None."""
    small = variable
    for _ in range(6):  # two repeats of three nodes each
        small = input_of(small, 0)
    if small is not None and small.ndim == 4 and same(variable, _upscaled(small), small):
        return small
    return None


def _upscaled(variable):
    for axis in (2, 3):
        variable = T.extra_ops.repeat(variable, 2, axis)
    return variable


def input_of(variable, index):
    """This input of the node that computes `variable`; None if there is none."""
    node = variable.owner if variable is not None else None
    if not node or not -len(node.inputs) <= index < len(node.inputs):
        return None
    return node.inputs[index]


def same(variable, expected, *leaves):
    """Whether the same operations compute both from the leaves."""
    return variable.type == expected.type and equal_computations(
        [variable], [expected], list(leaves), list(leaves)
    )
