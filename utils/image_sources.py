"""The inputs of 03 and 04: images in folders, single files, and pickles made by 01, with one interface."""

import fnmatch
import os
from functools import lru_cache, partial
from typing import NamedTuple

from utils import samples
from utils.command_line import counted, say
from utils.data_sets import known
from utils.errors import CouldNotStart
from utils.files import is_temporary, walk
from utils.images import read_rgb, why_no_image

FILMS = ('.mp4', '.avi', '.mkv', '.webm', '.mov')


class Source(NamedTuple):
    """An image to predict on.

    Attributes
    ----------
    name : str
        Its path without extension, relative to the named folder: the stem of everything written for it.
    path : str
        Its file; for an image in a pickle, the pickle and the image's name in it.
    read : function
        Returns the image, uint8 (rows, columns, 3) RGB, and the (rows, columns) of its map: those of the
        image, or for a sample in a pickle those of the image from which the sample was made. Raises
        `Unreadable`. It can be pickled and then works in another process. None for a film, which
        `utils.video` reads.
    """

    name: str
    path: str
    read: object


def find(paths, leave_out=None, pattern=None, ignore_orientation=False, films=False):
    """The images in `paths`: folders, searched recursively, data sets, files, and pickles made by 01.

    As in the original, every file of a folder counts, whatever its extension, except hidden files (and files
    in hidden folders) that are not images: desktops leave such files in folders. Of a recognised data set
    only the images count.

    Parameters
    ----------
    paths : list of str
    leave_out : str
        A folder that is not searched: the output, so that maps are not taken for images.
    pattern : str
        Selects files in folders, such as '*.jpg'; matched with the path below the folder if it has a slash,
        otherwise with the name.
    ignore_orientation : bool
        Whether the EXIF orientation of images is ignored; always so for a data set in which it is wrong.
    films : bool
        Whether films count too.

    Returns
    -------
    list of Source, each path's sorted by name
    list of str, one sentence for each file that counts but is not an image

    Raises
    ------
    CouldNotStart
        If a path is missing or unreadable, or there is nothing in any of them.
    """
    found, no_images = [], []
    for path in paths:
        if not os.path.exists(path):
            raise CouldNotStart(f'{path}: no such file or folder; name your images, or put them into images/')
        if path.lower().endswith(samples.EXTENSIONS) and not os.path.isdir(path):
            found += _in_pickle(path)
            continue
        files, stored = _in_path(path, leave_out, pattern)
        for name, file in files:
            if films and file.lower().endswith(FILMS) and not _is_hidden(name):
                found.append(Source(os.path.splitext(name)[0], file, None))
                continue
            why = why_no_image(file)
            if not why:
                found.append(_file(name, file, ignore_orientation or stored))
            elif not _is_hidden(name):
                no_images.append(why)
    if not found and not no_images:
        raise CouldNotStart(f'no images in {", ".join(paths)}')
    return found, no_images


def _in_path(path, leave_out, pattern):
    """(name, path) of the files that count; and whether their EXIF orientation is wrong."""
    if not os.path.isdir(path):
        return [(os.path.basename(path), path)], False
    found = _data_set(path)
    if found:
        files = [(stem + os.path.splitext(file)[1], file) for stem, file in known.image_files(found).items()]
        say(f'{found}: {counted(len(files), "image")}')
    else:
        files = [(name, os.path.join(path, name)) for name in walk(path, leave_out, hidden=True)]
        files = [(name, file) for name, file in files if not is_temporary(os.path.basename(name))]
    if pattern:
        files = [
            (n, f) for n, f in files if fnmatch.fnmatch(n if '/' in pattern else os.path.basename(n), pattern)
        ]
    return sorted(files), bool(found and found.facts.ignore_orientation)


def _data_set(path):
    """The data set at `path`, for its images; None if it is not one."""
    try:
        found = known.recognise(path, deepest=2)
    except CouldNotStart:  # several: a folder like any other
        return None
    return found if found and found.images else None


def _is_hidden(relative):
    return any(name.startswith('.') for name in relative.split(os.sep))


def _file(name, path, ignore_orientation):
    # note: deviation 7: the original cuts names at the first dot
    return Source(os.path.splitext(name)[0], path, partial(_read_file, path, ignore_orientation))


def _read_file(path, ignore_orientation):
    image = read_rgb(path, ignore_orientation)
    return image, image.shape[:2]


def _in_pickle(path):
    status = os.stat(path)
    stamp = status.st_mtime_ns, status.st_size
    pickled = _opened(path, stamp)
    return [_sample(pickled[i], i, path, stamp) for i in range(len(pickled))]


def _sample(sample, i, path, stamp):
    file_name = os.path.basename(sample.image.filePath)
    return Source(
        os.path.splitext(file_name)[0], f'{path}: {file_name}', partial(_read_sample, path, stamp, i)
    )


@lru_cache(maxsize=4)
def _opened(path, stamp):
    """The samples in `path`, cached for this stamp, its time and size."""
    return samples.read(path)


def _read_sample(path, stamp, i):
    sample = _opened(path, stamp)[i]
    return sample.image.data, sample.size
