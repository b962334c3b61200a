"""SalGAN's discriminator: the probability that a saliency map is real, given its image."""

from lasagne.layers import InputLayer

from models.layers import stack
from utils.architecture import FC4_UNITS, discriminator_layers


def build(input_height, input_width, concat_var, fc4_units=FC4_UNITS):
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
    # note: deviation 4: the original sums in float32. With float32 sums, whether some activations fall above
    # or below 0 depends on the BLAS kernel, which moves the second update's costs a hundred times further
    # from the original's than two of its own kernels differ. Float64 in the forward pass, half a percent of
    # an update's operations, is enough: gradients are summed in float32.
    net = {'input': InputLayer((None, 4, input_height, input_width), concat_var)}
    return stack(net, discriminator_layers(fc4_units), exact=True)
