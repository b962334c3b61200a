"""Options of 01, 03 and 04: which images and fixations of a data set are read."""

import argparse

from utils.command_line import whole


def add_fixations(parser):
    """Adds --fixation-type, --fixation-filter and --first-fixations; the first two default to None."""
    option = parser.add_argument
    option(
        '--fixation-type',
        choices=['fixations', 'mouse'],
        help='what to read from the gaze layout: fixations, or every mouse sample (default: fixations)',
    )
    option(
        '--fixation-filter',
        choices=['duplicates', 'none'],
        help='duplicates: keep m - 1 of the m times a location is recorded, as the SALICON challenge does '
        "(default: duplicates for SALICON's JSON and mouse samples, none otherwise)",
    )
    option(
        '--first-fixations',
        choices=['drop', 'keep'],
        default='drop',
        help='the first fixation of each COCO-Freeview scanpath, which is forced to the centre',
    )


def add_orientation(parser):
    """Adds --ignore-orientation."""
    parser.add_argument(
        '--ignore-orientation',
        action='store_true',
        help='read images as they are stored, ignoring EXIF orientation (default: only for CAT2000)',
    )


def add_splits(parser):
    """Adds the options that divide images between training and validation."""
    option = parser.add_argument
    option(
        '--validation-share',
        type=share,
        metavar='X',
        help='share of the images, 0 to 1, drawn for validation; the others train (default: as names and '
        'folders say)',
    )
    option(
        '--split',
        metavar='FILE',
        help='CSV with the columns image and split (train, val or test), such as the split.csv that '
        '--validation-share writes (default: as names and folders say)',
    )
    option('--seed', type=whole, metavar='N', default=0, help='of --validation-share')


def share(text):
    """A number between 0 and 1, both excluded."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number between 0 and 1')
    return number
