"""What 03 writes for an image: which files, whether they may be written, and the writing itself."""

import argparse
import collections
import errno
import io
import os

from utils.command_line import describe, one_line, say
from utils.errors import CouldNotStart, Unreadable

# what --format names -> what stands after the image's name
FORMATS = {'jpg': '.jpg', 'png': '.png', 'npy': '.npy', 'overlay': '_overlay.jpg'}
CONTACT_SHEET = 'contact_sheet.jpg'


def formats(text):
    """'jpg,npy' -> ['jpg', 'npy'], as --format is written."""
    names = text.split(',')
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f'{name!r} is none of {", ".join(FORMATS)}')
    return list(dict.fromkeys(names))


# --- before anything is written ---


def plan(sources, folder, formats, also_read=()):
    """The files that each image's maps go to.

    Parameters
    ----------
    sources : list of `utils.image_sources.Source`
    folder : path
    formats : list of str
        Out of `FORMATS`.
    also_read : paths
        Of other files that must not be replaced: the weights.

    Returns
    -------
    dict of Source -> dict of format -> path

    Raises
    ------
    CouldNotStart
        If two of them would be one file, or anything that is there would be lost.
    """
    targets = {
        source: {name: os.path.join(folder, source.name + FORMATS[name]) for name in formats}
        for source in sources
    }
    writers = collections.defaultdict(list)
    for source in sources:
        for path in targets[source].values():
            writers[os.path.normpath(path)].append(source.path)
    if 'overlay' in formats:
        writers[os.path.normpath(os.path.join(folder, CONTACT_SHEET))].append('the contact sheet')
    read = {os.path.realpath(path) for path in (*also_read, *(source.path for source in sources))}
    for path, of in writers.items():
        why = clash(path, of, writers, read)
        if why:
            raise CouldNotStart(one_line(why))
    return targets


def clash(path, of, writers, read):
    """Why `path`, made of the images `of`, cannot be written; None if it can."""
    if len(of) > 1:
        return f'{of[0]} and {of[1]} would both be written to {path}; rename or leave out one of them'
    for folder in _folders_of(path):
        if folder in writers:
            return (
                f'{writers[folder][0]} would be written to {folder}, which {of[0]} needs for a folder; '
                'rename one of them'
            )
    if os.path.realpath(path) in read:
        return f'{path} is read, and what is made of {of[0]} would replace it; choose another --output'
    if os.path.isdir(path):
        return f'{path} is a folder, and what is made of {of[0]} needs the name; choose another --output'
    return None


def _folders_of(path):
    while os.path.dirname(path) not in ('', path):
        path = os.path.dirname(path)
        yield path


def make_folders(targets, folder):
    """Makes the folders of all files of a plan, and sees that they can be written to."""
    from utils.files import make_folder

    folders = {os.path.dirname(path) for of in targets.values() for path in of.values()}
    for each in sorted(folders | {os.path.join(folder, '')}):
        make_folder(each)


# --- writing ---


def write_maps(paths, saliency_map, size, image=None):
    """Writes one image's maps.

    Parameters
    ----------
    paths : dict of format -> path
    saliency_map : float array, shape (rows, columns), in 0..1
        The network's.
    size : (rows, columns)
        That the maps are written at.
    image : uint8 array, shape (any, any, 3), RGB
        For an overlay.

    Returns
    -------
    None, or one sentence on why a map cannot be written of this image

    Raises
    ------
    OSError
        If nothing can be written there: a full disk.
    """
    import numpy as np

    from utils import saliency_maps
    from utils.files import write_bytes
    from utils.images import write_image

    finished = saliency_maps.finish(saliency_map, *size)
    for name, path in paths.items():
        try:
            if name == 'npy':
                data = io.BytesIO()
                np.save(data, saliency_maps.at_size(saliency_map, *size))
                write_bytes(path, data.getbuffer())
            else:
                write_image(path, saliency_maps.overlay(image, finished) if name == 'overlay' else finished)
        except ValueError as error:  # no such size in this format
            return f'{path}: {error}; take another --format'
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return describe(error)
    return None


def write_contact_sheet(overlays, folder, threads=2):
    """Writes all overlays on one picture, in their order; says which cannot be read."""
    from utils import saliency_maps
    from utils.images import read_rgb, write_image
    from utils.parallel import in_order

    if not overlays:
        return
    width, height = saliency_maps.sheet_cell(len(overlays))

    def cell(path):
        try:
            return saliency_maps.thumbnail(read_rgb(path), width, height)
        except Unreadable as error:  # one of an earlier run, since broken
            say(f'left out of the contact sheet: {error}')

    cells = [each for each in in_order(cell, overlays, threads) if each is not None]
    if cells:
        write_image(os.path.join(folder, CONTACT_SHEET), saliency_maps.contact_sheet(cells))
