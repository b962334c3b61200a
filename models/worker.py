"""The generator as a worker of a cluster has it: compiled once on a machine, and then loaded by each."""

import contextlib
import os
import re

import numpy as np
import theano

from backend import native
from models.prediction import Predictor

HERE = 'SALGAN_WORKERS_HERE'  # set where workers are started: how many there are on this machine


def several_on_a_card():
    """Whether workers that were started together would share one card."""
    return theano.config.device != 'cpu' and int(os.environ.get(HERE, '1')) > 1


def is_compiled(version):
    """Whether a worker of that version has compiled everything on this machine."""
    return os.path.exists(_mark(version))


def compile_folder():
    """Where what is compiled is kept, and where a lock keeps others waiting meanwhile."""
    return native.folder()


def predictor(arrays, width, height, version):
    """A `Predictor` that has predicted once, so that all that it needs is compiled."""
    made = Predictor(arrays, width, height)
    made(np.zeros((1, height, width, 3), np.uint8))
    with contextlib.suppress(OSError):  # a full disk: the next worker waits for its turn, too
        open(_mark(version), 'wb').close()
    return made


def _mark(version):
    settings = [version, theano.config.device, theano.config.floatX, os.environ.get('SALGAN_CONV', '')]
    return os.path.join(native.folder(), f'ready-{re.sub("[^A-Za-z0-9.-]", "_", "-".join(settings))}')
