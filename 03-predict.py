#!/usr/bin/env python3
"""Predicts saliency maps: images and the generator's weights in, maps out.

The steps are the original's: decode, RGB, resize to the network's size, predict, eight bits, resize to the
image's size, blur, write.
"""

import os

from utils import outputs
from utils.command_line import (
    DONE,
    SKIPPED,
    argument_parser,
    network_size,
    one_line,
    positive,
    progress,
    run,
    say,
)
from utils.data_sets.options import add_orientation

WEIGHTS = 'weights/gen_modelWeights0090.npz'
THREADS = 2  # that write: the network needs the cores


def parser():
    parser = argument_parser(
        __doc__.split('\n')[0],
        epilog='Exit status: 0 all done, 1 some images were skipped, 2 could not start, 3 had to stop.',
    )
    option = parser.add_argument
    option('images', nargs='*', metavar='IMAGES', help='images, folders of images, pickles of 01')
    option(
        '--images', dest='more', metavar='PATH', help='the same by a name (default: images/ if none is named)'
    )
    option('--output', default='saliency/', metavar='DIR', help='where the maps go')
    option('--weights', default=WEIGHTS, metavar='FILE', help="the generator's weights")
    option(
        '--format',
        type=outputs.formats,
        default='jpg',
        metavar='LIST',
        help='of jpg (as in 2017), png (the same, lossless), npy (float32 in 0..1, neither cut to 8 bits nor '
        'blurred) and overlay (a heat map over the image), separated by commas',
    )
    option('--batch-size', type=positive, default=1, metavar='N', help='images at a time')
    option(
        '--size',
        type=network_size,
        default='256x192',
        metavar='WxH',
        help="the network's input; the weights were made for 256x192",
    )
    option('--glob', metavar='PATTERN', help="files of folders to predict, such as '*.jpg' (default: all)")
    add_orientation(parser)
    option('--skip-existing', action='store_true', help='leave out images whose maps are there')
    return parser


def main(arguments=None):
    options = parser().parse_args(arguments)
    from utils import image_sources, weights

    # - what to read, where to write; nothing is written before both are clear
    paths = options.images + ([options.more] if options.more else [])
    sources, no_images = image_sources.find(
        paths or ['images/'], options.output, options.glob, options.ignore_orientation
    )
    for why in no_images:
        say(one_line(f'skipped {why}'))
    targets = outputs.plan(sources, options.output, options.format, also_read=[options.weights])
    to_do = sources
    if options.skip_existing:
        to_do = [s for s in sources if not all(os.path.exists(path) for path in targets[s].values())]
        say(f'{len(sources) - len(to_do)} of {len(sources)} images have their maps already')
    arrays = weights.read_generator(options.weights) if to_do else None
    outputs.make_folders(targets, options.output)

    # - predict, while the images ahead are decoded and the maps behind are written
    skipped = predict(to_do, targets, arrays, options) if to_do else set()
    if 'overlay' in options.format:
        overlays = [targets[source]['overlay'] for source in sources if source not in skipped]
        outputs.write_contact_sheet(overlays, options.output, THREADS)

    say(f'{len(to_do) - len(skipped)} of {len(to_do)} images predicted, maps in {options.output}')
    return SKIPPED if skipped or no_images else DONE


def predict(sources, targets, arrays, options):
    """Predicts and writes the maps of `sources`; returns those that were skipped, each named on stderr."""
    from models.prediction import Predictor
    from utils.parallel import in_order
    from utils.predicting import predictions

    predictor = Predictor(arrays, *options.size)
    skipped = set()

    def skip(source, why):
        skipped.add(source)
        say(one_line(f'skipped {why}'))
        bar.update()

    def write(predicted):
        source, decoded, saliency_map = predicted
        return source, outputs.write_maps(targets[source], saliency_map, decoded.size, decoded.original)

    # the network runs here, between threads that decode what comes next and threads that write what is done
    with progress(total=len(sources), unit='image') as bar:
        predicted = predictions(
            sources, predictor, options.weights, options.batch_size, skip, 'overlay' in options.format
        )
        for source, why in in_order(write, predicted, THREADS, ahead=THREADS):
            if why:
                skip(source, why)
            else:
                bar.update()
    return skipped


if __name__ == '__main__':
    run(main)
