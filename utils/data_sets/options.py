"""Which fixations of a data set are read: options of 01 and of 04."""


def add_fixations(parser):
    """Adds --fixation-type and --fixation-filter, both None unless they are named."""
    option = parser.add_argument
    option(
        '--fixation-type',
        choices=['fixations', 'mouse'],
        help='what to take from the gaze layout: fixations, or every mouse sample (default: fixations)',
    )
    option(
        '--fixation-filter',
        choices=['duplicates', 'none'],
        help='duplicates: keep a location recorded m times m - 1 times, as the SALICON challenge does '
        '(default: duplicates for JSON and mouse samples, none for fixations)',
    )
