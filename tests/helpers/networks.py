"""The two models, each built and compiled once for all tests that look at it or set its weights."""

import functools

import inputs
import numpy as np

from backend import lasagne
from models.model_bce import ModelBCE
from models.model_salgan import ModelSALGAN

WIDTH, HEIGHT, BATCH = 64, 48, 4


@functools.cache
def _model(kind):
    return kind(WIDTH, HEIGHT, BATCH)


def model(mode, seed=None):
    """The model of 'bce' or 'salgan' that has never been trained; its predictions take images of any size.

    Its weights are `inputs.generator_arrays(seed)`, or what the test before has left.
    """
    built = _model({'bce': ModelBCE, 'salgan': ModelSALGAN}[mode])
    for name, network in (('G_updates', 'net'), ('D_updates', 'discriminator')):
        if name in vars(built):
            last = list(getattr(built, network).values())[-1]
            for variable in {*getattr(built, name)} - {*lasagne.layers.get_all_params(last)}:
                variable.set_value(np.zeros_like(variable.get_value(borrow=True)))
    if seed is not None:
        lasagne.layers.set_all_param_values(built.net['output'], inputs.generator_arrays(seed))
    return built


def names_of_ops(function):
    """The classes of the Ops of a compiled function, sorted."""
    return sorted({type(node.op).__name__ for node in function.maker.fgraph.toposort()})
