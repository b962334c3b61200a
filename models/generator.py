"""SalGAN's generator: VGG-16's convolutions and their mirror image, from an RGB image to a saliency map."""

from lasagne.nonlinearities import sigmoid

from models import vgg16
from models.layers import Conv2DLayer, Upscale2DLayer


def build(input_height, input_width, input_var, **initial):
    """The layers by name, in the order of their arrays in a weights file.

    Parameters
    ----------
    input_height, input_width : int
        Multiples of 16: the encoder halves both four times.
    input_var : Theano tensor4
        RGB images in 0..255, shape (batch, 3, input_height, input_width).
    initial : `W=`, `b=`
        Initialisers of every convolution; GlorotUniform and 0 if left out.

    Returns
    -------
    dict of Lasagne layers; 'output' has saliency maps in 0..1, shape (batch, 1, input_height, input_width).

    Raises
    ------
    ValueError
        If a side is no multiple of 16.

    References
    ----------
    Pan et al. 2017, section 3.1.
    """
    check_size(input_height, input_width)
    net = vgg16.build(input_height, input_width, input_var, **initial)
    layer = net['conv5_3']
    for block in range(len(vgg16.BLOCKS), 0, -1):
        filters, convolutions = vgg16.BLOCKS[block - 1]
        if block < len(vgg16.BLOCKS):
            layer = net[f'upool{block}'] = Upscale2DLayer(layer, 2)
        for n in range(convolutions, 0, -1):
            layer = net[f'uconv{block}_{n}'] = Conv2DLayer(layer, filters, **initial)
    net['output'] = Conv2DLayer(layer, 1, filter_size=1, pad=0, nonlinearity=sigmoid, **initial)
    return net


def check_size(height, width):
    """Raises ValueError if a side is no multiple of 16."""
    if height % 16 or width % 16:
        raise ValueError(f'both sides must be multiples of 16, not {width} x {height}')
