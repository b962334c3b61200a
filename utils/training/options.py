"""The defaults of 02's modes, and its options apart from those of the training itself.

Imports nothing slow, so that `--help` answers at once.
"""

import argparse
import os

from utils.command_line import positive, whole
from utils.errors import CouldNotStart

# By mode, as in the original: the learning rate, the epochs between snapshots, and what a batch returns.
LEARNING_RATE = {'bce': 0.001, 'salgan': 3e-4}
SNAPSHOT_EVERY = {'bce': 5, 'salgan': 3}
COSTS = {'bce': ['loss'], 'salgan': ['G_objective', 'D_objective', 'content_loss']}


def by_mode(values):
    """The end of an option's help: '(default: 5 for bce, 3 for salgan)'."""
    return '(default: ' + ', '.join(f'{value} for {mode}' for mode, value in values.items()) + ')'


def add_weights(parser):
    """Adds the options for the networks' initial weights."""
    option = parser.add_argument
    option(
        '--encoder',
        metavar='WHAT',
        default='vgg16',
        help='what the encoder starts from: vgg16, random, or a .npz that begins with its 26 arrays',
    )
    option('--vgg16', metavar='FILE', default='weights/vgg16.pkl', help="VGG-16 of Lasagne's model zoo")
    option('--generator', metavar='FILE', help='.npz to start the whole generator from (default: --encoder)')
    option('--discriminator', metavar='FILE', help='.npz to start the discriminator from (default: random)')
    option(
        '--bootstrap-epochs',
        type=whole,
        metavar='N',
        default=0,
        help='epochs of bce, in OUTPUT/bootstrap, from which salgan then starts; 15 in the paper',
    )


def add_run(parser):
    """Adds the options that do not change the numbers of a run: what is kept, watched and resumed."""
    option = parser.add_argument
    option(
        '--validation-images',
        type=whole,
        metavar='N',
        default=100,
        help='how many of the validation samples to measure after every epoch, drawn once',
    )
    option(
        '--snapshot-every',
        type=positive,
        metavar='N',
        help=f'epochs between snapshots, the first after epoch 0 {by_mode(SNAPSHOT_EVERY)}',
    )
    option('--keep', type=positive, metavar='N', help='number of newest snapshots to keep (default: all)')
    option('--resume', action='store_true', help='continue from the newest intact checkpoint in --output')
    option(
        '--force',
        action='store_true',
        help='with --resume: continue with other settings, versions or data',
    )
    option(
        '--tensorboard', action='store_true', help='scalars and images for TensorBoard, in OUTPUT/tensorboard'
    )


def complete(options):
    """Fills in defaults that depend on the mode, and refuses options that exclude each other."""
    if options.folder:
        raise CouldNotStart(f'{options.folder}: only plot takes a folder; name the output with --output')
    if options.mode == 'bce' and (options.bootstrap_epochs or options.discriminator):
        raise CouldNotStart(
            '--bootstrap-epochs and --discriminator belong to salgan; bce has no discriminator'
        )
    if options.force and not options.resume:
        raise CouldNotStart('--force goes with --resume; it never overwrites a run: choose another --output')
    options.learning_rate = options.learning_rate or LEARNING_RATE[options.mode]
    options.snapshot_every = options.snapshot_every or SNAPSHOT_EVERY[options.mode]


def of_bootstrap(options):
    """The options of the paper's bootstrap: bce with its own learning rate and interval of snapshots."""
    changed = {
        'mode': 'bce',
        'output': os.path.join(options.output, 'bootstrap'),
        'epochs': options.bootstrap_epochs,
        'bootstrap_epochs': 0,
        'learning_rate': LEARNING_RATE['bce'],
        'snapshot_every': SNAPSHOT_EVERY['bce'],
        'discriminator': None,
    }
    return argparse.Namespace(**{**vars(options), **changed})
