"""A data set of any kind, read one image at a time: what `salicon.find` and `known_sets.read` return."""

from typing import NamedTuple, Optional

import numpy as np

from utils.data_sets import readers
from utils.errors import Unreadable
from utils.files import read_bytes
from utils.images import to_uint8

SPLITS = ('train', 'val', 'test')
LARGEST = 2**28  # pixels of an image; more indicates a mistake or an attack


class Record(NamedTuple):
    """The files of one image: paths, None if missing."""

    stem: str  # relative to its folder, without extension: 'train/COCO_train2014_000000000009'
    splits: tuple  # those of SPLITS to which it belongs
    image: Optional[str]
    map: Optional[str]
    fixations: Optional[str]


class Points(NamedTuple):
    """The fixations of an image as a file has them."""

    points: np.ndarray  # N x 2, (row, column), 0-based; points outside or not finite are dropped later
    size: tuple  # (rows, columns) of the image
    recorded: Optional[int] = None  # fixations in the file, before any filter
    samples: Optional[int] = None  # mouse samples in the file


class Fixations(NamedTuple):
    """The fixations of one image."""

    # int64, N x 2, (row, column), 0-based, sorted by row, then column; a point that was recorded several
    # times occurs several times
    points: np.ndarray
    size: tuple  # (rows, columns) of the image
    outside: int  # how many were outside the image and dropped
    recorded: Optional[int]  # see Points
    samples: Optional[int]


class DataSet:
    """A data set as found on disk.

    Attributes
    ----------
    layout : str
        What it is, for messages.
    facts : known.Facts or None
        Of a recognised set.
    folders : dict
        'images', 'maps', 'fixations' -> path, None if there is none.
    records : list of Record
        Sorted by name.
    problems : list of str
        What was wrong with the folders themselves: one sentence each, naming the file.
    fixation_type : 'fixations' or 'mouse'
    fixation_filter : 'duplicates' or 'none'
    sigma : float or None
        Of the set's blur, in pixels.
    notes : list of str
        Further remarks for the user.
    ignore_orientation : bool
        Whether the EXIF orientation of its images is ignored.
    others : list of str
        Stems of its images that have no public fixations.
    without_fixations : bool
        Whether samples are made without them.
    """

    def __init__(
        self,
        layout,
        folders,
        records,
        read_points,
        problems=(),
        fixation_type='fixations',
        fixation_filter='none',
        facts=None,
        notes=(),
        edition='',
    ):
        self.edition, self.others, self.without_fixations = edition, [], False
        self.layout, self.folders, self.records, self.facts = layout, folders, records, facts
        self.problems, self.notes = list(problems), list(notes)
        self.fixation_type, self.fixation_filter = fixation_type, fixation_filter
        self.sigma = facts.sigma if facts else None
        self.ignore_orientation = bool(facts and facts.ignore_orientation)
        self._read_points = read_points

    def describe(self):
        """The layout and the kind of points that are read, as one line."""
        points = 'mouse samples' if self.fixation_type == 'mouse' else 'fixations'
        return (
            f'layout: {self.layout}{self.edition}; points: {points}, fixation filter: {self.fixation_filter}'
        )

    def blur(self, size):
        """The sigma, in pixels, for maps made from the fixations on an image of `size`."""
        if self.facts:
            return self.sigma or 19 * max(size) / 640
        return 19  # the SALICON challenge's, whatever the size

    def fixations(self, record):
        """Reads the `Fixations` of a record.

        Raises
        ------
        Unreadable
            If the file is broken or contains something else; the message names it.
        """
        read = self._read_points(record)
        size = read.size
        if size[0] * size[1] > LARGEST:
            raise Unreadable(f'{record.fixations}: an image of {size[1]} x {size[0]} is too large')
        rows, columns = read.points.T
        # nan and inf count as outside
        inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
        rows, columns = (axis[inside].astype(np.int64) for axis in (rows, columns))
        places = np.sort(rows * size[1] + columns)
        if self.fixation_filter == 'duplicates':
            places = places[1:][places[1:] == places[:-1]]
        # note: deviation 21: a pixel that was fixated several times occurs several times; the
        # original's layout cannot record how often.
        kept = np.empty((len(places), 2), np.int64)
        kept[:, 0], kept[:, 1] = np.divmod(places, size[1])
        return Fixations(kept, size, len(read.points) - len(rows), read.recorded, read.samples)

    def saliency_map(self, record, fixations=None, data=None):
        """The ground truth as the original made it: uint8, (rows, columns) of the image.

        Read from the record's map, or from `data`, the bytes of its file; if there is no map, made from
        `fixations` (read if not given) with `blurred_map`.

        Raises
        ------
        Unreadable
            As `fixations` does.
        """
        if record.map is None:
            fixations = fixations or self.fixations(record)
            return to_uint8(blurred_map(fixations.points, fixations.size, self.blur(fixations.size)))
        data = read_bytes(record.map) if data is None else data
        found = readers.read_saliency_map(record.map, self.ignore_orientation, data)
        return eight_bits(found, record.map)


def eight_bits(found, path):
    """A `readers.SaliencyMap` as 01 writes it: uint8.

    Eight bits are kept as they are; a `.mat` in 0..1 is converted as in the original; others, whose range is
    unknown, are scaled by their maximum.
    """
    values = found.values
    if found.kind == readers.LOG_DENSITY:
        values = np.exp(values.astype(np.float64))
    is_mat = path.lower().endswith('.mat')
    if values.dtype == np.uint8 and not is_mat:
        return values
    if is_mat:
        if values.dtype.kind != 'f' or not np.all((values > -1 / 255) & (values < 256 / 255)):
            raise Unreadable(f'{path}: its matrix does not hold floats in 0..1, as maps of SALICON do')
        if values.max() >= 1 / 255:
            return to_uint8(values)
    if (values < 0).any():
        raise Unreadable(f'{path}: a map with negative values, which has no place in 0..255')
    highest = values.max()
    return to_uint8(values / highest if highest else values)


def blurred_map(points, size, sigma=19):
    """The ground truth that the SALICON challenge's evaluator makes from fixations.

    A binary map of the points (1, however often fixated) is blurred by a Gaussian with reflected borders,
    truncated at 4 sigma, and scaled to 0..1.

    Parameters
    ----------
    points : int array, N x 2, (row, column), 0-based
    size : (rows, columns)
    sigma : float, pixels
        19 is the evaluator's, for 640 x 480.

    Returns
    -------
    float64 array, shape `size`, 0..1; all zeros if there are no points.
    """
    import scipy.ndimage

    fixation_map = np.zeros(size)
    fixation_map[points[:, 0], points[:, 1]] = 1
    blurred = scipy.ndimage.gaussian_filter(fixation_map, sigma)
    lowest, highest = blurred.min(), blurred.max()
    return (blurred - lowest) / (highest - lowest) if highest > lowest else fixation_map


# --- which file belongs to which image ---


def join(images, maps, fixations, split_of=None):
    """The records of all images.

    A file belongs to the image with the same relative path; if there is none, to the only image with the same
    name: some sets have images in one folder and maps in folders by split.

    Parameters
    ----------
    images, maps, fixations : dict of stem -> path
    split_of : function of a stem, optional
        The splits of an image; `splits_of` by default.

    Returns
    -------
    list of Record, and the stem under which each of `fixations` is listed there
    """
    by_name: dict = {}
    for stem in images:
        by_name.setdefault(stem.rpartition('/')[2], []).append(stem)

    def joined(files):
        found = {stem: stem for stem in files if stem in images}
        taken = set(found)
        for stem in sorted(files.keys() - taken):
            candidates = by_name.get(stem.rpartition('/')[2], [])
            found[stem] = candidates[0] if len(candidates) == 1 and candidates[0] not in taken else stem
            taken.add(found[stem])
        return found

    renamed = joined(fixations)
    maps = {new: maps[stem] for stem, new in joined(maps).items()}
    fixations = {new: fixations[stem] for stem, new in renamed.items()}
    # note: deviation 6: the original takes the order in which glob finds the maps, which differs
    # between disks.
    every = images.keys() | maps.keys() | fixations.keys()
    stems = sorted(every, key=lambda stem: (stem.rpartition('/')[2], stem))
    split_of = split_of or splits_of
    return [
        Record(stem, split_of(stem), images.get(stem), maps.get(stem), fixations.get(stem)) for stem in stems
    ], renamed


_NAMES = {
    'train': 'train', 'training': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val',
    'test': 'test', 'testing': 'test',
}  # fmt: skip


def splits_of(stem):
    """The splits that an image's path names: only those of its folders, if they name any.

    In flat folders the original's rule applies: each of 'train', 'val', 'test' that the file's name contains.
    """
    # note: deviation 28: the original only uses the name, so that `train/valley_train.jpg` is in both
    *folders, name = stem.split('/')
    for folder in folders:
        if split_named(folder):
            return (split_named(folder),)
    return tuple(split for split in SPLITS if split in name)


def split_named(word):
    """The split that a word names: 'train', 'Training', 'trainSet', 'train2014', 'valid'; None for none."""
    word = word.lower().rstrip('0123456789_-')
    return _NAMES.get((word[:-3] if word.endswith('set') else word).rstrip('_-'))
