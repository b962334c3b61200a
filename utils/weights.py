"""Weights files: the released `.npz` layout, read as untrusted input and written atomically.

A file is what `numpy.savez` writes for a network's arrays: a zip archive of `arr_0.npy`, `arr_1.npy`, ..,
float32, in the order of the layers. Anybody may have written it, so names, types and shapes are compared
with `utils.architecture` before any value is read, nothing is unpickled, and no more is read or allocated
than that allows. None of this needs Theano, whose import takes seconds.
"""

import contextlib
import io
import os
import re
import stat
import warnings
import zipfile

import numpy as np

from utils.architecture import GENERATOR, discriminator_layout, encoder_layout, generator_layout
from utils.errors import Unreadable
from utils.files import atomic_write

MOST_UNITS = 4096  # of fc4: the file states their number, which must not lead to unlimited allocation
LONGEST_HEADER = 1024  # bytes; numpy writes 80 or 128 for these arrays
LONGEST_READ = 2**20  # bytes; also limits the archive's directory, which needs 4000 for 54 arrays


class WeightsError(Unreadable):
    """A file that does not contain the requested weights: names the file, what is wrong and what to do.

    `reason` is the message without the file's name.
    """

    def __init__(self, path, reason):
        super().__init__(f'{os.fsdecode(path)}: {reason}')
        self.reason = reason


# --- reading ---


def read_generator(path):
    """Reads the 54 arrays of a generator.

    Stored and compressed archives (`numpy.savez`, `numpy.savez_compressed`), big-endian float32 and Fortran
    order are accepted, since the values are the same; the file's name and extension do not matter.

    Parameters
    ----------
    path : str or path
        A regular file in the released layout.

    Returns
    -------
    list of 54 float32 arrays in C order, shapes as in `architecture.generator_layout`

    Raises
    ------
    WeightsError
        If the file is missing, unreadable, not an `.npz`, truncated or damaged, or if an array is missing or
        superfluous, has another shape or a type other than float32, or contains a value that is not finite.
        The message names the first wrong array: the first with a wrong shape or type, otherwise with wrong
        values.
    """
    return read(path, 'a generator', generator_layout())


def read_discriminator(path, width=256, height=192):
    """Reads the 20 arrays of a discriminator for `width` x `height` input, however many units fc4 has.

    Returns and raises as `read_generator`, with the shapes of `architecture.discriminator_layout`.
    """
    return read(path, 'a discriminator', discriminator_layout(width, height, fc4_units=None))


def read_encoder(path):
    """Reads the first 26 arrays of `path`: a generator's, an encoder's or VGG-16's.

    Returns and raises as `read_generator`, with the shapes of `architecture.encoder_layout`; any further
    arrays in the file are not read.
    """
    return read(path, 'an encoder', encoder_layout(), more_allowed=True)


def what_it_looks_like(head):
    """What a file that begins with the bytes `head` seems to be, in words; None if unknown."""
    for pattern, what in _LOOKS:
        if re.match(pattern, head, re.DOTALL):
            return what
    text = head[:60].decode('ascii', 'replace')
    if head and all(c.isprintable() or c.isspace() for c in text) and '\ufffd' not in text:
        return f'a text file that begins with {" ".join(text.split())!r}'
    return None


_LOOKS = (
    (rb'(?i)(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml|!--)', 'an HTML page, as dead links give'),
    (rb'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19', 'a PyTorch file'),
    (rb'\x80[\x02-\x05]', 'a Python pickle, which can run code'),
    (rb'[\]}]q\0|[(]?[dl]p\d+\r?\n|[(][dl]\r?\n|c[\w.]+\r?\n\w+\r?\n', 'a Python pickle, which can run code'),
    (rb'\x93NUMPY', 'a single array, a .npy file'),
    (rb'\x89HDF\r\n', 'an HDF5 file of Keras or MATLAB'),
    (rb'MATLAB ', 'a MATLAB file'),
    (rb'.{3}\0{5}\{"', 'a safetensors file'),
    (rb'version https://git-lfs', 'a Git LFS pointer in place of the file itself'),
    (rb'\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar', 'an archive of another kind, to be unpacked'),
    (rb'%PDF|\xff\xd8\xff|\x89PNG|GIF8', 'a picture or document'),
    (rb'\0{64}', 'an interrupted download: it begins with zeros'),
)


def read(path, what, layout, more_allowed=False):
    """Reads the arrays of any network.

    Parameters
    ----------
    path : str or path
    what : str
        'a generator': for messages.
    layout : list of (layer, parameter, shape)
        See `utils.architecture`.
    more_allowed : bool
        Whether the file may contain more arrays.

    Returns and raises as `read_generator`.
    """
    with _open(path) as file:
        archive = _directory(path, file, layout)
        members = _members(path, archive)
        headers, units = [], None

        def counts():
            enough = len(members) == len(layout) or more_allowed and len(members) > len(layout)
            return '' if enough else _counts(path, archive, members, what, layout)

        for i, (layer, parameter, shape) in enumerate(layout):
            name = f'arr_{i} ({parameter} of {layer})'
            if i not in members:
                raise WeightsError(path, f'{name} is missing, expected with shape {_text(shape)}{counts()}')
            found, *header = _header(path, name, archive, members[i])
            if None in shape and units is None and len(found) == 2 and 1 <= found[1] <= MOST_UNITS:
                units = found[1]
            expected = tuple(units if n is None else n for n in shape)
            if found != expected:
                raise WeightsError(
                    path, f'{name} has shape {_short(str(found))}, expected {_text(expected)}{counts()}'
                )
            headers.append((name, expected, *header))
            _check_size(path, members[i], *headers[i])
        if len(members) > len(layout) and not more_allowed:
            raise WeightsError(path, f'arr_{len(layout)} does not belong there{counts()}')
        return [_values(path, archive, members[i], *header) for i, header in enumerate(headers)]


class BoundedFile(io.FileIO):
    """A file for `zipfile`, which would read a directory of whatever size the archive claims at once."""

    def read(self, size=-1):
        if size > LONGEST_READ:
            raise zipfile.BadZipFile(f'asks for {size} bytes at once')
        return super().read(size)


def _open(path):
    """Opens `path`, which must be a regular file that begins like a zip archive."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise WeightsError(path, 'a folder; name the weights file in it')
        if not stat.S_ISREG(status.st_mode):
            raise WeightsError(path, 'not a regular file; give a .npz file of weights')
        with open(path, 'rb') as file:
            head = file.read(LONGEST_HEADER)
    except FileNotFoundError:
        raise WeightsError(
            path, 'no such file; `make weights` fetches the released ones (weights/README.md)'
        ) from None
    except OSError as error:
        raise WeightsError(path, f'cannot be read ({error.strerror}); check its permissions') from None
    if not head:
        raise WeightsError(path, 'the file is empty (0 bytes); download or copy it again')
    if not head.startswith((b'PK\3\4', b'PK\5\6')) and not b'PK\3\4'.startswith(head):
        looks = what_it_looks_like(head)
        raise WeightsError(
            path,
            f'not a .npz file{f" but {looks}" if looks else ""}; '
            'give a .npz of weights in the released layout (weights/README.md)',
        )
    return BoundedFile(path)


def _directory(path, file, layout):
    try:
        return zipfile.ZipFile(file)
    except Exception:  # on a hostile file zipfile may raise nearly anything
        size = os.fstat(file.fileno()).st_size
        arrays = sum(4 * np.prod([n or 1 for n in shape]) for _, _, shape in layout)
        raise WeightsError(
            path,
            'truncated or damaged: no sound zip directory at its end '
            f'({size:,} bytes; the arrays alone have {arrays:,}); download or copy it again',
        ) from None


@contextlib.contextmanager
def _reading(path, name):
    """Turns whatever `zipfile`, `zlib` or numpy raise on a damaged or hostile archive into a WeightsError."""
    try:
        yield
    except (WeightsError, MemoryError):
        raise
    except Exception as error:
        reason = _short(str(error) or type(error).__name__)
        raise WeightsError(
            path, f'{name} is truncated or damaged ({reason}); download or copy it again'
        ) from None


def _members(path, archive):
    """The archive's members as {number in arr_N: ZipInfo}; everything but their number is checked."""
    members = {}
    for info in archive.infolist():
        match = re.fullmatch(r'arr_(0|[1-9][0-9]{0,6})\.npy', info.filename, re.ASCII)
        if not match:
            raise WeightsError(path, _stray(archive, info.filename))
        name, number = match[0], int(match[1])
        if number in members:
            raise WeightsError(path, f'{name} is there twice; save the arrays again by numpy.savez')
        if info.flag_bits & 0x41:
            raise WeightsError(path, f'{name} is encrypted; unpack it and save the arrays by numpy.savez')
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError(
                path, f'{name} is compressed in a way that numpy.savez_compressed does not; save it by that'
            )
        members[number] = info
    if not members:
        raise WeightsError(path, 'an archive without any array; download or copy it again')
    ordered = sorted(members.values(), key=lambda info: info.header_offset)
    for info, following in zip(ordered, ordered[1:]):
        end = info.header_offset + 30 + len(info.filename) + info.compress_size  # 30: its local header
        if end > following.header_offset:
            raise WeightsError(
                path,
                f'{info.filename} and {following.filename} overlap: damaged, or made to do harm (a zip bomb)',
            )
    return members


def _stray(archive, name):
    """The message on a member that is not an arr_N.npy."""
    names = archive.namelist()
    looks = ''
    if any(other.endswith('data.pkl') for other in names):
        looks = ': this looks like a PyTorch file'
    elif any(other.endswith('.npz') for other in names):
        looks = ': unpack this archive and name the .npz in it'
    return f'holds {_short(repr(name))}, where only arr_0.npy, arr_1.npy .. belong (numpy.savez){looks}'


def _counts(path, archive, members, what, layout):
    """The end of a message on a file with another number of arrays: what it looks like."""
    text = f'; the file has {len(members)} arrays, {what} has {len(layout)}'
    with contextlib.suppress(Exception):  # only a hint
        first = _header(path, 'arr_0', archive, members[0])[0]
        kinds = {
            (54, (64, 3, 3, 3)): 'a generator',
            (32, (64, 3, 3, 3)): 'all of VGG-16',
            (26, (64, 3, 3, 3)): 'an encoder alone',
            (20, (3, 4, 1, 1)): 'a discriminator',
        }
        text += f': this looks like {kinds[len(members), first]}'
    return text


def _header(path, name, archive, info):
    """The header of a member: (shape, Fortran order, dtype, bytes before the data); float32 or an error."""
    with _reading(path, name), archive.open(info) as member:
        head = io.BytesIO(member.read(LONGEST_HEADER))
    if not head.getvalue().startswith(b'\x93NUMPY'):
        looks = what_it_looks_like(head.getvalue())
        raise WeightsError(path, f'{name} is no .npy array{f" but {looks}" if looks else ""}')
    try:
        version = np.lib.format.read_magic(head)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[version[0]]
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # numpy's, on headers written by Python 2
            shape, fortran_order, dtype = read(head)
    except Exception:  # the header is a Python expression of limited length: its parser may raise anything
        raise WeightsError(
            path, f'{name} has a header that is damaged, too long or not of numpy; download or copy it again'
        ) from None
    if dtype.hasobject:
        raise WeightsError(path, f'{name} holds pickled Python objects, which are never loaded')
    if dtype.newbyteorder('<') != np.dtype('<f4'):
        raise WeightsError(
            path,
            f'{name} is {_short(str(dtype))}, expected float32; convert the arrays with .astype("float32")',
        )
    return shape, fortran_order, dtype, head.tell()


def _check_size(path, info, name, shape, fortran_order, dtype, start):
    """Checks that the size declared in the archive is the array's; otherwise unpacking would be unlimited."""
    expected = start + int(np.prod(shape)) * dtype.itemsize
    if info.file_size != expected:
        raise WeightsError(
            path,
            f'{name} declares {info.file_size:,} bytes where an array of its shape has {expected:,}: '
            'truncated, damaged, or made to do harm (a zip bomb)',
        )


def _values(path, archive, info, name, shape, fortran_order, dtype, start):
    """Reads a member whose header and size are right, straight into its array."""
    array = np.empty(shape[::-1] if fortran_order else shape, dtype)
    data = array.reshape(-1).view(np.uint8)
    with _reading(path, name), archive.open(info) as member:
        member.read(start)
        at = 0
        while at < data.size:  # in pieces, since zipfile holds each twice
            count = member.readinto(data[at : at + LONGEST_READ])
            if not count:
                raise EOFError('its data end too early')
            at += count
    if fortran_order:
        array = np.ascontiguousarray(array.T)
    array = array.astype(np.float32, copy=False)
    # note: deviation 9: the original accepts whatever the file contains
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        nans = np.count_nonzero(np.isnan(array))
        raise WeightsError(
            path,
            f'{name} holds {bad} values that are not finite (NaN: {nans}, infinite: {bad - nans}): '
            'from a training run that went wrong, or damaged; take another snapshot or download it again',
        )
    return array


def _text(shape):
    return str(shape).replace('None', f'1..{MOST_UNITS}')


def _short(text, most=80):
    return text if len(text) <= most else text[:most] + '...'


# --- writing ---


def save(path, arrays):
    """Writes arrays as the original did, `numpy.savez(path, *arrays)`, as float32; atomic and durable.

    The same arrays give the same bytes.

    Parameters
    ----------
    path : str or path
        Written under exactly this name.
    arrays : sequence of arrays
        Cast to float32.

    Raises
    ------
    ValueError
        If a value is not finite as float32; nothing is written.
    OSError
        If the disk is full or the folder cannot be written to; the old file stays.
    """
    with np.errstate(over='ignore'):
        arrays = [np.asarray(array, np.float32) for array in arrays]
    for i, array in enumerate(arrays):
        if not np.isfinite(array).all():
            raise ValueError(f'{os.fsdecode(path)}: arr_{i} holds values that are not finite; not written')
    write_npz(path, {f'arr_{i}': array for i, array in enumerate(arrays)})


def write_npz(path, arrays):
    """Writes the dict `arrays` as `numpy.savez(path, **arrays)` does; atomic and durable, without pickles.

    The same arrays give the same bytes.
    """
    # numpy.savez itself leaves the archive open when the disk is full, and noise on stderr
    with atomic_write(path, durable=True) as file, zipfile.ZipFile(file, 'w') as archive:
        for name, array in arrays.items():
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


# --- for other frameworks ---


def flipped(arrays):
    """A generator's 54 arrays with the decoder's filters flipped; a second call flips them back.

    Lasagne convolves, whereas PyTorch, ONNX and Caffe cross-correlate; VGG-16's filters came from Caffe, so
    only the decoder's differ.
    """
    flips = {layer.name for layer in GENERATOR if layer.flips}
    return [
        array[:, :, ::-1, ::-1].copy() if layer in flips and parameter == 'W' else array
        for (layer, parameter, _), array in zip(generator_layout(), arrays)
    ]
