"""What 03 and 04 predict on: images in folders, single files, and the pickles of 01, under one interface."""

import os
from typing import NamedTuple

import cv2

from utils import samples
from utils.command_line import CouldNotStart
from utils.files import Unreadable
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

    Every file of a folder counts, whatever its extension, as in the original; but for hidden ones that are no
    images, which desktops leave in folders.

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
    """All files below `top`, relative to it; linked folders too, but none twice on one way down."""

    def refuse(error):
        raise CouldNotStart(f'{error.filename}: {error.strerror}')

    for folder, folders, files in os.walk(top, followlinks=True, onerror=refuse):
        above = _identity(folder), *(_identity(parent) for parent in _parents(folder, top))
        folders[:] = [
            name
            for name in sorted(folders)
            if _identity(os.path.join(folder, name)) not in above
            and not (leave_out and _same(os.path.join(folder, name), leave_out))
        ]
        yield from (
            os.path.relpath(os.path.join(folder, name), top)
            for name in files
            if not (name.startswith('.') and _is_no_image(os.path.join(folder, name)))
        )


def _is_no_image(path):
    try:
        return not cv2.haveImageReader(path)
    except UnicodeError:  # a name that OpenCV cannot take; reading it decides
        return False


def _parents(folder, top):
    while folder != top:
        folder = os.path.dirname(folder)
        yield folder


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

    return Source(os.path.splitext(name)[0], path, read)


def _in_pickle(path):
    try:
        pickled = samples.read(path)
    except Unreadable as error:
        raise CouldNotStart(str(error)) from None
    return [_sample(pickled, i, path) for i in range(len(pickled))]


def _sample(pickled, i, path):
    file_name = os.path.basename(pickled[i].image.filePath)

    def read():
        sample = pickled[i]
        return sample.image.data, tuple(sample.size)

    return Source(os.path.splitext(file_name)[0], f'{path}: {file_name}', read)
