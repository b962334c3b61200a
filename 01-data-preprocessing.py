#!/usr/bin/env python3
"""Makes samples of SALICON, in whichever of its layouts: PNGs at the network's size, and three pickles."""

import os

from utils.command_line import (
    DONE,
    SKIPPED,
    CouldNotStart,
    argument_parser,
    positive,
    progress,
    run,
    say,
    size,
)

PICKLES = {'train': 'trainData.pickle', 'val': 'validationData.pickle', 'test': 'testData.pickle'}


def parser():
    arguments = argument_parser(
        __doc__,
        'The layouts: 2015 .mat, 2015 JSON, and the gaze .mat of both editions, as salicon.net has them now.',
    )
    option = arguments.add_argument
    option(
        '--salicon',
        metavar='DIR',
        help='folder with images, maps or saliency, fixations or fixation, or fixations_*.json in it '
        '(default: the three folders one by one)',
    )
    option('--images', metavar='DIR', help='folder of images (default: images in --salicon)')
    option(
        '--maps',
        metavar='DIR',
        help='folder of saliency maps (default: maps or saliency in --salicon; made from the fixations where '
        'these are JSON and there is no such folder)',
    )
    option(
        '--fixations',
        metavar='PATH',
        help='folder of fixations, or a JSON file (default: fixations, fixation or fixations_*.json '
        'in --salicon)',
    )
    option('--output', metavar='DIR', default='data', help='folder for images/, maps/ and the pickles')
    option('--size', type=size, default='256x192', help="the network's input, width x height")
    option(
        '--fixation-type',
        choices=['fixations', 'mouse'],
        default='fixations',
        help='what to take from the gaze layout: fixations, or every mouse sample',
    )
    option(
        '--fixation-filter',
        choices=['duplicates', 'none'],
        help='duplicates: keep a location recorded m times m - 1 times, as the SALICON challenge does '
        '(default: duplicates for JSON and mouse samples, none for fixations)',
    )
    option(
        '--stream',
        action='store_true',
        help='write pickles that are read sample by sample: for sets larger than memory',
    )
    option('--workers', type=positive, metavar='N', help='threads (default: one a processor)')
    return arguments


def main():
    options = parser().parse_args()
    if not (options.salicon or (options.images and options.fixations)):
        raise CouldNotStart(
            'say where SALICON is: --salicon DIR, or --images DIR, --maps DIR, --fixations PATH'
        )
    import contextlib
    from functools import partial

    from utils.data_sets import salicon
    from utils.data_sets.census import Census
    from utils.data_sets.preprocessing import prepare
    from utils.files import make_folder
    from utils.images import ready_for_threads
    from utils.parallel import in_order
    from utils.samples import writer

    # - find the data set, and make the folders
    data_set = salicon.find(
        options.salicon,
        options.images,
        options.maps,
        options.fixations,
        options.fixation_type,
        options.fixation_filter,
    )
    check_folders(data_set, options.output)
    say(data_set.describe())
    for folder in sorted({os.path.dirname(record.stem) for record in data_set.records}):
        for kind in ('images', 'maps'):
            make_folder(os.path.normpath(os.path.join(options.output, kind, folder)))
    make_folder(options.output)

    # - make the samples; the pickles grow with them and are there when all are done
    ready_for_threads()
    workers = options.workers or os.cpu_count()
    work = partial(prepare, data_set=data_set, output=options.output, size=options.size)
    census = Census(data_set)
    with contextlib.ExitStack() as stack:
        add = {
            split: stack.enter_context(writer(os.path.join(options.output, name), options.stream))
            for split, name in PICKLES.items()
        }
        for prepared in progress(
            in_order(work, data_set.records, workers), total=len(data_set.records), unit='image'
        ):
            census.add(prepared)
            for split, sample in prepared.samples.items():
                add[split](sample)

    # - say what there is, and what was left out
    for line in census.lines():
        say(line)
    return SKIPPED if census.left_out else DONE


def check_folders(data_set, output):
    """Raises CouldNotStart where a folder is missing, or would be written over."""
    from utils.data_sets.salicon import FIXATION_MAPS, JSON

    if not data_set.folders['images']:
        raise CouldNotStart('no folder of images: name it with --images DIR')
    if not data_set.folders['maps'] and data_set.layout != JSON:
        raise CouldNotStart('no folder of saliency maps: name it with --maps DIR (only JSON goes without)')
    if not any(record.image for record in data_set.records):
        raise CouldNotStart(f'{data_set.folders["images"]}: no images in it')
    for kind, folder in data_set.folders.items():
        folder = os.path.realpath(folder) if folder else None
        if kind == 'fixations' and data_set.layout != FIXATION_MAPS:
            continue  # no PNG is taken for fixations there
        for written in ('images', 'maps'):
            target = os.path.realpath(os.path.join(output, written))
            if folder and os.path.commonpath([target, folder]) == folder:
                raise CouldNotStart(f'{target}: lies in the folder of {kind}; choose another --output')


if __name__ == '__main__':
    run(main)
