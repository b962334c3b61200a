"""The layers of Lasagne 0.2.dev1 that SalGAN uses and that Lasagne 0.1 lacks or implements differently."""

from functools import partial

import numpy as np
import theano
import theano.tensor as T
from lasagne import nonlinearities
from lasagne.init import Constant, GlorotUniform
from lasagne.layers import DenseLayer, Layer
from lasagne.nonlinearities import rectify
from theano import OpFromGraph
from theano.tensor.signal.pool import pool_2d

from utils import architecture


class _Instead(theano.scalar.basic.Second):
    """(a, b) -> b, with the gradient of a."""

    def grad(self, inputs, output_gradients):
        return [output_gradients[0], theano.gradient.DisconnectedType()()]

    def connection_pattern(self, node):
        return [[True], [False]]


_instead = T.Elemwise(_Instead(theano.scalar.basic.transfer_type(1), name='instead'))


@theano.tensor.opt.register_canonicalize
@theano.gof.local_optimizer([T.Elemwise])
def _what_is_there_instead(node):
    """Once gradients are derived, a is no longer needed and not computed."""
    return [node.inputs[1]] if node.op == _instead else False


@theano.tensor.opt.register_stabilize
@theano.gof.local_optimizer([T.elemwise.Sum])
def _sum_over_maps_by_a_product(node):
    """The gradient of a bias, on a card: cuBLAS sums faster over maps than cuDNN's general reduction does."""
    (maps,) = node.inputs
    if theano.config.device == 'cpu' or node.op.axis != (0, 2, 3) or maps.ndim != 4:
        return False
    images, channels, rows, columns = maps.shape
    one = np.asarray(1, maps.dtype)
    of_maps = T.dot(maps.reshape((images * channels, rows * columns)), T.alloc(one, rows * columns))
    return [T.dot(T.alloc(one, images), of_maps.reshape((images, channels)))]


class RGBtoBGRLayer(Layer):
    """RGB images in 0..255 -> BGR minus VGG-16's mean colour."""

    def get_output_for(self, input, **kwargs):
        mean = np.array(architecture.MEAN_BGR, theano.config.floatX).reshape(1, 3, 1, 1)
        return input[:, ::-1] - mean


class Conv2DLayer(Layer):
    """Convolution with stride 1 and zero padding on every side, then bias and nonlinearity.

    Lasagne 0.1's layer of this name has no `flip_filters`, and pads outside the convolution.

    Parameters
    ----------
    incoming : layer with output (batch, channels, rows, columns)
    num_filters, filter_size, pad : int
    flip_filters : bool
        True convolves; False cross-correlates, as Caffe does and as weights from it need.
    nonlinearity : function of the activation
    exact : bool
        Sums the convolution in float64, whatever floatX; input, output and gradients stay in floatX.
    W, b : initialisers, arrays or shared variables
        Of shapes (num_filters, channels, filter_size, filter_size) and (num_filters,).
    """

    def __init__(
        self,
        incoming,
        num_filters,
        filter_size=3,
        pad=1,
        flip_filters=True,
        nonlinearity=rectify,
        exact=False,
        W=None,
        b=None,
        **kwargs,
    ):
        super().__init__(incoming, **kwargs)
        self.num_filters, self.filter_size, self.pad = num_filters, filter_size, pad
        self.flip_filters, self.nonlinearity, self.exact = flip_filters, nonlinearity, exact
        shape = (num_filters, self.input_shape[1], filter_size, filter_size)
        self.W = self.add_param(GlorotUniform() if W is None else W, shape, name='W')
        self.b = self.add_param(
            Constant(0) if b is None else b, (num_filters,), name='b', regularizable=False
        )

    def get_output_shape_for(self, input_shape):
        batch, _, rows, columns = input_shape
        grown = 2 * self.pad - self.filter_size + 1
        return batch, self.num_filters, _plus(rows, grown), _plus(columns, grown)

    def get_output_for(self, input, **kwargs):
        filters = self.filters()
        activation = self._convolved(input, filters)
        if self.exact and activation.dtype != 'float64':
            exact = self._convolved(T.cast(input, 'float64'), T.cast(filters, 'float64'))
            activation = _instead(activation, T.cast(exact, activation.dtype))
        return self.nonlinearity(activation + self.b.dimshuffle('x', 0, 'x', 'x'))

    def _convolved(self, input, filters):
        return T.nnet.conv2d(input, filters, border_mode=self.pad, filter_flip=self.flip_filters)

    def filters(self):
        """The filters that the input is convolved with."""
        return self.W


class WeightNormConv2DLayer(Conv2DLayer):
    """A convolution whose filters are `W * g / sqrt(1e-6 + sum(W^2))`, the sum over each filter.

    References
    ----------
    Salimans & Kingma 2016, as in their Lasagne code with `train_g=False`: g starts at 1 and is not trained.
    """

    def __init__(self, incoming, num_filters, **kwargs):
        super().__init__(incoming, num_filters, **kwargs)
        self.g = self.add_param(Constant(1), (num_filters,), name='g', regularizable=False, trainable=False)

    def filters(self):
        norm = T.sqrt(1e-6 + T.sum(T.square(self.W), axis=(1, 2, 3)))
        return self.W * (self.g / norm).dimshuffle(0, 'x', 'x', 'x')


class MaxPool2DLayer(Layer):
    """Maximum over blocks of `pool_size` x `pool_size`; rows and columns left over are dropped."""

    def __init__(self, incoming, pool_size, **kwargs):
        super().__init__(incoming, **kwargs)
        self.pool_size = pool_size

    def get_output_shape_for(self, input_shape):
        return input_shape[:2] + tuple(None if n is None else n // self.pool_size for n in input_shape[2:])

    def get_output_for(self, input, **kwargs):
        return pool_2d(input, ws=(self.pool_size, self.pool_size), ignore_border=True, mode='max')


class Upscale2DLayer(Layer):
    """Nearest-neighbour upscaling: each pixel becomes a block of `scale_factor` x `scale_factor`."""

    def __init__(self, incoming, scale_factor, **kwargs):
        super().__init__(incoming, **kwargs)
        self.scale_factor = scale_factor

    def get_output_shape_for(self, input_shape):
        return input_shape[:2] + tuple(None if n is None else n * self.scale_factor for n in input_shape[2:])

    def get_output_for(self, input, **kwargs):
        if theano.config.device == 'cpu':
            return _upscaled(input, self.scale_factor)
        return _with_gradient_by_a_pool(self.scale_factor)(input)


def _upscaled(input, factor):
    for axis in (2, 3):
        input = T.extra_ops.repeat(input, factor, axis)
    return input


def _with_gradient_by_a_pool(factor):
    """`_upscaled` for a card, where a pool sums over blocks faster than cuDNN's general reduction does."""
    input = T.tensor4()
    output = _upscaled(input, factor)
    gradient = partial(_sum_over_blocks, factor)
    return OpFromGraph([input], [output], inline=True, grad_overrides=gradient)


def _sum_over_blocks(factor, inputs, output_gradients):
    mean = pool_2d(output_gradients[0], ws=(factor, factor), ignore_border=True, mode='average_exc_pad')
    return [mean * np.asarray(factor**2, mean.dtype)]


def stack(net, layers, **keywords):
    """`net` with `layers` of `utils.architecture` on top of its last layer.

    Parameters
    ----------
    net : dict of Lasagne layers
    layers : sequence of `utils.architecture.Layer`
    keywords
        For every convolution, see `Conv2DLayer`.
    """
    net = dict(net)
    top = list(net.values())[-1]
    for layer in layers:
        nonlinearity = getattr(nonlinearities, layer.nonlinearity)
        if layer.kind == architecture.POOL:
            top = MaxPool2DLayer(top, layer.side)
        elif layer.kind == architecture.UPSCALE:
            top = Upscale2DLayer(top, layer.side)
        elif layer.kind == architecture.DENSE:
            top = DenseLayer(top, layer.units, nonlinearity=nonlinearity)
        else:
            kind = WeightNormConv2DLayer if layer.kind == architecture.WEIGHT_NORM else Conv2DLayer
            side = {'filter_size': layer.side, 'pad': layer.side // 2, 'flip_filters': layer.flips}
            top = kind(top, layer.units, nonlinearity=nonlinearity, **side, **keywords)
        net[layer.name] = top
    return net


def _plus(size, difference):
    return None if size is None else size + difference
