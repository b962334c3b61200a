"""The functions that scripts of 2017 get from `from utils import *`, and the modules that they then use.

`utils` fetches all of them from here, but only when they are used.
"""

import os

import cv2
import numpy as np
from lasagne.layers import get_all_params

import constants
from backend import lasagne, theano
from models.parameters import set_values
from utils import weights
from utils.files import make_folder
from utils.images import shrink, write_image
from utils.saliency_maps import finish

__all__ = ['cv2', 'lasagne', 'load_weights', 'np', 'os', 'predict', 'theano']


def load_weights(net, path, epochtoload):
    """Sets all arrays of the network with this last layer, or none.

    Parameters
    ----------
    net : Lasagne layer
        `model.net['output']`, `model.discriminator['prob']`.
    path : str
        The beginning of the file's name: 'gen_' for `gen_modelWeights0090.npz` in `constants.HOME_DIR` or its
        `weights/`.
    epochtoload : int

    Raises
    ------
    utils.weights.WeightsError
        If there is no such file, or it does not contain this network's arrays.
    """
    name = f'{path}modelWeights{epochtoload:04d}.npz'
    places = [os.path.join(constants.HOME_DIR, folder, name) for folder in ('', 'weights')]
    found = [place for place in places if os.path.exists(place)]
    layout = [('the network', p.name, p.get_value(borrow=True).shape) for p in get_all_params(net)]
    set_values(net, weights.read(found[0] if found else places[0], 'this network', layout))


def predict(model, image_stimuli, num_epoch=None, name=None, path_output_maps=None):
    """Writes the saliency map of an image, as 03 makes it.

    Parameters
    ----------
    model : ModelBCE or ModelSALGAN
    image_stimuli : uint8 array, shape (rows, columns, 3), RGB
    num_epoch : int, optional
        Of a snapshot: without `name`, 12 gives the file `validationRandomSaliencyPred_0012.png`.
    name : str, optional
        The file is then `NAME.jpg`.
    path_output_maps : path, optional
        The folder, which is created if missing (default: the current one).
    """
    if name is None and num_epoch is None:
        raise TypeError('predict needs a name or num_epoch, which name the file')
    small = shrink(image_stimuli, model.inputWidth, model.inputHeight)
    batch = np.ascontiguousarray(small.transpose(2, 0, 1)[None], theano.config.floatX)
    saliency_map = finish(model.predictFunction(batch)[0, 0], *image_stimuli.shape[:2])
    folder = os.path.join('.', path_output_maps or '')
    make_folder(folder)
    file = f'validationRandomSaliencyPred_{num_epoch:04d}.png' if name is None else f'{name}.jpg'
    write_image(os.path.join(folder, file), saliency_map)
