"""The generator for the workers of a cluster: compiled once per machine, and then loaded by each worker."""

import contextlib
import os
import re

import numpy as np
import theano

from backend import native
from models.prediction import Predictor

HERE = 'SALGAN_WORKERS_HERE'  # set when workers are started: their number on this machine


def several_on_a_card():
    """Whether workers that were started together would share one card."""
    return theano.config.device != 'cpu' and int(os.environ.get(HERE, '1')) > 1


def is_compiled(version):
    """Whether a worker of that version has compiled everything on this machine."""
    return os.path.exists(_mark(version))


def compile_folder():
    """The folder of compiled code, and of the lock for which other workers wait."""
    return native.folder()


def predictor(arrays, width, height, version):
    """A `Predictor` that has predicted once, so that everything it needs is compiled."""
    made = Predictor(arrays, width, height)
    made(np.zeros((1, height, width, 3), np.uint8))
    with contextlib.suppress(OSError):  # a full disk: then the next worker also waits for its turn
        open(_mark(version), 'wb').close()
    return made


def _mark(version):
    settings = [version, theano.config.device, theano.config.floatX, os.environ.get('SALGAN_CONV', '')]
    return os.path.join(native.folder(), f'ready-{re.sub("[^A-Za-z0-9.-]", "_", "-".join(settings))}')
