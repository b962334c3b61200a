"""Writes random weights from which the whole generator can be trained without VGG-16's.

The original's initialisation, GlorotUniform with gain 1, shrinks a signal to about 0.7 of its size in each
ReLU layer; this works for a decoder behind VGG-16's encoder, but after all 27 layers nothing is left. Here
every layer is a linear map with its mirror image: for a signal s the channels hold ReLU(s) and ReLU(-s), and
the next layer takes their difference. With orthogonal maps, only in the centre of the filters, the network
starts as a linear one that neither shrinks nor smooths, except where it pools, and all gradients have about
the same size.

References
----------
Balduzzi et al. 2017, The shattered gradients problem (looks-linear initialisation).
Xiao et al. 2018, Dynamical isometry and a mean field theory of CNNs (delta-orthogonal initialisation).
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from utils.command_line import argument_parser, run, say, whole  # noqa: E402

BRIGHTNESS = 40  # divides colours minus their mean: about their spread in photographs
OUTPUT_SPREAD = 0.02  # standard deviation of the output's W: the first maps are nearly flat
OUTPUT_LOGIT = -3  # and about as bright as SALICON's saliency maps, 1 / (1 + e^3)


def arrays(seed):
    """The 54 arrays of a generator in the released layout, float32."""
    import numpy as np

    from utils.architecture import generator_layout

    random, values = np.random.RandomState(np.random.SeedSequence(seed).generate_state(8)), []
    for layer, _, (filters, channels, *size) in generator_layout()[::2]:
        W, b = np.zeros((filters, channels, *size)), np.zeros(filters)
        if layer == 'conv1_1':
            half = random.randn(filters // 2, channels, *size) / np.sqrt(channels * 9) / BRIGHTNESS
            W[:] = np.concatenate([half, -half])
        elif layer == 'output':
            W[:], b[:] = random.randn(*W.shape) * OUTPUT_SPREAD, OUTPUT_LOGIT
        else:
            more, fewer = max(filters, channels), min(filters, channels)
            half = np.linalg.qr(random.randn(more // 2, fewer // 2))[0]  # orthonormal columns
            if filters < channels:  # keeps the mean square of the signal
                half = half.T * np.sqrt(channels / filters)
            W[:, :, 1, 1] = np.block([[half, -half], [-half, half]])
        values += [W.astype('float32'), b.astype('float32')]
    return values


def main():
    parser = argument_parser('Writes random weights that the whole generator can be trained from.')
    option = parser.add_argument
    option('--output', default='weights/random_modelWeights.npz', metavar='FILE', help='the .npz to write')
    option('--seed', type=whole, default=0, metavar='N', help='each seed gives other weights')
    options = parser.parse_args()

    from utils.files import make_folder
    from utils.weights import save

    make_folder(os.path.dirname(options.output) or '.')
    save(options.output, arrays(options.seed))
    say(f'{options.output}: random weights, nothing learned')


if __name__ == '__main__':
    run(main)
