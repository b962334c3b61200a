"""Predicts saliency maps: images and the generator's weights in, maps out.

The steps are the original's: decode, RGB, resize to the network's size, predict, eight bits, resize to the
image's size, blur, write.
"""

import argparse
import collections
import errno
import itertools
import os

from utils.command_line import (
    DONE,
    SKIPPED,
    CouldNotStart,
    HadToStop,
    argument_parser,
    describe,
    network_size,
    one_line,
    positive,
    progress,
    run,
    say,
)

# what --format names -> what stands after the image's name
FORMATS = {'jpg': '.jpg', 'png': '.png', 'npy': '.npy', 'overlay': '_overlay.jpg'}
CONTACT_SHEET = 'contact_sheet.jpg'
WEIGHTS = 'weights/gen_modelWeights0090.npz'
THREADS = 2  # that decode, and as many that write: the network needs the cores


def formats(text):
    """'jpg,npy' -> ['jpg', 'npy']."""
    names = text.split(',')
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f'{name!r} is none of {", ".join(FORMATS)}')
    return list(dict.fromkeys(names))


def options():
    parser = argument_parser(
        __doc__.split('\n')[0],
        epilog='Exit status: 0 all done, 1 some images were skipped, 2 could not start, 3 had to stop.',
    )
    parser.add_argument(
        'images', nargs='*', metavar='IMAGES', help='images, folders of images, pickles of 01'
    )
    parser.add_argument(
        '--images', dest='more', metavar='PATH', help='the same by a name (default: images/ if none is named)'
    )
    parser.add_argument('--output', default='saliency/', metavar='DIR', help='where the maps go')
    parser.add_argument('--weights', default=WEIGHTS, metavar='FILE', help="the generator's weights")
    parser.add_argument(
        '--format',
        type=formats,
        default='jpg',
        metavar='LIST',
        help='of jpg (as in 2017), png (the same, lossless), npy (float32 in 0..1, neither cut to 8 bits nor '
        'blurred) and overlay (a heat map over the image), separated by commas',
    )
    parser.add_argument('--batch-size', type=positive, default=1, metavar='N', help='images at a time')
    parser.add_argument(
        '--size',
        type=network_size,
        default='256x192',
        metavar='WxH',
        help="the network's input; the weights were made for 256x192",
    )
    parser.add_argument('--skip-existing', action='store_true', help='leave out images whose maps are there')
    return parser.parse_args()


def main():
    arguments = options()

    # - what to read, where to write; nothing is written before both are clear
    from utils import image_sources, weights

    paths = arguments.images + ([arguments.more] if arguments.more else [])
    sources = image_sources.find(paths or ['images/'], leave_out=arguments.output)
    targets = plan(sources, arguments)
    to_do = sources
    if arguments.skip_existing:
        to_do = [s for s in sources if not all(os.path.exists(path) for path in targets[s].values())]
        say(f'{len(sources) - len(to_do)} of {len(sources)} images have their maps already')
    arrays = weights.read_generator(arguments.weights) if to_do else None
    make_folders(targets, arguments.output)

    # - predict, while the images ahead are decoded and the maps behind are written
    skipped = predict(to_do, targets, arrays, arguments) if to_do else set()
    if 'overlay' in arguments.format:
        write_contact_sheet([targets[s]['overlay'] for s in sources if s not in skipped], arguments.output)

    say(f'{len(to_do) - len(skipped)} of {len(to_do)} images predicted, maps in {arguments.output}')
    return SKIPPED if skipped else DONE


def plan(sources, arguments):
    """The files that each image's maps go to, by format: {source: {'jpg': path}}.

    Raises CouldNotStart where two would be one file, or anything that is there would be lost.
    """
    targets = {
        source: {
            name: os.path.join(arguments.output, source.name + FORMATS[name]) for name in arguments.format
        }
        for source in sources
    }
    writers = collections.defaultdict(list)
    for source in sources:
        for path in targets[source].values():
            writers[os.path.normpath(path)].append(source.path)
    if 'overlay' in arguments.format:
        writers[os.path.normpath(os.path.join(arguments.output, CONTACT_SHEET))].append('the contact sheet')
    read = {os.path.realpath(path) for path in (arguments.weights, *(source.path for source in sources))}
    for path, of in writers.items():
        why = clash(path, of, writers, read)
        if why:
            raise CouldNotStart(one_line(why))
    return targets


def clash(path, of, writers, read):
    """Why `path`, made of the images `of`, cannot be written; None if it can."""
    if len(of) > 1:
        return f'{of[0]} and {of[1]} would both be written to {path}; rename or leave out one of them'
    for folder in _folders_of(path):
        if folder in writers:
            return (
                f'{writers[folder][0]} would be written to {folder}, which {of[0]} needs for a folder; '
                'rename one of them'
            )
    if os.path.realpath(path) in read:
        return f'{path} is read, and what is made of {of[0]} would replace it; choose another --output'
    if os.path.isdir(path):
        return f'{path} is a folder, and what is made of {of[0]} needs the name; choose another --output'
    return None


def _folders_of(path):
    while os.path.dirname(path) not in ('', path):
        path = os.path.dirname(path)
        yield path


def make_folders(targets, output):
    from utils.files import make_folder

    folders = {os.path.dirname(path) for of in targets.values() for path in of.values()}
    for folder in sorted(folders | {os.path.join(output, '')}):
        make_folder(folder)


def predict(sources, targets, arrays, arguments):
    """Predicts and writes the maps of `sources`; returns those that were skipped, each named on stderr."""
    import numpy as np

    from models.prediction import Predictor
    from utils.files import Unreadable
    from utils.images import shrink
    from utils.parallel import in_order

    width, height = arguments.size
    predictor = Predictor(arrays, width, height)

    def read(source):
        try:
            image, size = source.read()
            small = shrink(image, width, height)
        except Unreadable as error:
            return source, error
        except MemoryError:
            return source, Unreadable(f'{source.path}: not enough memory for so large an image')
        return source, (small, size, image if 'overlay' in arguments.format else None)

    def predicted(decoded):
        for batch in batches(decoded, arguments.batch_size):
            good = [image for _, image in batch if not isinstance(image, Unreadable)]
            maps = iter(predictor(np.stack([image[0] for image in good])) if good else ())
            for source, image in batch:
                if isinstance(image, Unreadable):
                    yield source, image, None
                else:
                    yield source, image, finite(next(maps), source, arguments)

    def write(job):
        source, image, saliency_map = job
        if saliency_map is None:
            return source, image
        return source, write_maps(targets[source], saliency_map, *image[1:])

    # the network runs here, between threads that decode what comes next and threads that write what is done
    decoded = in_order(read, sources, THREADS, ahead=arguments.batch_size + THREADS)
    done = in_order(write, predicted(decoded), THREADS, ahead=THREADS)
    skipped = set()
    for source, error in progress(done, total=len(sources), unit='image'):
        if error:
            skipped.add(source)
            say(one_line(f'skipped {error}'))
    return skipped


def finite(saliency_map, source, arguments):
    """The map as it is; HadToStop where it is none."""
    import numpy as np

    if not np.isfinite(saliency_map).all():
        raise HadToStop(
            one_line(f'{arguments.weights}: makes no finite map of {source.path}; take other weights')
        )
    return saliency_map


def batches(items, size):
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def write_maps(paths, saliency_map, size, image):
    """Writes one image's maps; returns None, or why one cannot be written of this image."""
    import io

    import numpy as np

    from utils import saliency_maps
    from utils.files import write_bytes
    from utils.images import write_image

    finished = saliency_maps.finish(saliency_map, *size)
    for name, path in paths.items():
        try:
            if name == 'npy':
                data = io.BytesIO()
                np.save(data, saliency_maps.at_size(saliency_map, *size))
                write_bytes(path, data.getbuffer())
            else:
                write_image(path, saliency_maps.overlay(image, finished) if name == 'overlay' else finished)
        except ValueError as error:  # no such size in this format
            return f'{path}: {error}; take another --format'
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return describe(error)
    return None


def write_contact_sheet(overlays, output):
    from utils import saliency_maps
    from utils.files import Unreadable
    from utils.images import read_rgb, write_image
    from utils.parallel import in_order

    if overlays:
        width, height = saliency_maps.sheet_cell(len(overlays))

        def cell(path):
            try:
                return saliency_maps.thumbnail(read_rgb(path), width, height)
            except Unreadable as error:  # one of an earlier run, since broken
                say(f'left out of the contact sheet: {error}')

        cells = [c for c in in_order(cell, overlays, THREADS) if c is not None]
        if cells:
            write_image(os.path.join(output, CONTACT_SHEET), saliency_maps.contact_sheet(cells))


run(main)
