"""Everything except the networks: files, images, data sets, weights files, metrics. No Theano here."""

import os

# OpenCV reads these once, when it is first imported, by whatever module.
# Its own limit of 2^30 pixels lets one file request gigabytes.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(2**28))
# We report a broken file in one sentence; OpenCV's own messages add nothing.
os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')
# FFmpeg writes its own messages for every damaged frame.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

VERSION = '1.0.0'  # of the project: CHANGELOG.md

__all__ = ['cv2', 'lasagne', 'load_weights', 'np', 'os', 'predict', 'theano']  # what a 2017 script expects


def __getattr__(name):
    """Provides what scripts of 2017 get from `from utils import *`; nothing in this project uses it."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from models import names_of_2017

    return getattr(names_of_2017, name)
