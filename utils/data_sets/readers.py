"""Reads fixation maps and saliency maps from files, examining the full data before reducing them.

Images are decoded with their own depth and channels, `.npy` and `.mat` are read as they are. Only then is it
decided what the array is, so that a blurred map is never read as fixations, nor a picture as a map.
"""

import io
import logging
import os
import struct
from typing import NamedTuple

import cv2
import numpy as np

from utils.data_sets import matlab
from utils.errors import Unreadable
from utils.files import read_bytes
from utils.images import decode, size_of_image

LARGEST = 2**26  # pixels: a larger map indicates a mistake or an attack
MAP, LOG_DENSITY, NEGATIVE = 'map', 'log density', 'map with negative values'
IMAGES = {
    '.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.jp2', '.gif', '.avif',
    '.heic', '.heif',
}  # fmt: skip
ARRAYS = {'.npy', '.mat'}
FIXATIONS_IN_MAT = ('I', 'fixLocs', 'fixations')  # SALICON 2015; CAT2000 and FIGRIM; the MIT code's demo

_AS_IT_IS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR  # alpha is dropped, EXIF orientation applied
_LOSSY = (b'\xff\xd8\xff', b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51')  # JPEG, JPEG 2000
_NEAR = 2  # levels by which equal channels may differ in a JPEG
_NORMALISED = 0.01  # |logsumexp| of a log density
_ASPECT = 1.1  # a map's may differ from its image's by this factor


class SaliencyMap(NamedTuple):
    """A map and what it is."""

    values: np.ndarray  # (rows, columns); uint8, or floats of the file's own precision
    kind: str  # MAP, LOG_DENSITY or NEGATIVE


# --- fixation maps ---


def read_fixation_map(path, data=None, ignore_orientation=False):
    """Reads a fixation map: an image of any depth, a `.npy`, or a matrix in a `.mat`.

    Parameters
    ----------
    path : path
    data : bytes, optional
        The contents of the file, if they have been read already.
    ignore_orientation : bool
        Whether an image's EXIF orientation is ignored.

    Returns
    -------
    bool array, shape (rows, columns), True where fixated

    Raises
    ------
    Unreadable
        If the file is broken, or is not a fixation map but, for example, a blurred one; the message names it.
    """
    array, lossy = _read_array(path, data, ignore_orientation, FIXATIONS_IN_MAT)
    return fixated(array, path, lossy)


def fixated(array, path, lossy=False):
    """Where an array is fixated: see `read_fixation_map`. `lossy`: from a JPEG or the like."""
    path = os.fspath(path)
    if lossy:
        return _fixated_in_jpeg(array, path)
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
        raise Unreadable(f'{path}: the fixation map holds a NaN or an infinite value')
    if array.dtype.kind in 'fi' and (array < 0).any():
        raise Unreadable(f'{path}: no fixation map, since it has negative values')
    # Several colours stand for several observers; every pixel that is not black is fixated.
    values = array if array.ndim == 2 else _colours(array, path).sum(axis=2, dtype=np.float64)
    _refuse_blurred(values, path)
    return values != 0


def _fixated_in_jpeg(array, path):
    """JPEG smears single pixels, but leaves two clusters: near black and near the brightest."""
    grey = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_BGR2GRAY)
    brightest = int(grey.max())
    if not brightest:
        return np.zeros(grey.shape, bool)
    # note: deviation 26: the original takes every non-zero pixel
    bright = grey > brightest / 2
    level, count = grey / np.float32(brightest), np.count_nonzero(bright)
    # At qualities of 60 and more, no value is between .3 and .75; at 50 some are, below .45.
    between = ((0.45, 0.55, 0.01), (0.55, 0.75, 0.12), (0.3, 0.45, 1.5))
    smooth = any(
        np.count_nonzero((level > low) & (level <= high)) > share * count for low, high, share in between
    )
    if brightest < 64 or smooth:
        raise Unreadable(
            f'{path}: a JPEG whose grey values are not in two clusters, black and white, so that it holds no '
            'fixations; a blurred map? --ground-truth of 04 or --maps of 01 takes it'
        )
    _refuse_blurred(bright, path)
    return bright


def _refuse_blurred(values, path):
    why = _not_fixations(values)
    if why:
        raise Unreadable(f'{path}: {why}; a blurred map? --ground-truth of 04 or --maps of 01 takes it')


_EIGHT, _FOUR, _RING = np.ones((3, 3), np.float32), np.zeros((3, 3), np.float32), np.ones((9, 9), np.float32)
_EIGHT[1, 1] = 0
_FOUR[[0, 1, 1, 2], [1, 0, 2, 1]] = 1
_RING[1:8, 1:8] = 0


def _not_fixations(values):
    """Why these are not fixations, or None if they may be.

    Fixations, however dense, are scattered: the density next to a fixated pixel is the same as a few pixels
    away. Blur, however narrow, turns them into blobs, which are denser than their surroundings and fall off
    from a peak. The limits were set with 3 000 synthetic maps of each kind (sigma 0.5 to 8 pixels, 2 to 255
    levels and floats) and with SALICON's raw mouse samples, the densest and least scattered in use: their
    excess density is at most 0.1, and 0.25 is refused.
    """
    marked = values != 0
    count = np.count_nonzero(marked)
    if count > marked.size / 2:
        return 'more than half of its pixels are fixated'
    if count < 3 or (count < 5 and len(np.unique(values)) == 2):  # too few to tell
        return None
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    box = np.s_[max(rows[0] - 4, 0) : rows[-1] + 5, max(columns[0] - 4, 0) : columns[-1] + 5]
    values, marked = values[box], marked[box]
    neighbours, around = (_share(marked, kernel) for kernel in (_EIGHT, _RING))
    near, excess = neighbours.mean(), neighbours.mean() - around.mean()
    if near > 0.6 or excess > 0.25:
        return 'its pixels form blobs and are not scattered as fixations are'
    held = values[marked].astype(np.float64)
    if held.min() == held.max():
        return None
    padded = np.pad(values.astype(np.float64), 1)
    higher = np.zeros(len(held), bool)
    for y in range(3):
        for x in range(3):
            higher |= padded[y : y + marked.shape[0], x : x + marked.shape[1]][marked] > held
    if higher.mean() > 0.42 and excess > 0.15 + 0.2 / count**0.5:
        return 'its values fall off from peaks, as in a map that was blurred or resized'
    top = (held >= held.max() / 2) & (held > held.min())
    beside = _share(marked, _FOUR)[top]
    if len(beside) > 1 and beside.mean() > 0.85 and beside.mean() - around[top].mean() > 0.5:
        return 'its highest values lie in the midst of lower ones, as in a blurred map'
    kinds, counts = np.unique(held, return_counts=True)
    low, crowded = held < kinds[counts.argmax()], neighbours * 8 > 1.5
    if low.any() and crowded[low].all() and crowded[~low].mean() ** np.count_nonzero(low) < 0.005:
        return (
            'its lowest values lie between higher ones, as in a map that was blurred and cut to a few levels'
        )
    return None


def _share(marked, kernel):
    """The share of marked pixels among those around each marked one, where `kernel` is 1."""
    found = cv2.filter2D(marked.astype(np.float32), cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT)
    return found[marked] / kernel.sum()


# --- saliency maps ---


def read_saliency_map(path, ignore_orientation=False, data=None):
    """Reads a saliency map: an image of 8, 12 or 16 bits or of floats, a `.npy`, or a `.mat`.

    Returns
    -------
    SaliencyMap

    Raises
    ------
    Unreadable
        If the file is missing, broken, a coloured picture, not a map, or contains a NaN; the message names
        it.
    """
    array, lossy = _read_array(path, data, ignore_orientation, ('I',))
    return classify(array, path, lossy)


def classify(array, path, lossy=False):
    """The `SaliencyMap` of an array: see `read_saliency_map`. `path` is only used in messages."""
    path = os.fspath(path)
    if array.ndim == 3:
        array = _one_channel(array, path, lossy)
    if array.ndim != 2 or not array.size or array.dtype.kind not in 'fuib':
        raise Unreadable(f'{path}: not a map: an array (rows, columns) of numbers')
    if array.size > LARGEST:
        raise Unreadable(f'{path}: {array.size} pixels, more than the {LARGEST} of any map')
    if array.dtype == np.uint8:
        return SaliencyMap(array, MAP)
    if array.dtype == np.uint16:
        return SaliencyMap(array / 65535, MAP)
    floats = array.dtype.kind == 'f'
    array = array.astype(np.float32 if array.dtype == np.float16 else array.dtype if floats else np.float64)
    array = array.astype(array.dtype.newbyteorder('='), copy=False)
    lowest, highest = float(array.min()), float(array.max())
    if lowest >= 0 and highest < np.inf:
        return SaliencyMap(array, MAP)
    if highest <= 0 and lowest < highest:
        total = _log_sum_exp(array)
        if floats and abs(total) <= _NORMALISED:
            return SaliencyMap(array, LOG_DENSITY)
        if np.isfinite(lowest) and not np.isnan(total):
            raise Unreadable(
                f'{path}: no value is above 0, as in a log density, but their exponentials sum to '
                f'{np.exp(min(total, 700)):.4g}, not to 1; subtract their logsumexp, {total:.4g}, from the '
                'map, or its minimum if it is none'
            )
    if not np.isfinite(array).all():
        raise Unreadable(f'{path}: the map holds a NaN or an infinite value')
    return SaliencyMap(array, NEGATIVE)


def _log_sum_exp(array):
    array = array.astype(np.float64, copy=False)
    highest = array.max()
    with np.errstate(over='ignore'):
        return float(np.log(np.exp(array - highest).sum()) + highest)


def _one_channel(array, path, lossy):
    colours = _colours(array, path)
    first = colours[:, :, :1]
    if lossy:
        spread = int((colours.max(axis=2).astype(int) - colours.min(axis=2)).max())
        same = spread <= _NEAR
    else:
        same = bool((colours == first).all())
    if not same:
        raise Unreadable(
            f'{path}: a coloured picture, not a map: its channels differ; save the map itself, not a heat map'
        )
    return cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY) if lossy and colours.shape[2] == 3 else first[:, :, 0]


def _colours(array, path):
    """The channels of an array, (rows, columns, 1 or 3), without alpha."""
    if array.shape[2] > 4:
        raise Unreadable(f'{path}: not a map: {array.shape[2]} channels')
    return array[:, :, : 3 if array.shape[2] > 2 else 1]


def check_shape(shape, size, path):
    """Raises Unreadable if a map is of `another_shape` than its image."""
    why = another_shape(shape, size)
    if why:
        raise Unreadable(f'{os.fspath(path)}: {why}')


def another_shape(shape, size):
    """Why a map of `shape` cannot be of an image of `size`, both (rows, columns); None if it can.

    Its sides must not be swapped, nor its aspect ratio differ by more than a tenth.
    """
    shape, size = tuple(shape), tuple(size)
    ratio = (shape[1] / shape[0]) / (size[1] / size[0])
    swapped = shape == size[::-1] and shape != size
    if not swapped and 1 / _ASPECT <= ratio <= _ASPECT:
        return None
    upright = (shape[0] / shape[1]) / (size[1] / size[0])
    turned = swapped or 1 / _ASPECT <= upright <= _ASPECT
    return (
        f'a map of {shape[1]} x {shape[0]} for an image of {size[1]} x {size[0]}'
        f'{": turned on its side?" if turned else ", whose aspect ratio is another"}; '
        '--stretch takes it all the same'
    )


# --- files ---


def _read_array(path, data, ignore_orientation, names):
    """The array in a file, and whether its format is lossy."""
    path = os.fspath(path)
    extension = os.path.splitext(path)[1].lower()
    if extension == '.npy':
        array, lossy = _read_npy(path, data), False
    elif extension == '.mat':
        array, lossy = _in_mat(path, matlab.read(path, data=data), names), False
    else:
        data = read_bytes(path) if data is None else data
        size = size_of_image(data)
        if size and size[0] * size[1] > LARGEST:
            raise Unreadable(f'{path}: {size[0] * size[1]} pixels, more than the {LARGEST} of any map')
        array, lossy = _decode(data, path, ignore_orientation), _is_lossy(data)
    if not array.size or array.ndim not in (2, 3) or array.dtype.kind not in 'fuib':
        raise Unreadable(f'{path}: not a map: an array (rows, columns) of numbers')
    if array.shape[0] * array.shape[1] > LARGEST:
        raise Unreadable(
            f'{path}: {array.shape[0] * array.shape[1]} pixels, more than the {LARGEST} of any map'
        )
    return array, lossy


def _decode(data, path, ignore_orientation):
    flags = _AS_IT_IS | (cv2.IMREAD_IGNORE_ORIENTATION if ignore_orientation else 0)
    try:
        return decode(data, path, flags)
    except Unreadable:
        if not data.startswith((b'II*\0', b'MM\0*')):
            raise
        # OpenCV supports neither half floats nor unsigned 32-bit integers
        array = _decode_tiff(data)
        if array is None:
            raise
        return array


def _decode_tiff(data):
    """The first picture of a TIFF, or None."""
    import tifffile

    logging.getLogger('tifffile').setLevel(logging.CRITICAL)  # we report broken files in one sentence
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            if page.dtype is None or page.size > LARGEST or page.ndim != 2:
                return None
            return page.asarray(maxworkers=1)
    except Exception:  # tifffile reports broken files by many kinds of exceptions
        return None


def _is_lossy(data):
    if data.startswith(_LOSSY):
        return True
    if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        return data[12:16] != b'VP8L' and b'VP8L' not in data[:64]
    return data[4:8] == b'ftyp'  # AVIF and HEIC


def _read_npy(path, data=None):
    try:
        if data is not None:
            return np.load(io.BytesIO(data), allow_pickle=False)
        # mapped first, so a header that claims more than the file has is found before memory is allocated
        mapped = np.load(path, mmap_mode='r', allow_pickle=False)
        if mapped.size > 4 * LARGEST:
            raise Unreadable(f'{path}: {mapped.size} numbers, more than any map has')
        return np.array(mapped)
    except OSError as error:
        raise Unreadable(f'{path}: {error.strerror or "not a .npy file"}') from None
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError, AttributeError, struct.error):
        raise Unreadable(f'{path}: not a whole .npy file of numbers') from None


def _in_mat(path, variables, names):
    """The matrix among the variables of a .mat: one with a name in `names`, or the only one."""
    matrices = {
        name: value for name, value in variables.items() if isinstance(value, np.ndarray) and value.size
    }
    for name in names:
        if name in matrices:
            return matrices[name]
    if names == ('I',) and len(matrices) == 1:
        return next(iter(matrices.values()))
    raise Unreadable(f'{path}: no matrix {" or ".join(names)} in it; it holds {holds(variables)}')


def holds(variables):
    """The contents of a .mat, in words: 'name (what it is), ..'."""
    said = [f'{name} ({_kind(value)})' for name, value in sorted(variables.items())]
    return ', '.join(said[:8]) + (f' and {len(said) - 8} more' if len(said) > 8 else '') or 'nothing'


def _kind(value):
    if isinstance(value, np.ndarray):
        return f'{value.dtype} {" x ".join(map(str, value.shape))}'
    if isinstance(value, list):
        return f'cell of {len(value)}'
    if isinstance(value, dict):
        return f'struct with {", ".join(list(value)[:6])}'
    return 'text' if isinstance(value, str) else 'of another class'
