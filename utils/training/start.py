"""The initial weights of a run's networks."""

import os

from utils import weights
from utils.errors import CouldNotStart
from utils.training import vgg16_file


def read(options, with_generator=True):
    """Reads the networks' initial arrays, before anything is computed.

    Parameters
    ----------
    options : Namespace
        The options of 02.
    with_generator : bool
        False if the generator's weights come from a bootstrap under way.

    Returns
    -------
    dict of list of arrays, in the order of a weights file
        'generator' or 'encoder', and 'discriminator'; whatever is missing starts with random weights.

    Raises
    ------
    CouldNotStart
        If a file is missing or does not contain the requested weights.
    """
    start = {}
    if with_generator and options.generator:
        start['generator'] = weights.read_generator(options.generator)
    elif with_generator and options.encoder == 'vgg16':
        if not os.path.exists(options.vgg16):
            raise CouldNotStart(
                f'{options.vgg16}: no such file, and the encoder starts from it. Fetch it by `python '
                'weights/fetch.py vgg16.pkl`, or name it with --vgg16 FILE; or start from other weights with '
                '--generator FILE.npz or --encoder FILE.npz, or at random with --encoder random'
            )
        start['encoder'] = vgg16_file.read(options.vgg16)
    elif with_generator and options.encoder != 'random':
        start['encoder'] = weights.read_encoder(options.encoder)
    if options.discriminator:
        start['discriminator'] = weights.read_discriminator(options.discriminator, *options.size)
    return start
