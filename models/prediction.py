"""Saliency maps from images and a generator's weights, as plain arrays."""

from pathlib import Path

import numpy as np
import theano
import theano.tensor as T
from lasagne.init import Constant
from lasagne.layers import get_all_params, get_output

from backend import cuda, kept, memory
from models import generator
from models.model import Model
from utils import architecture
from utils.architecture import generator_layout


class Predictor:
    """A generator for images of one size, compiled once, for any weights.

    Parameters
    ----------
    arrays : list of 54 float32 arrays, see `utils.weights.read_generator`
        Kept, not copied.
    width, height : int
        Multiples of 16; attributes too.
    """

    def __init__(self, arrays, width=256, height=192):
        generator.check_size(height, width)
        self.width, self.height = width, height
        here = Path(__file__).parent
        self._function, self._parameters = kept.function(
            'prediction', _compile, *here.glob('*.py'), architecture.__file__
        )
        self.set_weights(arrays)

    def set_weights(self, arrays):
        expected = [shape for _, _, shape in generator_layout()]
        if [np.shape(array) for array in arrays] != expected:
            raise ValueError('these are not the 54 arrays of a generator')
        for parameter, array in zip(self._parameters, arrays):
            parameter.set_value(np.asarray(array, parameter.dtype), borrow=True)

    def __call__(self, images):
        """Predicts.

        Parameters
        ----------
        images : uint8 array, shape (n, height, width, 3), RGB

        Returns
        -------
        float32 array, shape (n, height, width), in 0..1

        Raises
        ------
        backend.memory.OutOfMemory
            If there is not enough memory for this many images of this size.
        """
        if theano.config.device == 'cpu':
            batch = np.ascontiguousarray(np.asarray(images, theano.config.floatX).transpose(0, 3, 1, 2))
        else:
            batch = np.ascontiguousarray(images, np.uint8)
        return np.asarray(memory.call(self._function, batch)[:, 0], np.float32)


def _compile():
    """The function for images of any size, and its parameters, which are still empty."""
    model = Model(16, 16, batch_size=1, W=Constant(0))
    parameters = get_all_params(model.net['output'])
    with cuda.without_trials():
        predict = model.predictFunction if theano.config.device == 'cpu' else _of_bytes(model)
    for parameter in parameters:
        parameter.set_value(np.zeros((1,) * parameter.ndim, parameter.dtype))
    return predict, parameters


def _of_bytes(model):
    """Predictions from uint8 images, which a card converts to floats: a quarter of the bytes is copied."""
    images = T.TensorType('uint8', (False,) * 4)('images')
    batch = T.cast(images.dimshuffle(0, 3, 1, 2), theano.config.floatX)
    return theano.function([images], get_output(model.net['output'], batch, deterministic=True))
