"""SalGAN: the generator trained against the discriminator."""

from functools import cached_property

import numpy as np
import theano
import theano.tensor as T
from lasagne.layers import get_all_params, get_output
from lasagne.objectives import binary_crossentropy
from lasagne.updates import adagrad

from models import discriminator
from models.model import Model
from utils.architecture import FC4_UNITS


class ModelSALGAN(Model):
    """The generator, the discriminator and their adversarial training; each batch trains one of them.

    Parameters
    ----------
    w, h : int
        Width and height of images and maps, multiples of 16.
    batch_size : int
        Number of images per update; predictions take any number.
    G_lr, D_lr : float
        Learning rates; `.G_lr` and `.D_lr` are the shared variables that hold them.
    alpha : float
        Weight of the content loss in the generator's objective.
    loss, downsample, weight_decay : see `models.model_bce.ModelBCE`
    fc4_units : int
        See `models.discriminator.build`.

    Attributes
    ----------
    discriminator : dict of Lasagne layers, see `models.discriminator.build`

    References
    ----------
    Pan et al. 2017, section 3.3.2.
    """

    def __init__(
        self,
        w,
        h,
        batch_size=32,
        G_lr=3e-4,
        D_lr=3e-4,
        alpha=1 / 20.0,
        loss='bce',
        downsample=4,
        weight_decay=0.0,
        fc4_units=FC4_UNITS,
    ):
        super().__init__(w, h, batch_size, loss, downsample, weight_decay)
        self.G_lr = theano.shared(np.asarray(G_lr, theano.config.floatX), name='G_lr')
        self.D_lr = theano.shared(np.asarray(D_lr, theano.config.floatX), name='D_lr')
        self.alpha = alpha
        truth = T.concatenate([self.output_var, self.input_var], axis=1)
        self.discriminator = discriminator.build(h, w, truth, fc4_units)

    FUNCTIONS = ('predictFunction', 'G_trainFunction', 'D_trainFunction')

    def networks(self):
        """Name -> the last layer of that network, and the updates that train it."""
        return {
            'generator': (self.net['output'], self.G_updates),
            'discriminator': (self.discriminator['prob'], self.D_updates),
        }

    @cached_property
    def _objectives(self):
        """The generator's objective, the discriminator's, and the content loss."""
        prediction = get_output(self.net['output'])
        prob_truth = get_output(self.discriminator['prob'])
        prob_pred = get_output(
            self.discriminator['prob'], T.concatenate([prediction, self.input_var], axis=1)
        )
        content = self.content_loss(prediction)
        G_objective = binary_crossentropy(prob_pred, T.ones_like(prob_pred)).mean() + content * self.alpha
        D_objective = binary_crossentropy(
            T.concatenate([prob_truth, prob_pred]),
            T.concatenate([T.ones_like(prob_truth), T.zeros_like(prob_pred)]),
        ).mean()
        return [
            self.decayed(G_objective, self.net['output']),
            self.decayed(D_objective, self.discriminator['prob']),
            content,
        ]

    @cached_property
    def G_updates(self):
        """The updates of one AdaGrad step of the generator: parameters and accumulated squared gradients."""
        parameters = get_all_params(self.net['output'], trainable=True)
        return adagrad(self._objectives[0], parameters, self.G_lr)

    @cached_property
    def D_updates(self):
        """The same for the discriminator."""
        parameters = get_all_params(self.discriminator['prob'], trainable=True)
        return adagrad(self._objectives[1], parameters, self.D_lr)

    @cached_property
    def G_trainFunction(self):
        """(images, maps) -> [G objective, D objective, content loss], before the update of the generator."""
        return self._train_function(self.G_updates)

    @cached_property
    def D_trainFunction(self):
        """(images, maps) -> [G objective, D objective, content loss], before the discriminator's update."""
        return self._train_function(self.D_updates)

    def _train_function(self, updates):
        return theano.function([self.input_var, self.output_var], self._objectives, updates=updates)
