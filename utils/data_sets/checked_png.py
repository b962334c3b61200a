"""PNGs that record what they were made from, so that an interrupted run need not make them again.

A text chunk contains a digest of the source, the settings and the PNG's own bytes: a file that was truncated,
changed, or made from another source or with other settings is recognised and not used.
"""

import hashlib
import os
import struct
import zlib

import cv2

from utils.errors import Unreadable
from utils.files import read_bytes
from utils.images import decode, encode

_AT = 33  # after the signature and the header chunk
_KEYWORD = b'Made-from\0'


def digest(*parts):
    """The SHA-256, in hexadecimal, of bytes and of everything else that affects a file."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else repr(part).encode())
        found.update(b'\0')
    return found.hexdigest()


def make(image, size, source):
    """The bytes of a PNG of `image`.

    Parameters
    ----------
    image : uint8 array, (rows, columns) or (rows, columns, 3) in RGB
    size : (rows, columns)
        Of the source image; stored in the PNG.
    source : str
        A digest of everything that affects it.
    """
    png = encode(image, '.png')
    return png[:_AT] + _chunk(png, size, source) + png[_AT:]


def read(path, source):
    """The image of the PNG at `path` and the `size` stored in it, if it was made from `source`.

    (None, None) if there is no such file, or if it is broken or was made from something else.
    """
    if not os.path.exists(path):
        return None, None
    try:
        data = read_bytes(path)
        (length,) = struct.unpack_from('>I', data, _AT)
        end = _AT + 12 + length
        chunk = data[_AT:end]
        rows, columns = (int(side) for side in chunk[8 + len(_KEYWORD) :].split(b' ')[0].split(b'x'))
    except (Unreadable, struct.error, ValueError):
        return None, None
    if chunk != _chunk(data[:_AT] + data[end:], (rows, columns), source):
        return None, None
    image = decode(data, path, cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB), (rows, columns)


def _chunk(png, size, source):
    text = '{}x{} {}'.format(*size, digest(png, size, source)).encode()
    body = b'tEXt' + _KEYWORD + text
    return struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
