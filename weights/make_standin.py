"""Writes a stand-in for the generator's weights: not SalGAN's weights, for trying the pipeline.

Nothing in it is learned: every array is derived below, from a few constants chosen by hand. The resulting
network computes a classical saliency map: the contrast of luminance and colour between a place and its
surround, compared with the contrast around it, and a centre bias. From the image to the map:

1. conv1_1 to conv4_3 hold the image as three opponent pairs of channels: light and dark, red and green, blue
   and yellow. A pair adds up to 1, so that ReLU and max pooling treat both signs of its difference alike:
   after a pool, half of max p - max q is midway between the largest and the smallest of the pooled p - q.
   At 1/2, 1/4 and 1/8 of the image's size the difference between every pair and its surround is added to
   one channel, `contrast`, which is smoothed and pooled on the way down.
2. conv5_1 to uconv5_1, with 16 x 12 places for an image of 256 x 192, take the logarithm of the contrast and
   subtract its mean over a wide surround: a place is judged by its ratio to its surround, so that dull and
   colourful images give maps of about the same range. Since the final sigmoid is an exponential where it is
   small, sums here become products in the map. The centre bias is such a sum: the logarithm of a Gaussian.
   Convolutions pad with zeros, which reveals the borders: a channel that is 1 everywhere lacks a neighbour
   there, the next layer finds the places beside those, and so on inwards.
3. uconv4_3 to output smooth the map as it is upscaled, and apply the sigmoid.

All kernels are symmetric, so it does not matter that the decoder flips them and the encoder does not.

References
----------
Itti, Koch & Niebur 1998, A model of saliency-based visual attention for rapid scene analysis.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from utils.architecture import MEAN_BGR  # noqa: E402
from utils.command_line import argument_parser, run, say  # noqa: E402
from utils.errors import CouldNotStart  # noqa: E402

WHAT = "a stand-in: not SalGAN's weights, for trying the pipeline"

# The difference of each pair: factors of red, green and blue in 0..255, and a constant, giving -1..1.
PAIRS = {
    ('light', 'dark'): ((2 / 765, 2 / 765, 2 / 765), -1),
    ('red', 'green'): ((1 / 255, -1 / 255, 0), 0),
    ('blue', 'yellow'): ((-1 / 510, -1 / 510, 1 / 255), 0),
}
MEAN_COLOUR = MEAN_BGR[::-1]  # red, green, blue: the network subtracts it first

# Chosen by looking at the maps of ten photographs and their scores, after trying a few values of each. The
# contrast in colour is about a fifth of that in luminance: the weights make all pairs count alike.
PAIR_WEIGHTS = {'light': 1, 'dark': 1, 'red': 5, 'green': 5, 'blue': 5, 'yellow': 5}
NOISE = 0.05  # negligible contrast; the logarithm is log2(1 + contrast / NOISE)
SURROUND = 0.8  # the share of the surround's logarithm that is subtracted
USUAL = 2  # a typical logarithm, assumed outside the image
GAIN = 3  # of the map's logit, for twice the contrast
CENTRE = 0.25  # standard deviation of the centre bias, in widths and heights of the image
LEVEL = -0.8  # logit in the centre of the image, for a typical contrast there and in the surround
FLOOR = -5  # smallest logit, also assumed outside the image

OCTAVES = 7  # upper end of the logarithm: contrast in photographs seldom reaches 2 ** 5 * NOISE
GRID = 16, 12  # places in the coarsest layers, for 256 x 192

ONE = ((1,),)
DOT = ((0, 0, 0), (0, 1, 0), (0, 0, 0))
BOX = ((1 / 9, 1 / 9, 1 / 9),) * 3
BLUR = ((1 / 16, 1 / 8, 1 / 16), (1 / 8, 1 / 4, 1 / 8), (1 / 16, 1 / 8, 1 / 16))
ACROSS = ((0, 0, 0), (1, 1, 1), (0, 0, 0))
DOWN = ((0, 1, 0),) * 3


def network():
    """The 27 layers in the order of their arrays: dicts, name: channel. Channels without a name are 0."""
    layers = [opponents()]
    layers.append(carried(layers[-1]))
    for convolutions in (2, 3, 3):
        layers.append(restored(layers[-1]))
        layers.append(contrasts(layers[-1]))
        if convolutions == 3:
            layers.append(carried(layers[-1]))
    layers += [pieces(), logarithm(), surround(3), surround(4), surround(5), judged()]
    layers += [{'map': channel([(1, BLUR, 'map')])}] * 10
    return [*layers, {'map': channel([(1, ONE, 'map')], FLOOR)}]


def channel(terms, bias=0):
    """A term (factor, kernel, name) convolves a channel of the previous layer with `factor * kernel`."""
    return terms, bias


def opponents():
    """conv1_1: p = (1 + difference) / 2, q = (1 - difference) / 2 for every pair, and 1 everywhere."""
    layer = {'one': channel([], 1), 'contrast': channel([])}
    for pair, (factors, constant) in PAIRS.items():
        of_mean = constant + sum(factor * mean for factor, mean in zip(factors, MEAN_COLOUR))
        for name, half in zip(pair, (0.5, -0.5)):
            terms = zip([half * factor for factor in factors], [DOT] * 3, ('red', 'green', 'blue'))
            layer[name] = channel(list(terms), 0.5 + half * of_mean)
    return layer


def carried(before):
    """The pairs unchanged; all contrast of the previous layer, smoothed and summed."""
    layer = {'one': channel([], 1), 'contrast': channel(gathered(before))}
    for pair in PAIRS:
        for name in pair:
            layer[name] = channel([(1, DOT, name)])
    return layer


def gathered(before):
    terms = [(1, BLUR, 'contrast')]
    return terms + [(w, BLUR, 'more ' + name) for name, w in PAIR_WEIGHTS.items() if 'more ' + name in before]


def restored(before):
    """After a pool: makes the pairs add up to 1 again; '~' are their means over 3 x 3 places.

    '~one' is less than 1 at the borders, by the share of the outside zeros in the other means.
    """
    layer = {'one': channel([], 1), '~one': channel([(1, BOX, 'one')]), 'contrast': channel(gathered(before))}
    for pair in PAIRS:
        for p, q in (pair, pair[::-1]):
            layer[p] = channel([(0.5, DOT, p), (-0.5, DOT, q)], 0.5)
            layer['~' + p] = channel([(0.5, BOX, p), (-0.5, BOX, q)], 0.5)
    return layer


def contrasts(before):
    """The pairs' differences minus those of the surround, 5 x 5 places: 'more p' where p dominates.

    Zeros outside the image are not contrast. They change a difference by their share in it times at most 1,
    which is subtracted at the borders.
    """
    layer = carried(before)
    border = [(-1, BLUR, 'one'), (1, BOX, '~one')]
    for pair in PAIRS:
        for p, q in (pair, pair[::-1]):
            place = [(1, BLUR, p), (-1, BLUR, q)]
            around = [(-1, BOX, '~' + p), (1, BOX, '~' + q)]
            layer['more ' + p] = channel(place + around + border)
    return layer


def pieces():
    """conv5_1: the contrast above each whole value of the logarithm, log2(1 + contrast / NOISE)."""
    layer = inwards(1, 'one', 'one')
    for octave in range(OCTAVES + 1):
        layer[f'above {octave}'] = channel([(1, BLUR, 'contrast')], -NOISE * (2**octave - 1))
    return layer


def logarithm():
    """conv5_2: linear interpolation between the whole values: each piece adds the change of slope there."""
    slopes = [0] + [1 / (NOISE * 2**octave) for octave in range(OCTAVES)] + [0]
    changes = [(new - old, f'above {octave}') for octave, (old, new) in enumerate(zip(slopes, slopes[1:]))]
    here = [(change, DOT, piece) for change, piece in changes]
    around = [(change, BOX, piece) for change, piece in changes]
    return {'octaves': channel(here), 'around': channel(around + outside()), **inwards(2)}


def surround(step):
    """conv5_3 to uconv5_2: the surround grows by one place on every side."""
    around = [(1, BOX, 'around')] + outside()
    return {'octaves': channel([(1, DOT, 'octaves')]), 'around': channel(around), **inwards(step)}


def outside():
    """Turns the outside zeros into USUAL in a mean over 3 x 3 places."""
    return [(USUAL, DOT, 'one'), (-USUAL, BOX, 'one')]


def inwards(step, columns='columns', rows='rows'):
    """1 in the columns (rows) with at least `step` more on both sides, and the centre bias so far."""
    return {
        'one': channel([], 1),
        'columns': channel([(1, ACROSS, columns)], -2),
        'rows': channel([(1, DOWN, rows)], -2),
        'centre': channel(centre(step - 1) if step > 1 else []),
    }


def centre(step):
    """The centre bias so far, plus its increase at the `step`-th place from the border."""
    return [(1, DOT, 'centre'), (rise(step, GRID[0]), DOT, 'columns'), (rise(step, GRID[1]), DOT, 'rows')]


def rise(step, places):
    """By how much the Gaussian's logarithm exceeds that one place further out."""
    outer, inner = (((place + 0.5) / places - 0.5) / CENTRE for place in (step - 1, step))
    return (outer**2 - inner**2) / 2


def judged():
    """uconv5_1: the logit above the floor; by now the surround has 11 x 11 places."""
    highest = sum(rise(step, places) for places in GRID for step in range(1, 6))
    level = LEVEL - FLOOR - highest - GAIN * (1 - SURROUND) * USUAL
    around = [(1, BOX, 'around')] + outside()
    ratio = [(1, DOT, 'octaves')] + [(-SURROUND * factor, kernel, name) for factor, kernel, name in around]
    logit = [(GAIN * factor, kernel, name) for factor, kernel, name in ratio] + centre(5)
    return {'map': channel(logit, level)}


def arrays():
    """The 54 arrays of a generator in the released layout, W and b of each layer, float32."""
    import numpy as np

    from utils.architecture import generator_layout

    values, inputs = [], ['blue', 'green', 'red']
    for layer, (_, _, shape) in zip(network(), generator_layout()[::2]):
        W, b = np.zeros(shape), np.zeros(shape[0])
        for i, (terms, bias) in enumerate(layer.values()):
            b[i] = bias
            for factor, kernel, name in terms:
                W[i, inputs.index(name)] += factor * np.array(kernel)
        values += [W.astype('float32'), b.astype('float32')]
        inputs = list(layer)
    return values


def main():
    parser = argument_parser(f'Writes {WHAT}. A full-size generator that is derived, not learned.')
    parser.add_argument(
        '--output', default='weights/standin_modelWeights.npz', metavar='FILE', help='the .npz to write'
    )
    path = parser.parse_args().output
    if os.path.isdir(path):
        raise CouldNotStart(f'{path}: a folder; name the .npz to write in it, such as standin.npz')
    if 'standin' not in os.path.basename(path):
        raise CouldNotStart(f'{path}: call it standin.., so that nobody takes it for weights of SalGAN')

    from utils.files import make_folder
    from utils.weights import save

    make_folder(os.path.dirname(path) or '.')
    save(path, arrays())
    say(f'{path}: {WHAT}')


if __name__ == '__main__':
    run(main)
