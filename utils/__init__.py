"""Everything that is not a network: files, images, SALICON, weights files, metrics. No Theano here."""

import os

# OpenCV reads these once, when it is first imported, whoever does that.
# Its own bound of 2^30 pixels lets one file ask for gigabytes.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(2**28))
# A broken file is reported in one sentence of ours; OpenCV's own lines on it add nothing.
os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')
# FFmpeg writes lines of its own for every damaged frame.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
