"""The models at the start of a training run."""

from typing import Any

from backend import lasagne
from models.model_bce import ModelBCE
from models.model_salgan import ModelSALGAN
from models.parameters import set_values
from utils.architecture import FC4_UNITS, fc4_units_of


def build(options, start, initial, found=None):
    """The model of a run, with the weights that it starts from.

    Parameters
    ----------
    options : Namespace
        The options of 02.
    start : dict of lists of arrays
        'generator', 'encoder', 'discriminator', see `utils.training.start.read`; whatever is missing starts
        with random weights.
    initial : RandomState
        For the random weights.
    found : utils.training.checkpoint.Checkpoint, optional
        The checkpoint from which the run continues: only the size of its discriminator matters here.
    """
    lasagne.random.set_rng(initial)
    (width, height), size, rate = options.size, options.batch_size, options.learning_rate
    keywords = {name: getattr(options, name) for name in ('loss', 'downsample', 'weight_decay')}
    model: Any
    if options.mode == 'bce':
        model = ModelBCE(width, height, size, rate, **keywords)
    else:
        units = fc4_units(start, found)
        model = ModelSALGAN(width, height, size, rate, rate, options.alpha, fc4_units=units, **keywords)
        if start.get('discriminator'):
            set_values(model.discriminator['prob'], start['discriminator'])
    for name, layer in (('generator', 'output'), ('encoder', 'conv5_3')):
        if start.get(name):
            set_values(model.net[layer], start[name])
    return model


def fc4_units(start, found=None):
    """Units of the discriminator's fc4: 60 in the released weights, 100 in the paper and the code."""
    arrays = found.weights('discriminator') if found else start.get('discriminator')
    return fc4_units_of(arrays) if arrays else FC4_UNITS
