"""Images as the original read, resized and wrote them, by OpenCV."""

import io
import os
import re
import subprocess
import sys

import cv2
import numpy as np

from utils.errors import Unreadable
from utils.files import read_bytes, write_bytes


def ready_for_threads():
    """Readies the process for threads that work on an image each, as `parallel.in_order` runs them."""
    cv2.setNumThreads(1)
    # glibc gives blocks of an image's size back to the kernel when they are freed, and then pays for each of
    # their pages anew, until a larger one has been freed once. It is a twentieth of the time.
    np.empty(2**24, np.uint8)


def read_rgb(path):
    """Reads an image as `cv2.imread(path, cv2.IMREAD_COLOR)` does, in RGB.

    Eight bits and three channels whatever the file holds: grey is repeated, alpha dropped, 16 bits are
    cut to 8, and EXIF orientation is applied.

    Returns
    -------
    uint8 array, shape (rows, columns, 3), RGB

    Raises
    ------
    Unreadable
        If the file is missing, empty, no image, cut short, or larger than OpenCV's limit.
    MemoryError
        If there is not enough for it.
    """
    return decode_rgb(read_bytes(path), path)


def read_grey(path):
    """Reads a map as `cv2.imread(path, cv2.IMREAD_GRAYSCALE)` does: uint8, shape (rows, columns)."""
    return decode(read_bytes(path), path, cv2.IMREAD_GRAYSCALE)


def decode_rgb(data, path):
    """`read_rgb` of the bytes `data` of the file `path`, which only messages name."""
    try:
        return cv2.cvtColor(decode(data, path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    except cv2.error:  # of a decoded image: only for lack of memory
        raise MemoryError from None


def decode(data, path, flags):
    """Decodes the bytes `data` of the file `path`, which only messages name, as `cv2.imdecode` does: BGR.

    Raises
    ------
    Unreadable
        See `read_rgb`.
    """
    # Bytes, and not cv2.imread, which takes no undecodable names and says nothing of what was wrong;
    # imdecode gives the same pixels.
    if not data:
        raise Unreadable(f'{os.fspath(path)}: the file is empty')
    # cv2.imread fills the missing part of a JPEG with grey and calls it read; libpng writes lines of its own.
    for signature, name, is_whole in ((b'\xff\xd8\xff', 'JPEG', _jpeg_ends), (b'\x89PNG', 'PNG', _png_ends)):
        if data.startswith(signature) and not is_whole(data):
            raise Unreadable(f'{os.fspath(path)}: the {name} is cut short or broken')
    try:
        if data.startswith(_JPEG_2000):
            image = _decode_apart(data, flags)
        else:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from None
        if 'MAX_IMAGE' in str(error):
            raise Unreadable(
                f'{os.fspath(path)}: more pixels than OPENCV_IO_MAX_IMAGE_PIXELS allows '
                f'({os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]}); make the image smaller'
            ) from None
        image = None
    if image is None:
        raise Unreadable(f'{os.fspath(path)}: not an image that OpenCV can read, or a broken one')
    return image


_JPEG_2000 = (b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51')
_APART = """
import sys, cv2, numpy
image = cv2.imdecode(numpy.frombuffer(sys.stdin.buffer.read(), 'u1'), int(sys.argv[1]))
if image is not None:
    numpy.save(sys.stdout.buffer, image)
"""


def _decode_apart(data, flags):
    """`cv2.imdecode` in a process of its own, which a broken JPEG 2000 can kill; None where it did."""
    result = subprocess.run([sys.executable, '-c', _APART, str(flags)], input=data, capture_output=True)
    if result.returncode or not result.stdout:
        return None
    return np.load(io.BytesIO(result.stdout), allow_pickle=False)


def _jpeg_ends(data):
    """Whether the segments of a JPEG lead to its end marker; what phones put after it does not matter."""
    at = 2
    while marker := _JPEG_MARKER.search(data, at):
        kind, at = marker[1][0], marker.end()
        if kind == 0xD9:
            return True
        if kind != 0x01:  # all others have a length; those within a scan, 0xD0 to 0xD7, are passed over
            at += int.from_bytes(data[at : at + 2], 'big')
    return False


# One 0xff is enough of those that may precede a marker, and a pattern of one first byte is searched for at
# the speed of memchr: this takes a twentieth of the time of `\xff+`.
_JPEG_MARKER = re.compile(rb'\xff([^\x00\xd0-\xd8\xff])')


def _png_ends(data):
    """Whether the chunks of a PNG lead to its last one."""
    at = 8
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b'IEND':
            return True
        at += 12 + int.from_bytes(data[at : at + 4], 'big')
    return False


def shrink(image, width, height):
    """Resizes to `width` x `height` by `cv2.INTER_AREA`, as the original does for the network's input.

    An image that has that size already is returned as it is.
    """
    if image.shape[:2] == (height, width):
        return image
    try:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from None
        raise


def encode(image, extension):
    """The bytes of a file of `image`: uint8, (rows, columns) or (rows, columns, 3) in RGB.

    `extension` names the format: '.png', '.jpg'; OpenCV's default settings, as in the original.
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(extension, image)
    if not encoded:
        raise ValueError(f'OpenCV cannot write {extension} of shape {image.shape}')
    return data.tobytes()


def write_image(path, image):
    """Writes `image` (see `encode`) to `path` atomically, in the format that its extension names."""
    write_bytes(path, encode(image, os.path.splitext(path)[1].lower()))
