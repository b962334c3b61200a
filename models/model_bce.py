"""SalGAN's first stage and the paper's baseline: the generator alone, trained on the content loss."""

from functools import cached_property

import numpy as np
import theano
from lasagne.layers import get_all_params, get_output
from lasagne.updates import nesterov_momentum

from models.model import Model


class ModelBCE(Model):
    """The generator and its training on the content loss.

    Parameters
    ----------
    w, h : int
        Width and height of images and maps, multiples of 16.
    batch_size : int
        Number of images per update; predictions take any number.
    lr : float
        Learning rate; `.G_lr` is the shared variable that holds it.
    loss : 'bce' or 'mse'
    downsample : 1, 2, 4 or 8
        Factor by which prediction and map are average-pooled before the loss.
    weight_decay : float
        Factor of the sum of squares of the regularizable parameters; the paper's 1e-4 was never in effect.

    References
    ----------
    Pan et al. 2017, section 3.3.1.
    """

    def __init__(self, w, h, batch_size=32, lr=0.001, loss='bce', downsample=4, weight_decay=0.0):
        super().__init__(w, h, batch_size, loss, downsample, weight_decay)
        self.G_lr = theano.shared(np.asarray(lr, theano.config.floatX), name='G_lr')

    FUNCTIONS = ('predictFunction', 'G_trainFunction')

    def networks(self):
        """Name -> the last layer of that network, and the updates that train it."""
        return {'generator': (self.net['output'], self.G_updates)}

    @cached_property
    def _objective(self):
        content = self.content_loss(get_output(self.net['output']))
        return self.decayed(content, self.net['output'])

    @cached_property
    def G_updates(self):
        """The updates of one step of Nesterov momentum: parameters and their velocities."""
        # note: deviation 2: the paper states AdaGrad only; its code has Nesterov momentum 0.5 here
        parameters = get_all_params(self.net['output'], trainable=True)
        return nesterov_momentum(self._objective, parameters, self.G_lr, momentum=0.5)

    @cached_property
    def G_trainFunction(self):
        """(images, maps) -> the objective before the update that this call makes."""
        return theano.function([self.input_var, self.output_var], self._objective, updates=self.G_updates)
