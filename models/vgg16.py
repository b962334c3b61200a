"""The encoder: VGG-16 without its last pool and its dense layers (Simonyan & Zisserman 2015)."""

from lasagne.layers import InputLayer

from models.layers import Conv2DLayer, MaxPool2DLayer, RGBtoBGRLayer

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # filters, convolutions; a pool between blocks
FROZEN_BLOCKS = 3  # conv1_1 .. conv3_3 keep ImageNet's weights


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
    layer = net['bgr']
    for block, (filters, convolutions) in enumerate(BLOCKS, 1):
        for n in range(1, convolutions + 1):
            # trained by Caffe, which cross-correlates
            layer = Conv2DLayer(layer, filters, flip_filters=False, **initial)
            layer.params[layer.b].add('regularizable')
            if block <= FROZEN_BLOCKS:
                for tags in layer.params.values():
                    tags.discard('trainable')
            net[f'conv{block}_{n}'] = layer
        if block < len(BLOCKS):
            layer = net[f'pool{block}'] = MaxPool2DLayer(layer, 2)
    return net
