"""Folders of saliency maps: found, matched with the images that they are of, and read."""

import os
from collections import defaultdict

import numpy as np

from utils.command_line import listed
from utils.data_sets import matlab
from utils.errors import CouldNotStart, Unreadable
from utils.images import read_grey
from utils.outputs import CONTACT_SHEET, FORMATS

# Where 03 wrote a map in several formats, the first of these is taken: the original's map without loss before
# its JPEG, and both before the `.npy`, which is another map, neither cut to eight bits nor blurred.
EXTENSIONS = (
    '.png', '.tif', '.tiff', '.bmp', '.pgm', '.ppm', '.webp', '.jp2', '.jpg', '.jpeg', '.npy', '.mat'
)  # fmt: skip
LARGEST = 2**26  # pixels: a map of more is a mistake or an attack
# what 03 writes beside maps
OVERLAY, SHEET = (os.path.splitext(name)[0] for name in (FORMATS['overlay'], CONTACT_SHEET))


def find_maps(folder):
    """Finds the maps in `folder` and its subfolders: relative path without extension -> path.

    Raises
    ------
    CouldNotStart
        If there is no such folder, or no map in it.
    """
    if not os.path.isdir(folder):
        raise CouldNotStart(f'{folder}: there is no such folder')
    found = defaultdict(list)
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(names):
            stem, extension = os.path.splitext(name)
            if not name.startswith('.') and extension.lower() in EXTENSIONS:
                stem = os.path.normpath(os.path.join(os.path.relpath(parent, folder), stem))
                rank = EXTENSIONS.index(extension.lower())
                found[stem].append((rank, os.path.join(parent, name)))
    shown = {stem for stem in found if stem.endswith(OVERLAY) and stem[: -len(OVERLAY)] in found}
    maps = {
        stem: min(paths)[1]
        for stem, paths in found.items()
        if stem not in shown and not (shown and stem == SHEET)
    }
    if not maps:
        raise CouldNotStart(f'{folder}: no maps in it ({", ".join(EXTENSIONS)})')
    return maps


def _refuse(error):
    raise CouldNotStart(f'cannot read the folder {error.filename}: {error.strerror}')


def match(stems, files):
    """Which file belongs to which image.

    That of the same relative path; where there is none, the one file of the same name, if no other image has
    that name: some hand out images by split and maps in one folder.

    Parameters
    ----------
    stems : collection of str
        Of the images.
    files : dict of str -> path, or whatever stands for the file
        By its relative path without extension: see `find_maps`.

    Returns
    -------
    dict of stem -> path, list of the stems without a file, list of `files`' keys without an image; sorted
    """
    matched = {stem: files[stem] for stem in stems if stem in files}
    left = _by_name(stem for stem in files if stem not in matched)
    for name, wanting in _by_name(stem for stem in stems if stem not in matched).items():
        if len(wanting) == 1 and len(left.get(name, ())) == 1:
            matched[wanting[0]] = files[left.pop(name)[0]]
    extra = sorted(stem for stems in left.values() for stem in stems)
    return matched, sorted(set(stems) - matched.keys()), extra


def pair(files, folder, truth, fixations, allow_missing=False):
    """The files of the images with fixations.

    Parameters
    ----------
    files : dict of str -> path, or whatever stands for the file
        Found in `folder`, see `find_maps`.
    truth : ground_truth.GroundTruth
        Read from the path `fixations`.
    allow_missing : bool
        Whether there may be images without a file, and files without fixations.

    Returns
    -------
    dict of stem -> file, and a list of one sentence for each image or file without the other

    Raises
    ------
    CouldNotStart
        If nothing is left, or something is missing that may not be.
    """
    paired, missing, extra = match(truth.images.keys() | truth.unread.keys(), files)
    paired = {stem: paired[stem] for stem in truth.images if stem in paired}
    missing = [stem for stem in missing if stem in truth.images]
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


def read_map(path):
    """Reads a map: an image as uint8, a `.npy` or the variable `I` of a `.mat` as it is.

    Returns
    -------
    uint8 or float array, shape (rows, columns)

    Raises
    ------
    Unreadable
        One sentence that names the file, if it is missing or broken, no map, or holds a NaN.
    """
    extension = os.path.splitext(path)[1].lower()
    if extension == '.npy':
        array = _read_npy(path)
    else:
        array = matlab.read(path).get('I') if extension == '.mat' else read_grey(path)
    if (
        not isinstance(array, np.ndarray)
        or array.ndim != 2
        or not array.size
        or array.dtype.kind not in 'fui'
    ):
        raise Unreadable(f'{path}: not a map: an array (rows, columns) of numbers, in a .mat by the name I')
    if array.size > LARGEST:
        raise Unreadable(f'{path}: {array.size} pixels, more than the {LARGEST} of any map')
    if not np.isfinite(array).all():
        raise Unreadable(f'{path}: the map holds a NaN or an infinite value')
    return array


def _read_npy(path):
    try:
        # mapped first: a header that claims more than the file has is found before memory is taken
        return np.array(np.load(path, mmap_mode='r', allow_pickle=False))
    except OSError as error:
        raise Unreadable(f'{path}: {error.strerror or "not a .npy file"}') from None
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError):
        raise Unreadable(f'{path}: not a whole .npy file of numbers') from None
