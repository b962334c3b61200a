"""Images as the original read, resized and wrote them, by OpenCV."""

import os

# OpenCV reads this once, at import; its own bound of 2^30 pixels lets one file ask for gigabytes.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(2**28))
# A broken file is reported in one sentence of ours; OpenCV's own lines on it add nothing.
os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from utils.files import Unreadable, read_bytes, write_bytes  # noqa: E402


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
    """
    return decode_rgb(read_bytes(path), path)


def read_grey(path):
    """Reads a map as `cv2.imread(path, cv2.IMREAD_GRAYSCALE)` does: uint8, shape (rows, columns)."""
    return _decode(read_bytes(path), path, cv2.IMREAD_GRAYSCALE)


def decode_rgb(data, path):
    """`read_rgb` of the bytes `data` of the file `path`, which only messages name."""
    return cv2.cvtColor(_decode(data, path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def decode_unchanged(data, path):
    """An image of this project's own as it was given to `encode`: grey stays grey."""
    image = _decode(data, path, cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode(data, path, flags):
    # Bytes, and not cv2.imread, which takes no undecodable names and says nothing of what was wrong;
    # imdecode gives the same pixels.
    if not data:
        raise Unreadable(f'{os.fspath(path)}: the file is empty')
    if data[:3] == b'\xff\xd8\xff' and data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):
        # OpenCV fills the missing part of a JPEG with grey and calls it read.
        raise Unreadable(f'{os.fspath(path)}: the JPEG is cut short')
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if 'MAX_IMAGE' in str(error):
            raise Unreadable(
                f'{os.fspath(path)}: more pixels than OPENCV_IO_MAX_IMAGE_PIXELS allows '
                f'({os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]}); make the image smaller'
            ) from None
        image = None
    if image is None:
        raise Unreadable(f'{os.fspath(path)}: not an image that OpenCV can read, or a broken one')
    return image


def shrink(image, width, height):
    """Resizes to `width` x `height` by `cv2.INTER_AREA`, as the original does for the network's input.

    An image that has that size already is returned as it is.
    """
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


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
