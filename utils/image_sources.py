"""What 03 and 04 predict on: images in folders, single files, and the pickles of 01, under one interface."""

import os
from typing import NamedTuple

import cv2

from utils import samples
from utils.errors import CouldNotStart
from utils.files import is_temporary
from utils.images import read_rgb

PICKLES = ('.pickle', '.pkl')


class Source(NamedTuple):
    """An image to predict on.

    Attributes
    ----------
    name : str
        Where it was found, without the extension and relative to the folder that was named: the stem of
        whatever is written for it.
    path : str
        Its file; for an image of a pickle, the pickle and the image's name in it.
    read : function
        Returns the image, uint8 (rows, columns, 3) RGB, and the (rows, columns) that its map is made for:
        its own, or for a sample of a pickle those of the image that the sample was made from. Raises
        `Unreadable`.
    """

    name: str
    path: str
    read: object


def find(paths, leave_out=None):
    """The images in `paths`: folders, walked to the bottom, files, and pickles of 01.

    Every file of a folder counts, whatever its extension, as in the original; but for hidden ones, and those
    in hidden folders, that are no images: desktops leave such files in folders.

    Parameters
    ----------
    paths : list of str
    leave_out : str
        A folder that is not walked: where the maps go, so that they are not taken for images.

    Returns
    -------
    list of Source, each path's sorted by name

    Raises
    ------
    CouldNotStart
        If a path is missing or unreadable, or there is nothing in any of them.
    """
    found = [source for path in paths for source in _in_path(path, leave_out)]
    if not found:
        raise CouldNotStart(f'no images in {", ".join(paths)}')
    return found


def _in_path(path, leave_out):
    if os.path.isdir(path):
        return [_file(name, path) for name in sorted(_walk(path, leave_out))]
    if not os.path.exists(path):
        raise CouldNotStart(f'{path}: no such file or folder; name your images, or put them into images/')
    if path.lower().endswith(PICKLES):
        return _in_pickle(path)
    return [_file(os.path.basename(path), os.path.dirname(path))]


def _walk(top, leave_out):
    """All files below `top`, relative to it; in linked folders too, but in none inside itself."""
    waiting: list = [('', ())]  # folders, and those on the way down to each
    while waiting:
        below, above = waiting.pop()
        folder = os.path.join(top, below)
        above = (*above, _identity(folder))
        try:
            names = os.listdir(folder)
        except OSError as error:
            raise CouldNotStart(f'{folder}: {error.strerror}; make it readable, or move it away') from None
        for name in names:
            path, relative = os.path.join(folder, name), os.path.join(below, name)
            if os.path.isdir(path):
                if not (_identity(path) in above or (leave_out and _same(path, leave_out))):
                    waiting.append((relative, above))
            elif not is_temporary(name) and not (_is_hidden(relative) and _is_no_image(path)):
                yield relative


def _is_hidden(relative):
    return any(name.startswith('.') for name in relative.split(os.sep))


def _is_no_image(path):
    if not os.path.isfile(path):  # to look into a pipe would wait for ever
        return True
    try:
        path.encode()
    except UnicodeEncodeError:  # OpenCV crashes on such a name; reading it decides
        return False
    return not cv2.haveImageReader(path)


def _identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _same(path, other):
    return os.path.exists(other) and os.path.samefile(path, other)


def _file(name, folder):
    path = os.path.join(folder, name)

    def read():
        image = read_rgb(path)
        return image, image.shape[:2]

    # note: deviation 7: the original cuts names at the first dot
    return Source(os.path.splitext(name)[0], path, read)


def _in_pickle(path):
    pickled = samples.read(path)
    return [_sample(pickled, i, path) for i in range(len(pickled))]


def _sample(pickled, i, path):
    file_name = os.path.basename(pickled[i].image.filePath)

    def read():
        sample = pickled[i]
        return sample.image.data, sample.size

    return Source(os.path.splitext(file_name)[0], f'{path}: {file_name}', read)
