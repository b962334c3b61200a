"""Samples, and the pickles that contain them, which 01 writes and 02, 03 and 04 read.

Three kinds of file are read:

- the original's: a list of `eliaLib.dataRepresentation.Target`, written by Python 2 (protocol 0 or 2);
- the same list with this project's classes: `pickle.load` reads it wherever the project can be imported;
- for sets larger than memory, a stream: pickles one after the other, a header of fixed length
  (`{'salgan samples': '1', 'count': .., 'index': ..}`), the samples, and an array of where each begins.
"""

import contextlib
import enum
import operator
import os
import pickle

import numpy as np

from utils import safe_pickle
from utils.command_line import say
from utils.errors import Unreadable
from utils.files import atomic_write, size_of

EXTENSIONS = ('.pickle', '.pkl')  # of files that are read as pickles of samples
ASSUMED_SIZE = (480, 640)  # SALICON's; the original's pickles have none
MOST_PIXELS = 2**28  # of an image: the limit that utils/__init__.py sets for OpenCV
# note: deviation 12: the original's are of protocol 0 and name its own classes.
_PROTOCOL = 3  # the first that stores bytes unchanged; later ones cannot be written piece by piece


class _Number(enum.IntEnum):
    """Is pickled as its class and number by every Python; 3.11.0 to 3.11.3 would name `getattr`."""

    def __reduce_ex__(self, protocol):
        return type(self), (int(self),)


class LoadState(_Number):
    """Whether a container's data are loaded; the original's numbers."""

    unloaded = 0
    loaded = 1


class InputType(_Number):
    """What a container is for; the original's numbers."""

    image = 0
    imageGrayscale = 1
    fixationMapMatlab = 3


class ImageContainer:
    """One part of a sample, by the original's names.

    Attributes
    ----------
    data : array or tuple of arrays
        See `Target`.
    filePath : str
        The file with the data: relative to the pickle's folder in pickles made by 01.
    state : LoadState
    imageType : InputType
    """

    def __init__(self, data, filePath, imageType):
        self.data, self.filePath, self.imageType = data, filePath, imageType
        self.state = LoadState.loaded


class Target:
    """One sample, by the original's names.

    Attributes
    ----------
    image : ImageContainer
        `.data` uint8, (rows, columns, 3), RGB, at the network's size.
    saliency : ImageContainer or None
        `.data` uint8, (rows, columns), at the network's size; None for a sample of the test set.
    fixation : ImageContainer or None
        `.data` a tuple of two int arrays, the rows and the columns of the fixated pixels, 0-based, at the
        size of the original image; None for a sample of the test set.
    size : (rows, columns)
        Of the original image.
    """

    # note: deviation 13: the original's samples have no size.
    def __init__(self, image, saliency=None, fixation=None, size=ASSUMED_SIZE):
        self.image, self.saliency, self.fixation, self.size = image, saliency, fixation, size


def _number_of(kind):
    """A function that reads an enum34 of `kind` by number; a number without a name is kept."""
    return lambda number: kind(number) if number in list(kind) else operator.index(number)


_OURS = {'Target': Target, 'ImageContainer': ImageContainer}
_ENUMS = {_number_of(kind): kind for kind in (LoadState, InputType)}


def _member(read, name):
    """What Python 3.11.0 to 3.11.3 pickled as `getattr(kind, name)`, of the kinds above alone."""
    return _ENUMS[read][name]


_ALLOWED = {
    (module, name): entry
    for module in ('utils.samples', 'eliaLib.dataRepresentation')
    for name, entry in {**_OURS, **{kind.__name__: read for read, kind in _ENUMS.items()}}.items()
}
_ALLOWED.update({(module, 'getattr'): _member for module in ('builtins', '__builtin__')})


# --- writing ---


@contextlib.contextmanager
def writer(path, stream=False):
    """Opens a pickle to be written sample by sample; yields the function that adds one.

    Written samples are not kept in memory; the complete file appears when the block succeeds.

        with writer('trainData.pickle') as add:
            add(sample)
    """
    with atomic_write(path) as file:
        starts = []
        if stream:
            file.write(_header(0, 0))
        else:
            file.write(pickle.PROTO + bytes([_PROTOCOL]) + pickle.EMPTY_LIST)

        def add(sample):
            starts.append(file.tell())
            data = pickle.dumps(sample, _PROTOCOL)
            # In a list, the sample's own instructions between those that create and extend the list. Each
            # sample numbers its memo from 0, so a reader's memo, like ours, only holds one sample's.
            file.write(data if stream else memoryview(data)[2:-1])
            file.write(b'' if stream else pickle.APPEND)

        yield add
        if stream:
            end = file.tell()
            pickle.dump(np.array([*starts, end], np.int64), file, _PROTOCOL)
            file.seek(0)
            file.write(_header(len(starts), end))
        else:
            file.write(pickle.STOP)


def _header(count, index):
    return pickle.dumps(
        {'salgan samples': '1', 'count': f'{count:020d}', 'index': f'{index:020d}'}, _PROTOCOL
    )


# --- reading ---


def read(path):
    """Reads a pickle of samples.

    Returns
    -------
    sequence of Target
        A list; if the file is a stream, a `Stream`, which keeps none of them in memory.

    Raises
    ------
    Unreadable
        If the file is not a complete pickle of samples, or asks for anything that such a pickle does not
        need; the message names it. No code was run.
    """
    path = os.fspath(path)
    size_of(path)  # checks that it is a file
    try:
        with open(path, 'rb') as file:
            if file.read(len(_header(0, 0))).startswith(_header(0, 0).partition(b'count')[0]):
                return Stream(path)
            file.seek(0)
            samples = safe_pickle.load(file, _ALLOWED, path)
    except OSError as error:
        raise Unreadable(f'{path}: {error.strerror}') from None
    if not isinstance(samples, list):
        raise Unreadable(f'{path}: it holds a {type(samples).__name__}, not a list of samples')
    assumed = [_check(sample, f'{path}: sample {i}') for i, sample in enumerate(samples)]
    if any(assumed):
        rows, columns = ASSUMED_SIZE
        say(f'{path}: it does not record the size of the images; {rows} rows x {columns} columns are assumed')
    return samples


class Stream:
    """The samples of a stream, read one at a time: `len(stream)`, `stream[i]`, `for sample in stream`.

    Threads may share one, and so may forked processes.
    """

    def __init__(self, path):
        self.path = path
        self._file = open(path, 'rb')  # noqa: SIM115
        try:
            header = safe_pickle.load(self._file, {}, path)
            count, index = int(header['count']), int(header['index'])
            self._file.seek(index)
            self._starts = safe_pickle.load(self._file, {}, path)
            whole = self._starts.dtype == np.int64 and self._starts.shape == (count + 1,)
            ends = self._starts[[0, -1]].tolist() == [len(_header(0, 0)), index]
            if not (whole and ends and np.all(np.diff(self._starts) > 0)):
                raise ValueError
        except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError, OSError):
            raise Unreadable(f'{path}: the stream of samples is broken; run 01 again') from None

    def __len__(self):
        return len(self._starts) - 1

    def __getitem__(self, index):
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f'{self.path}: no sample {index} among {len(self)}')
        index %= len(self)
        name = f'{self.path}: sample {index}'
        start, end = self._starts[index : index + 2].tolist()
        sample = safe_pickle.load(os.pread(self._file.fileno(), end - start, start), _ALLOWED, name)
        _check(sample, name)
        return sample


def _check(sample, name):
    """Raises Unreadable if this is not a complete sample; returns whether its size had to be assumed."""
    if not isinstance(sample, Target):
        raise Unreadable(f'{name} is a {type(sample).__name__}, not a sample')
    held = vars(sample)
    assumed = 'size' not in held
    held.update({'saliency': None, 'fixation': None, 'size': ASSUMED_SIZE, **held})
    for part, is_right in (('image', _is_image), ('saliency', _is_map), ('fixation', _are_fixations)):
        container = held.get(part)
        if container is None and part != 'image':
            continue
        if not isinstance(container, ImageContainer) or not is_right(vars(container).get('data')):
            raise Unreadable(f'{name}: its {part} is missing, or not of the shape and type that it should be')
        for attribute, kind in (('state', LoadState), ('imageType', InputType)):
            number = vars(container).get(attribute)
            if isinstance(number, int) and number in list(kind):
                setattr(container, attribute, kind(number))  # with the package `enum` they are plain numbers
    if not isinstance(vars(sample.image).get('filePath'), str):
        raise Unreadable(f'{name}: its image does not say which file it came from')
    if not _is_size(sample.size):
        raise Unreadable(f'{name}: its size is not (rows, columns)')
    return assumed


def _is_image(array):
    return _is_uint8(array, 3) and array.shape[2] == 3


def _is_map(array):
    return _is_uint8(array, 2)


def _is_uint8(array, dimensions):
    return (
        isinstance(array, np.ndarray)
        and array.dtype == np.uint8
        and array.ndim == dimensions
        and array.size > 0
    )


def _are_fixations(pair):
    return (
        isinstance(pair, tuple)
        and len(pair) == 2
        and all(isinstance(a, np.ndarray) and a.dtype.kind in 'iu' and a.ndim == 1 for a in pair)
        and len(pair[0]) == len(pair[1])
    )


def _is_size(size):
    if not (isinstance(size, tuple) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)):
        return False
    return size[0] * size[1] <= MOST_PIXELS
