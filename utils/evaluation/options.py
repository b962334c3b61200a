"""The options of 04, by subject. Imports nothing slow, so that `--help` answers at once."""

from utils.command_line import network_size, positive, positive_number, whole
from utils.errors import CouldNotStart
from utils.evaluation.published import TABLES


def add_scores(parser):
    """Adds the options that affect the numbers, apart from the maps and the ground truth."""
    option = parser.add_argument
    option(
        '--protocol',
        choices=['mit', 'salicon', 'tuebingen'],
        default='mit',
        help='definitions of the metrics',
    )
    option('--metrics', metavar='A,B', help='which metrics (default: all of the protocol)')
    option(
        '--baseline',
        metavar='FILE',
        default='gaussian',
        help='baseline of IG: a map, or gaussian, centred, with sigma a quarter of each side',
    )
    option(
        '--others',
        type=whole,
        metavar='N',
        default=10,
        help="random other images whose fixations are sAUC's negatives, 0 for all; for protocol mit",
    )
    option(
        '--splits',
        type=positive,
        metavar='N',
        help='draws of AUC-Borji and sAUC; 100 in the MIT code (default: none, their exact expectation)',
    )
    option(
        '--blur-sigma',
        type=positive_number,
        metavar='PIXELS',
        help="sigma of the Gaussian that blurs fixations (default: the data set's; otherwise 23.99 for "
        'protocol tuebingen, and 19 at 640 x 480, scaled with the image, for mit)',
    )
    option('--seed', type=whole, metavar='N', default=0, help='for everything random')


def add_maps(parser):
    """Adds the options for maps of other kinds and sizes."""
    option = parser.add_argument
    option(
        '--density',
        choices=['exp', 'as-is'],
        help='how to score a log density: its exponential, or as it is (default: the exponential; for '
        'protocol tuebingen only IG)',
    )
    option(
        '--stretch',
        action='store_true',
        help="accept maps whose aspect ratio is not their image's, such as those at the network's size",
    )


def add_tables(parser):
    """Adds the options for the output."""
    option = parser.add_argument
    option(
        '--compare',
        nargs='+',
        action='extend',
        default=[],
        metavar='TABLE',
        choices=list(TABLES),
        help=f"show the paper's rows beside ours: {', '.join(TABLES)} (default: none)",
    )
    option(
        '--output',
        nargs='+',
        action='extend',
        default=[],
        metavar='FILE',
        help='.csv, .json, .md, .tex or .html, one or more (default: only the table on stdout)',
    )


def add_snapshots(parser):
    """Adds the options for scoring the snapshots of a run."""
    option = parser.add_argument
    option(
        '--snapshots',
        metavar='DIR',
        help="score every snapshot of a run and draw the paper's Figure 3; needs --images (default: none)",
    )
    option(
        '--images',
        metavar='PATH',
        help='folder or pickle made by 01: the images that --snapshots predicts and an .html shows (default: '
        "the data set's own)",
    )
    option('--size', type=network_size, default='256x192', help="the network's input, for --snapshots")
    option('--batch-size', type=positive, default=1, metavar='N', help='images per batch, for --snapshots')
    option('--figure', metavar='STEM', default='figure3', help='its files: STEM.png and STEM.pdf')


def check(options):
    """Raises CouldNotStart for options that do not go together."""
    if not options.fixations:
        raise CouldNotStart('say where the fixations are: --fixations PATH')
    if not (options.maps or options.snapshots or options.self_check):
        raise CouldNotStart('say what to score: --maps DIR, --snapshots DIR --images PATH, or --self-check')
    if options.maps and options.snapshots:
        raise CouldNotStart('--maps and --snapshots exclude each other')
    if options.snapshots and not options.images:
        raise CouldNotStart('--snapshots needs the images to predict: --images PATH')
    if options.self_check and (options.output or options.compare or options.snapshots):
        raise CouldNotStart('--self-check prints what it found; leave --output, --compare, --snapshots out')
    if options.protocol != 'mit' and options.ground_truth and not options.self_check:
        raise CouldNotStart(
            f'the protocol {options.protocol} makes its own blurred maps; leave --ground-truth out'
        )
    if options.protocol == 'salicon' and options.blur_sigma:
        raise CouldNotStart('the protocol salicon blurs by 19 pixels; leave --blur-sigma out')
