"""SalGAN's discriminator: how likely a saliency map belongs to its image and is a real one."""

from lasagne.layers import DenseLayer, InputLayer
from lasagne.nonlinearities import sigmoid, tanh

from models.layers import Conv2DLayer, MaxPool2DLayer, WeightNormConv2DLayer


def build(input_height, input_width, concat_var, fc4_units=100):
    """The layers by name, in the order of their arrays in a weights file.

    Parameters
    ----------
    input_height, input_width : int
        Multiples of 16.
    concat_var : Theano tensor4
        The map in 0..1, then the RGB image in 0..255: shape (batch, 4, input_height, input_width).
    fc4_units : int
        100 in the code and the paper; the released weights have 60.

    Returns
    -------
    dict of Lasagne layers; 'prob' has the probability that the map is real, shape (batch, 1).

    References
    ----------
    Pan et al. 2017, Table 1.
    """
    # note: deviation 4: the original sums in float32. These layers have 1 % of an update's operations, and
    # with float32 sums it depends on the BLAS kernel on which side of 0 some activations fall, which moves
    # the second update's costs a hundred times further from the original's than two of its own kernels lie.
    exact = {'exact': True}
    net = {'input': InputLayer((None, 4, input_height, input_width), concat_var)}
    net['merge'] = Conv2DLayer(net['input'], 3, filter_size=1, pad=0, flip_filters=False, **exact)
    net['conv1'] = Conv2DLayer(net['merge'], 32, **exact)
    # note: deviation 3: the paper's table pools 2 x 2 here and pads the 1 x 1; the code does neither
    net['pool1'] = MaxPool2DLayer(net['conv1'], 4)
    net['conv2_1'] = Conv2DLayer(net['pool1'], 64, **exact)
    net['conv2_2'] = Conv2DLayer(net['conv2_1'], 64, **exact)
    net['pool2'] = MaxPool2DLayer(net['conv2_2'], 2)
    net['conv3_1'] = WeightNormConv2DLayer(net['pool2'], 64, **exact)
    net['conv3_2'] = WeightNormConv2DLayer(net['conv3_1'], 64, **exact)
    net['pool3'] = MaxPool2DLayer(net['conv3_2'], 2)
    net['fc4'] = DenseLayer(net['pool3'], fc4_units, nonlinearity=tanh)
    net['fc5'] = DenseLayer(net['fc4'], 2, nonlinearity=tanh)
    net['prob'] = DenseLayer(net['fc5'], 1, nonlinearity=sigmoid)
    return net
