#!/usr/bin/env python3
"""Predicts saliency maps: images and the generator's weights in, maps out.

The steps are the original's: decode, convert to RGB, resize to the network's size, predict, truncate to
eight bits, resize to the image's size, blur, write.
"""

import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # python -P and -I leave it out

import utils.cluster.options as cluster
from utils import outputs
from utils.command_line import (
    DONE,
    SKIPPED,
    argument_parser,
    counted,
    network_size,
    one_line,
    positive,
    progress,
    run,
    say,
)
from utils.data_sets.options import add_orientation

WEIGHTS = 'weights/gen_modelWeights0090.npz'
THREADS = 2  # for writing: the network needs the cores


def parser():
    parser = argument_parser(
        __doc__.split('\n')[0],
        epilog='Exit status: 0 all done, 1 some images were skipped, 2 could not start, 3 had to stop.',
    )
    option = parser.add_argument
    option('images', nargs='*', metavar='IMAGES', help='images, folders of images, pickles made by 01')
    option('--images', dest='more', metavar='PATH', help='same as IMAGES (default: images/ if none is named)')
    option('--weights', default=WEIGHTS, metavar='FILE', help="the generator's weights")
    option('--batch-size', type=positive, default=1, metavar='N', help='images per batch')
    option(
        '--size',
        type=network_size,
        default='256x192',
        metavar='WxH',
        help="the network's input; the weights were made for 256x192",
    )
    option('--glob', metavar='PATTERN', help="files in folders to predict, such as '*.jpg' (default: all)")
    add_orientation(parser)
    outputs.add_outputs(parser)
    cluster.add_scheduler(parser)
    return parser


def main(arguments=None):
    options = parser().parse_args(arguments)
    cluster.check(options)
    from utils import image_sources, video, weights

    # - what to read and where to write; nothing is written before both are known
    paths = options.images + ([options.more] if options.more else [])
    sources, no_images = image_sources.find(
        paths or ['images/'], options.output, options.glob, options.ignore_orientation, films=True
    )
    for why in no_images:
        say(one_line(f'skipped {why}'))
    outputs.complete(options, sources)
    targets = outputs.plan(
        sources, options.output, options.format, options.film_format, also_read=[options.weights]
    )
    keys = outputs.archive_keys(sources, options)
    to_do = sources
    if options.skip_existing:
        to_do = [s for s in sources if not video.are_there(s, targets[s], options.every)]
        found = counted(len(sources) + len(no_images), 'image')
        say(f'maps exist of {len(sources) - len(to_do)} of {found}')
    arrays = weights.read_generator(options.weights) if to_do else None
    outputs.make_folders(targets, options.output)
    record = outputs.keep_record(options, len(sources) - len(to_do), code_path(options) if to_do else None)

    # - predict, here or on workers
    skipped = predict(to_do, targets, arrays, record, options) if to_do else set()
    if 'overlay' in options.format:
        overlays = [targets[s]['overlay'] for s in sources if s.read and s not in skipped]
        outputs.write_contact_sheet(overlays, options.output, THREADS)
    if keys:
        outputs.write_archive(options, keys, targets, skipped, record)

    wanted = counted(len(to_do) + len(no_images), 'image')
    say(f'{len(to_do) - len(skipped)} of {wanted} predicted, maps in {options.output}')
    return SKIPPED if skipped or no_images else DONE


def code_path(options):
    """Which code computes the maps, in words."""
    if cluster.is_asked_for(options):
        return 'workers of a scheduler'
    from backend.native import code_path

    return code_path()


def predict(sources, targets, arrays, record, options):
    """Predicts and writes the maps of `sources`; returns those that were skipped, each named on stderr."""
    images, films = ([s for s in sources if (s.read is None) == film] for film in (False, True))
    if cluster.is_asked_for(options):
        from utils.cluster.predicting import predict

        results = [predict(images, targets, options)]
    else:
        from models.prediction import Predictor
        from utils import predicting, video

        predictor = Predictor(arrays, *options.size)
        how = (predictor, options.weights, options.batch_size)
        results = [
            predicting.write_all(images, targets, *how),
            video.write_all(films, targets, *how, options.every, record),
        ]
    skipped = set()
    for of, done in zip((images, films), results):
        with contextlib.closing(done):
            for source, why in progress(done, total=len(of), unit='image' if of is images else 'film'):
                if why:
                    skipped.add(source)
                    say(one_line(f'skipped {why}'))
    return skipped


if __name__ == '__main__':
    run(main)
