"""The encoder: VGG-16 without its last pool and its dense layers (Simonyan & Zisserman 2015)."""

from lasagne.layers import InputLayer

from models.layers import RGBtoBGRLayer, stack
from utils import architecture


def build(input_height, input_width, input_var, **initial):
    """The layers by name, in their order: 'input', 'bgr', 'conv1_1' .. 'pool1' .. 'conv5_3'.

    Parameters
    ----------
    input_height, input_width : int
        Multiples of 16.
    input_var : Theano tensor4
        RGB images in 0..255, shape (batch, 3, input_height, input_width).
    initial : `W=`, `b=`
        Initialisers of every convolution; GlorotUniform and 0 if left out.

    Returns
    -------
    dict of Lasagne layers; 'conv5_3' has output (batch, 512, input_height / 16, input_width / 16).
    """
    net = {'input': InputLayer((None, 3, input_height, input_width), input_var)}
    net['bgr'] = RGBtoBGRLayer(net['input'])
    net = stack(net, architecture.ENCODER, **initial)
    for layer in architecture.ENCODER:
        if layer.kind == architecture.CONVOLUTION:
            params = net[layer.name].params
            params[net[layer.name].b].add('regularizable')
            if layer.name.startswith(architecture.FROZEN):
                for tags in params.values():
                    tags.discard('trainable')
    return net
