"""Base of both models: the generator, its predictions, the content loss and the weight decay."""

from functools import cached_property

import theano
import theano.tensor as T
from lasagne.layers import get_output
from lasagne.objectives import binary_crossentropy, squared_error
from lasagne.regularization import l2, regularize_network_params
from theano.tensor.signal.pool import pool_2d

from models import generator

LOSSES = {'bce': binary_crossentropy, 'mse': squared_error}


class Model:
    """A generator for images of one size.

    Parameters
    ----------
    initial : see `models.generator.build`
    others : see `models.model_bce.ModelBCE`

    Attributes
    ----------
    net : dict of Lasagne layers, see `models.generator.build`
    inputWidth, inputHeight, batch_size : int
    input_var, output_var : Theano tensor4
        Images (batch, 3, h, w), RGB in 0..255, and saliency maps (batch, 1, h, w) in 0..1.
    """

    def __init__(self, w, h, batch_size, loss='bce', downsample=4, weight_decay=0.0, **initial):
        self.inputWidth, self.inputHeight, self.batch_size = w, h, batch_size
        self.loss, self.downsample, self.weight_decay = loss, downsample, weight_decay
        self.input_var, self.output_var = T.tensor4('images'), T.tensor4('maps')
        self.net = generator.build(h, w, self.input_var, **initial)

    FUNCTIONS: tuple = ('predictFunction',)

    def compile(self):
        """Compiles all functions now; otherwise each is compiled when first used."""
        for name in self.FUNCTIONS:
            getattr(self, name)

    @cached_property
    def predictFunction(self):
        """images (batch, 3, h, w), RGB in 0..255 -> saliency maps (batch, 1, h, w) in 0..1."""
        return theano.function([self.input_var], get_output(self.net['output'], deterministic=True))

    def content_loss(self, prediction):
        """The mean loss between the average-pooled `prediction` and maps.

        As in the original it is not clipped: a prediction of exactly 0 or 1 can give nan or inf.
        """
        prediction, truth = (
            _average_pool(prediction, self.downsample),
            _average_pool(self.output_var, self.downsample),
        )
        return LOSSES[self.loss](prediction, truth).mean()

    def decayed(self, objective, layer):
        """`objective` plus the weight decay of the network that ends in `layer`.

        Over all regularizable parameters, including the untrained ones.
        """
        # note: deviation 1: the original computes a weight decay but never uses it, so 0 is the default
        if self.weight_decay:
            objective = objective + self.weight_decay * regularize_network_params(layer, l2)
        return objective


def _average_pool(maps, size):
    if size == 1:
        return maps
    return pool_2d(maps, ws=(size, size), ignore_border=True, mode='average_exc_pad')
