"""Saliency maps from images and a generator's weights, as plain arrays."""

import numpy as np
import theano

from models.model import Model
from utils.weights import set_values


class Predictor:
    """A generator for images of one size, compiled once, for any weights.

    Parameters
    ----------
    arrays : list of 54 float32 arrays, see `utils.weights.read_generator`
    width, height : int
        Multiples of 16.
    """

    def __init__(self, arrays, width=256, height=192):
        self._model = Model(width, height, batch_size=1)
        self.set_weights(arrays)

    def set_weights(self, arrays):
        set_values(self._model.net['output'], arrays)

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
        MemoryError
            If there is not enough for so many images of this size.
        """
        batch = np.ascontiguousarray(np.asarray(images, theano.config.floatX).transpose(0, 3, 1, 2))
        try:
            return np.asarray(self._model.predictFunction(batch)[:, 0], np.float32)
        except RuntimeError as error:
            if 'allocate' in str(error):  # Theano's convolutions know no better name for it
                raise MemoryError from None
            raise
