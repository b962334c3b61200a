"""SalGAN's generator: VGG-16's convolutions and their mirror image, from an RGB image to a saliency map."""

from models import vgg16
from models.layers import stack
from utils import architecture


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
        If a side is not a multiple of 16.

    References
    ----------
    Pan et al. 2017, section 3.1.
    """
    check_size(input_height, input_width)
    net = vgg16.build(input_height, input_width, input_var, **initial)
    return stack(net, architecture.DECODER, **initial)


def check_size(height, width):
    """Raises ValueError if a side is not a multiple of 16."""
    if height % 16 or width % 16:
        raise ValueError(f'both sides must be multiples of 16, not {width} x {height}')
