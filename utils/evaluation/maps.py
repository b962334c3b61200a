"""Finds folders of saliency maps, matches them with their images, and reads them."""

import os
from collections import defaultdict

from utils import archives
from utils.command_line import listed
from utils.data_sets import readers
from utils.errors import CouldNotStart, Unreadable
from utils.files import walk
from utils.outputs import CONTACT_SHEET, FORMATS

# If 03 wrote a map in several formats, the first of these is used: the original's lossless map before its
# JPEG, and both before the `.npy`, which is a different map, neither rounded to eight bits nor blurred.
EXTENSIONS = (
    '.png', '.tif', '.tiff', '.bmp', '.pgm', '.ppm', '.webp', '.jp2', '.jpg', '.jpeg', '.npy', '.mat'
)  # fmt: skip
LARGEST = readers.LARGEST
# other files that 03 writes
OVERLAY, SHEET = (os.path.splitext(name)[0] for name in (FORMATS['overlay'], CONTACT_SHEET))


def find_maps(folder, suffix=''):
    """Finds the maps in `folder` and its subfolders: relative path without extension -> path.

    For an archive (`.hdf5`, `.h5`, `.zip`): name in it without extension -> `archives.Member`.

    If some names end in `suffix`, like the blurred maps of some data sets, only those are returned, with
    stems that omit it.

    Raises
    ------
    CouldNotStart
        If there is no such folder, or no map in it.
    """
    if archives.is_archive(folder) and not os.path.isdir(folder):
        return archives.members(folder)
    if not os.path.isdir(folder):
        raise CouldNotStart(f'{folder}: there is no such folder')
    found = defaultdict(list)
    for relative in walk(folder):
        stem, extension = os.path.splitext(relative)
        if not os.path.basename(relative).startswith('.') and extension.lower() in EXTENSIONS:
            found[stem].append((EXTENSIONS.index(extension.lower()), os.path.join(folder, relative)))
    shown = {stem for stem in found if stem.endswith(OVERLAY) and stem[: -len(OVERLAY)] in found}
    maps = {
        stem: min(paths)[1]
        for stem, paths in found.items()
        if stem not in shown and not (shown and stem == SHEET)
    }
    if not maps:
        raise CouldNotStart(f'{folder}: no maps in it ({", ".join(EXTENSIONS)})')
    ends = {stem[: -len(suffix)]: path for stem, path in maps.items() if suffix and stem.endswith(suffix)}
    return ends or maps


def match(stems, files):
    """Which file belongs to which image.

    The file with the same relative path; if no image has one, the path below the folder that contains all
    files, as in archives; then the only file with the same name, if no other image has that name: some sets
    have images by split and maps in one folder.

    Parameters
    ----------
    stems : collection of str
        Of the images.
    files : dict of str -> path, or anything that represents the file
        By its relative path without extension: see `find_maps`.

    Returns
    -------
    dict of stem -> path, list of the stems without a file, list of `files`' keys without an image; sorted
    """
    keys = {stem: stem for stem in stems if stem in files}
    if not keys and files:
        top = os.path.commonpath([os.path.dirname(key) for key in files])
        below = {os.path.relpath(key, top): key for key in files} if top else {}
        keys = {stem: below[stem] for stem in stems if stem in below}
    left = _by_name(files.keys() - set(keys.values()))
    for name, wanting in _by_name(stem for stem in stems if stem not in keys).items():
        if len(wanting) == 1 and len(left.get(name, ())) == 1:
            keys[wanting[0]] = left.pop(name)[0]
    extra = sorted(key for of_name in left.values() for key in of_name)
    return {stem: files[key] for stem, key in keys.items()}, sorted(set(stems) - keys.keys()), extra


def pair(files, folder, truth, fixations, allow_missing=False):
    """The files of the images with fixations.

    Parameters
    ----------
    files : dict of str -> path, or anything that represents the file
        Found in `folder`, see `find_maps`.
    truth : ground_truth.GroundTruth
        Read from the path `fixations`.
    allow_missing : bool
        Whether there may be images without a file, and files without fixations.

    Returns
    -------
    dict of stem -> file, and a list with one sentence for each unmatched image or file

    Raises
    ------
    CouldNotStart
        If nothing is left, or if something is missing and `allow_missing` is false.
    """
    paired, missing, extra = match(truth.images.keys() | truth.unread.keys(), files)
    paired = {stem: paired[stem] for stem in truth.images if stem in paired}
    missing = [stem for stem in missing if stem in truth.images]
    extra = [stem for stem in extra if stem not in truth.others]  # test images, whose fixations are private
    if not paired:
        raise CouldNotStart(
            f'{folder}: nothing in it has the name of an image with fixations; in it are {listed(extra, 2)}, '
            f'fixations are of {listed(truth.images, 2)}'
        )
    if (missing or extra) and not allow_missing:
        lacking = [f'nothing in it for {listed(missing)}'] if missing else []
        lacking += [f'no fixations for {listed(extra)}'] if extra else []
        raise CouldNotStart(f'{folder}: {"; ".join(lacking)}; --allow-missing scores the others')
    sentences = [f'{stem}: nothing for it in {folder}' for stem in missing]
    return paired, sentences + [f'{stem}: no fixations for it in {fixations}' for stem in extra]


def _by_name(stems):
    found = defaultdict(list)
    for stem in stems:
        found[os.path.basename(stem)].append(stem)
    return found


def read_source(source, ignore_orientation=False):
    """Reads what `find_maps` found: a file, or a map in an archive.

    Returns
    -------
    readers.SaliencyMap

    Raises
    ------
    Unreadable
        See `readers.read_saliency_map` and `archives.Member`.
    """
    if not isinstance(source, archives.Member):
        return readers.read_saliency_map(source, ignore_orientation)
    data = source.read()
    if not isinstance(data, bytes):
        return readers.classify(data, source.path)
    try:
        return readers.read_saliency_map(source.path, ignore_orientation, data)
    except MemoryError:  # its header claims too much
        raise Unreadable(f'{source.path}: not a whole file of a map') from None


def read_map(path):
    """Reads a map that others are compared with, such as a blurred one: uint8 or floats, (rows, columns).

    Raises
    ------
    Unreadable
        See `readers.read_saliency_map`; or if it has negative values.
    """
    found = read_source(path)
    if found.kind != readers.MAP:
        raise Unreadable(f'{path}: a {found.kind}, where a map without negative values belongs')
    return found.values
