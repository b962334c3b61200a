#!/usr/bin/env python3
"""Makes samples from SALICON or another data set: PNGs at the network's size, and three pickles."""

import contextlib
import os
import sys
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # python -P and -I leave it out

import utils.cluster.options as cluster
from utils.command_line import DONE, SKIPPED, argument_parser, positive, progress, run, say, size
from utils.data_sets.options import add_fixations, add_orientation, add_splits
from utils.errors import CouldNotStart

PICKLES = {'train': 'trainData.pickle', 'val': 'validationData.pickle', 'test': 'testData.pickle'}


def parser():
    parser = argument_parser(
        __doc__,
        'The layouts: 2015 .mat, 2015 JSON, and the gaze .mat of both editions, as salicon.net has them now; '
        'and the data sets that `04-evaluate.py --list-data-sets` names.',
    )
    option = parser.add_argument
    option(
        '--salicon',
        '--data-set',
        metavar='DIR',
        help='a data set as it is handed out, or a folder with images, maps or saliency, fixations or '
        'fixation, or fixations_*.json in it (default: the three folders one by one)',
    )
    option('--images', metavar='DIR', help='folder of images (default: images in --salicon)')
    option(
        '--maps',
        metavar='DIR',
        help='folder of saliency maps (default: maps or saliency in --salicon; made from the fixations if '
        'they are JSON and there is no such folder)',
    )
    option(
        '--fixations',
        metavar='PATH',
        help='folder of fixations, or a JSON file (default: fixations, fixation or fixations_*.json '
        'in --salicon)',
    )
    option('--output', metavar='DIR', default='data', help='folder for images/, maps/ and the pickles')
    option('--size', type=size, default='256x192', help="the network's input, width x height")
    add_fixations(parser)
    option(
        '--without-fixations',
        action='store_true',
        help='make samples of images and maps only, which are enough for training',
    )
    add_orientation(parser)
    add_splits(parser)
    option(
        '--stream',
        action='store_true',
        help='write pickles that can be read sample by sample, for sets larger than memory',
    )
    option('--workers', type=positive, metavar='N', help='threads (default: one per processor)')
    cluster.add_scheduler(parser)
    return parser


def main(arguments=None):
    options = parser().parse_args(arguments)
    cluster.check(options)
    parts = options.images and (options.fixations or options.without_fixations)
    if not (options.salicon or parts):
        raise CouldNotStart(
            'say where the data set is: --salicon DIR, or --images DIR, --maps DIR, --fixations PATH '
            '(or --without-fixations)'
        )
    from utils.data_sets import splits
    from utils.data_sets.census import Census
    from utils.data_sets.finding import find
    from utils.data_sets.preprocessing import check_output, prepare
    from utils.files import make_folder
    from utils.images import ready_for_threads
    from utils.parallel import in_order
    from utils.samples import writer

    # - find the data set, and make the folders
    data_set = find(
        options.salicon,
        options.images,
        options.maps,
        options.fixations,
        options.fixation_type or 'fixations',
        options.fixation_filter,
        options.first_fixations == 'keep',
        options.ignore_orientation,
        options.without_fixations,
    )
    check_output(data_set, options.output)
    splits.assign(data_set, options.validation_share, options.split, options.seed)
    for line in (data_set.describe(), *data_set.notes):
        say(line)
    for folder in sorted({os.path.dirname(record.stem) for record in data_set.records}):
        for kind in ('images', 'maps'):
            make_folder(os.path.normpath(os.path.join(options.output, kind, folder)))
    make_folder(options.output)
    if options.validation_share:
        splits.write(data_set, options.output)

    # - make the samples; the pickles grow with them and are moved into place when all are done
    if cluster.is_asked_for(options):
        from utils.cluster.preparing import make_pngs

        make_pngs(data_set, options)
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

    # - report what was made and what was left out
    for line in census.lines():
        say(line)
    return SKIPPED if census.left_out else DONE


if __name__ == '__main__':
    run(main)
