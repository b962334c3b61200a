"""What the Ops have in common that compute a convolution layer or one of its gradients."""

import theano.tensor as T
from theano.gof import Apply, Op
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
    """Inputs, all float32: FORWARD (input, filters), GRADIENT_OF_INPUT (gradient of the output, filters),
    GRADIENT_OF_FILTERS (input, gradient of the output)."""

    def make_node(self, a, b):
        inputs = [T.as_tensor_variable(variable) for variable in (a, b)]
        if any(variable.dtype != 'float32' or variable.ndim != 4 for variable in inputs):
            raise TypeError(f'float32 with four axes only, not {[variable.type for variable in inputs]}')
        return Apply(self, inputs, [T.TensorType('float32', (False,) * 4)()])


def inputs_of(node):
    """(task, its two inputs in a LayerOp's order) of one of Theano's nodes; None if it is no such node."""
    task = TASKS.get(type(node.op))
    if task is None:
        return None
    first, second = node.inputs[:2]
    return task, (second, first) if task == GRADIENT_OF_INPUT else (first, second)
