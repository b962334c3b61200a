"""Everything that is not a network: files, images, data sets, weights files, metrics. No Theano here."""

import os

# OpenCV reads these once, when it is first imported, whoever does that.
# Its own bound of 2^30 pixels lets one file ask for gigabytes.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(2**28))
# A broken file is reported in one sentence of ours; OpenCV's own lines on it add nothing.
os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')
# FFmpeg writes lines of its own for every damaged frame.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

VERSION = '1.0.0'  # of the project: CHANGELOG.md

__all__ = ['cv2', 'lasagne', 'load_weights', 'np', 'os', 'predict', 'theano']  # what a 2017 script expects


def __getattr__(name):
    """Fetches what scripts of 2017 get by `from utils import *`; nothing in this project asks for it."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from models import names_of_2017

    return getattr(names_of_2017, name)
