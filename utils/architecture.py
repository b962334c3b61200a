"""The architecture, stated once: the networks in `models/` and the layout of weights files follow from it.

Nothing here needs Theano, or anything else that is slow to import.
"""

from typing import NamedTuple

# mean of ImageNet's training images, which VGG-16's authors subtracted: blue, green, red
MEAN_BGR = (103.939, 116.779, 123.68)

CONVOLUTION, WEIGHT_NORM, POOL, UPSCALE, DENSE = (
    'convolution', 'weight-normalised convolution', 'pool', 'upscale', 'dense'
)  # fmt: skip
# parameters of a layer of each kind, in the order of a weights file
PARAMETERS = {CONVOLUTION: 'Wb', WEIGHT_NORM: 'Wbg', POOL: '', UPSCALE: '', DENSE: 'Wb'}


class Layer(NamedTuple):
    """A layer on top of the previous one. Convolutions have stride 1 and keep the size of their input."""

    name: str
    kind: str
    units: int = 0  # filters, or units of a dense layer
    side: int = 0  # of the filters, of the pooled blocks, or of the block that a pixel becomes
    nonlinearity: str = 'rectify'
    flips: bool = True  # convolves; False: cross-correlates, as Caffe does and as weights from it need


# --- the generator: Pan et al. 2017, section 3.1 ---

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # VGG-16's: filters, convolutions


def _encoder():
    for block, (filters, convolutions) in enumerate(_BLOCKS, 1):
        for n in range(1, convolutions + 1):
            yield Layer(f'conv{block}_{n}', CONVOLUTION, filters, 3, flips=False)
        if block < len(_BLOCKS):
            yield Layer(f'pool{block}', POOL, side=2)


def _mirrored(layer):
    kind = UPSCALE if layer.kind == POOL else layer.kind
    return layer._replace(name='u' + layer.name, kind=kind, flips=True)


ENCODER = tuple(_encoder())
DECODER = (*map(_mirrored, reversed(ENCODER)), Layer('output', CONVOLUTION, 1, 1, 'sigmoid'))
GENERATOR = ENCODER + DECODER
FROZEN = ('conv1', 'conv2', 'conv3')  # the blocks that keep ImageNet's weights

# --- the discriminator: Table 1 ---

FC4_UNITS = 100  # 60 in the released weights
# note: deviation 3: the paper's table pools 2 x 2 in pool1 and pads the 1 x 1; the code does neither
DISCRIMINATOR = (
    Layer('merge', CONVOLUTION, 3, 1, flips=False),
    Layer('conv1', CONVOLUTION, 32, 3),
    Layer('pool1', POOL, side=4),
    Layer('conv2_1', CONVOLUTION, 64, 3),
    Layer('conv2_2', CONVOLUTION, 64, 3),
    Layer('pool2', POOL, side=2),
    Layer('conv3_1', WEIGHT_NORM, 64, 3),
    Layer('conv3_2', WEIGHT_NORM, 64, 3),
    Layer('pool3', POOL, side=2),
    Layer('fc4', DENSE, FC4_UNITS, nonlinearity='tanh'),
    Layer('fc5', DENSE, 2, nonlinearity='tanh'),
    Layer('prob', DENSE, 1, nonlinearity='sigmoid'),
)


# --- the arrays of a weights file: lists of (layer, parameter, shape) in the file's order ---


def generator_layout():
    """The 54 arrays of a generator."""
    return _layout(GENERATOR, 3)


def encoder_layout():
    """The 26 arrays with which a generator, and VGG-16, begins."""
    return _layout(ENCODER, 3)


def discriminator_layout(width=256, height=192, fc4_units=FC4_UNITS):
    """The 20 arrays of a discriminator.

    Parameters
    ----------
    width, height : int
        Size of its input; the pools leave a sixteenth of each.
    fc4_units : int or None
        None means any number.
    """
    return _layout(discriminator_layers(fc4_units), 4, width, height)


def discriminator_layers(fc4_units):
    """`DISCRIMINATOR` with that many units in fc4."""
    return tuple(layer._replace(units=fc4_units) if layer.name == 'fc4' else layer for layer in DISCRIMINATOR)


def fc4_units_of(arrays):
    """How many units fc4 has in the 20 arrays of a discriminator."""
    names = [(layer, parameter) for layer, parameter, _ in discriminator_layout()]
    return len(arrays[names.index(('fc4', 'b'))])


def _layout(layers, channels, width=0, height=0):
    layout: list = []
    for layer in layers:
        if layer.kind == POOL:
            width, height = width // layer.side, height // layer.side
        if not PARAMETERS[layer.kind]:
            continue
        if layer.kind == DENSE:
            W: tuple = (channels * width * height if width else channels, layer.units)
            width = height = 0  # flat from here
        else:
            W = (layer.units, channels, layer.side, layer.side)
        layout += [(layer.name, p, W if p == 'W' else (layer.units,)) for p in PARAMETERS[layer.kind]]
        channels = layer.units
    return layout
