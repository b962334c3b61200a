"""Reads, resizes and writes images as the original did, with OpenCV."""

import io
import os
import re
import subprocess
import sys
import warnings
from functools import lru_cache

import cv2
import numpy as np

from utils.errors import Unreadable
from utils.files import read_bytes, size_of, write_bytes


def ready_for_threads():
    """Prepares the process for threads that each work on one image, as in `parallel.in_order`."""
    cv2.setNumThreads(1)
    # glibc returns freed blocks of an image's size to the kernel, and pays for each of their pages again,
    # until a larger block has been freed once. This saves a twentieth of the time.
    np.empty(2**24, np.uint8)


def read_rgb(path, ignore_orientation=False):
    """Reads an image as `cv2.imread(path, cv2.IMREAD_COLOR)` does, in RGB.

    Always eight bits and three channels: grey is repeated, alpha dropped, 16 bits are reduced to 8, and EXIF
    orientation is applied unless it is to be ignored.

    Returns
    -------
    uint8 array, shape (rows, columns, 3), RGB

    Raises
    ------
    Unreadable
        If the file is missing, empty, not an image, truncated, or larger than OpenCV's limit.
    MemoryError
        If there is not enough memory.
    """
    return decode_rgb(read_bytes(path), path, ignore_orientation)


def read_grey(path):
    """Reads a map as `cv2.imread(path, cv2.IMREAD_GRAYSCALE)` does: uint8, shape (rows, columns)."""
    return decode(read_bytes(path), path, cv2.IMREAD_GRAYSCALE)


def decode_rgb(data, path, ignore_orientation=False):
    """`read_rgb` for the bytes `data` of the file `path`, which is only used in messages."""
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if ignore_orientation else 0)
    try:
        return cv2.cvtColor(decode(data, path, flags), cv2.COLOR_BGR2RGB)
    except cv2.error:  # after decoding: only for lack of memory
        raise MemoryError from None


def size_of_image(data):
    """(rows, columns) of an image as it is stored, from its first bytes; None if Pillow cannot tell.

    For images so large that Pillow refuses them, a size that large.
    """
    return _looked_at(io.BytesIO(data), lambda image: (image.height, image.width), too_large=(2**14, 2**14))


def _looked_at(file, look, too_large=None):
    """What `look` returns for an image that Pillow has opened but not decoded; None if it cannot."""
    image_module = _pillow()
    try:
        with image_module.open(file) as image:
            return look(image)
    except image_module.DecompressionBombError:
        return too_large
    except Exception:  # its plug-ins may raise anything; decoding will say what is wrong
        return None


@lru_cache(maxsize=1)
def _pillow():
    """Pillow's `Image`, silenced: its warnings, on sizes and broken tags, are handled here."""
    from PIL import Image

    warnings.filterwarnings('ignore', module='PIL')
    return Image


def stored_size(path):
    """(rows, columns) of an image file as it is stored, whatever its EXIF orientation.

    Raises
    ------
    Unreadable
        If it is missing or not an image.
    """
    size_of(path)  # checks that it is a file
    size = _looked_at(path, lambda image: (image.height, image.width))
    if size is None:
        size = decode(read_bytes(path), path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION).shape[:2]
    return size


def orientation_of(file):
    """The EXIF orientation of an image, a path or an open file, 1 to 8; 1, upright, if it has none."""
    found = _looked_at(file, lambda image: image.getexif().get(274))
    return found if found in range(1, 9) else 1


def decode(data, path, flags):
    """Decodes the bytes `data` of the file `path` (only used in messages) as `cv2.imdecode` does: BGR.

    GIF (first frame), AVIF and HEIC are decoded by Pillow, HEIC with the package pillow-heif.

    Raises
    ------
    Unreadable
        See `read_rgb`.
    """
    # Bytes instead of cv2.imread, which rejects undecodable names and does not say what was wrong; imdecode
    # gives the same pixels.
    if not data:
        raise Unreadable(f'{os.fspath(path)}: the file is empty')
    # cv2.imread fills the missing part of a JPEG with grey and succeeds; libpng prints its own messages.
    for signature, name, is_whole in ((b'\xff\xd8\xff', 'JPEG', _jpeg_ends), (b'\x89PNG', 'PNG', _png_ends)):
        if data.startswith(signature) and not is_whole(data):
            raise Unreadable(f'{os.fspath(path)}: the {name} is cut short or broken')
    if of_pillow(data):
        return _decode_by_pillow(data, path, flags)
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


_HEIC = {b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'mif1', b'msf1'}


def of_pillow(head):
    """'GIF', 'AVIF' or 'HEIC' if a file that begins with these bytes is decoded by Pillow, otherwise None."""
    if head.startswith((b'GIF87a', b'GIF89a')):
        return 'GIF'
    if head[4:8] != b'ftyp':
        return None
    end = min(int.from_bytes(head[:4], 'big'), 64)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands & {b'avif', b'avis'}:
        return 'AVIF'
    return 'HEIC' if brands & _HEIC else None


def _decode_by_pillow(data, path, flags):
    # note: deviation 29: the original reads none of these formats; pixels are as Pillow gives them
    from PIL import ImageOps, features

    path, kind = os.fspath(path), of_pillow(data)
    if kind == 'HEIC':
        try:
            import pillow_heif
        except ModuleNotFoundError:
            raise Unreadable(
                f'{path}: HEIC, which needs the package pillow-heif: `pip install pillow-heif`, or save it '
                'as JPEG or PNG'
            ) from None
        pillow_heif.register_heif_opener()
    if kind == 'AVIF' and not features.check('avif'):
        raise Unreadable(f'{path}: AVIF, which needs Pillow 11.3 or newer; or save it as JPEG or PNG')
    try:
        with _pillow().open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > int(os.environ['OPENCV_IO_MAX_IMAGE_PIXELS']):
                raise Unreadable(
                    f'{path}: more pixels than OPENCV_IO_MAX_IMAGE_PIXELS allows; make the image smaller'
                )
            turned = opened if flags & cv2.IMREAD_IGNORE_ORIENTATION else ImageOps.exif_transpose(opened)
            grey = turned.mode in ('1', 'L', 'LA')
            array = np.asarray(turned.convert('L' if grey else 'RGB'))
    except (Unreadable, MemoryError):
        raise
    except Exception:  # its plug-ins may raise anything
        raise Unreadable(f'{path}: not a whole {kind} image, or a broken one') from None
    if grey and flags & cv2.IMREAD_COLOR and not flags & cv2.IMREAD_ANYDEPTH:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)
    if grey:
        return array.copy()
    if flags & (cv2.IMREAD_COLOR | cv2.IMREAD_ANYCOLOR):
        return cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    return cv2.cvtColor(array, cv2.COLOR_RGB2GRAY)


# Raw photographs: TIFF by their first bytes, but OpenCV would decode their thumbnail.
_RAW = {
    '.nef', '.nrw', '.cr2', '.cr3', '.crw', '.arw', '.srf', '.sr2', '.dng', '.orf', '.rw2', '.raf', '.pef',
    '.srw', '.rwl', '.mef', '.mos', '.gpr', '.fff', '.bay', '.k25', '.ptx', '.cap',
    '.raw', '.3fr', '.iiq', '.x3f', '.erf', '.kdc', '.dcr', '.mrw',
}  # fmt: skip


def why_no_image(path):
    """One sentence on why a file is not an image, None if its first bytes say that it is."""
    path = os.fspath(path)
    try:
        if not size_of(path):  # reading a pipe would wait forever
            return f'{path}: the file is empty'
        with open(path, 'rb') as file:
            head = file.read(64)
    except Unreadable as error:
        return str(error)
    except OSError as error:
        return f'{path}: {error.strerror}'
    if os.path.splitext(path)[1].lower() in _RAW:
        return f'{path}: a raw photograph, which is not developed here; save it as JPEG or PNG'
    if of_pillow(head):
        return None
    try:
        path.encode()
    except UnicodeEncodeError:  # OpenCV crashes on such a name; reading it decides
        return None
    return (
        None if cv2.haveImageReader(path) else f'{path}: not an image that OpenCV can read, or a broken one'
    )


_JPEG_2000 = (b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51')
_APART = """
import sys, cv2, numpy
image = cv2.imdecode(numpy.frombuffer(sys.stdin.buffer.read(), 'u1'), int(sys.argv[1]))
if image is not None:
    numpy.save(sys.stdout.buffer, image)
"""


def _decode_apart(data, flags):
    """`cv2.imdecode` in a separate process, which a broken JPEG 2000 can kill; None if it did."""
    result = subprocess.run([sys.executable, '-c', _APART, str(flags)], input=data, capture_output=True)
    if result.returncode or not result.stdout:
        return None
    return np.load(io.BytesIO(result.stdout), allow_pickle=False)


def _jpeg_ends(data):
    """Whether the segments of a JPEG lead to its end marker; data that phones append do not matter."""
    at = 2
    while marker := _JPEG_MARKER.search(data, at):
        kind, at = marker[1][0], marker.end()
        if kind == 0xD9:
            return True
        if kind != 0x01:  # all others have a length; those within a scan, 0xD0 to 0xD7, are skipped
            at += int.from_bytes(data[at : at + 2], 'big')
    return False


# Several 0xff may precede a marker, but matching one is enough, and a pattern with a single first byte is
# searched for at the speed of memchr: this takes a twentieth of the time of `\xff+`.
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

    An image that already has this size is returned unchanged.
    """
    if image.shape[:2] == (height, width):
        return image
    try:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from None
        raise


def to_uint8(saliency_map):
    """A map, floats in 0..1, as uint8: times 255 and truncated, as the original converts them."""
    return (saliency_map * 255).astype(np.uint8)


def encode(image, extension):
    """The bytes of an image file: `image` is uint8, (rows, columns) or (rows, columns, 3) in RGB.

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
