"""What a set of maps is held against: the fixations of every image, and blurred maps of them.

Fixations are small and are kept, four bytes each; maps are made or read when an image's turn comes.
"""

import os
import threading
from collections import Counter, namedtuple
from functools import lru_cache, partial

import numpy as np

from utils import samples
from utils.command_line import listed, progress
from utils.data_sets import salicon
from utils.errors import CouldNotStart, Unreadable
from utils.evaluation.maps import LARGEST, find_maps, match, read_map
from utils.parallel import in_order

SIGMA, SIDE = 19, 640  # of the blurred maps: 19 pixels where the longer side has 640
PICKLE = 'pickle'

Image = namedtuple('Image', 'points size')
Image.__doc__ = """The fixations of an image: `points`, int array N x 2, (row, column), 0-based, duplicates
kept; `size`, its (rows, columns)."""


class GroundTruth:
    """The fixations of a set of images.

    Attributes
    ----------
    images : dict of str -> Image
        By stem: the path relative to the folder, without extension.
    layout, fixation_type, fixation_filter : str
        What they were read from, and which; a type is None where the layout has one only.
    blurred_from : str or None
        The folder of the blurred maps; None where they are made of the fixations.
    unread : dict of str -> str
        Stem -> one sentence, of each image whose fixations or blurred map could not be read.
    problems : list of str
        What else was wrong with the files: one sentence each.
    outside, read : int
        How many points lay outside their image and were dropped, of how many before any filter.
    totals : dict of str -> Counter
        Split -> how many 'images', 'mouse samples' and 'fixations' its files hold before any filter.
    """

    def __init__(self, layout, fixation_type=None, fixation_filter='none'):
        self.layout, self.fixation_type, self.fixation_filter = layout, fixation_type, fixation_filter
        self.images, self.unread, self.problems, self.blurred_from = {}, {}, [], None
        self.outside, self.read, self.totals = 0, 0, {}
        self._maps, self._counts, self._lock = {}, {}, threading.Lock()
        self.blurred = lru_cache(maxsize=16)(self._blurred)  # the self-check asks for each a few times

    def add(self, stem, points, size):
        """Adds an image, its points packed."""
        kind = np.uint16 if max(size) <= 2**16 else np.int32
        self.images[stem] = Image(np.asarray(points).astype(kind).reshape(-1, 2), tuple(size))

    def blur_from(self, folder, allow_missing=False):
        """Takes the blurred maps from `folder`; images without one are dropped, and named, if allowed."""
        self.blurred.cache_clear()
        self._maps, missing, _ = match(self.images.keys(), find_maps(folder))
        if missing and not allow_missing:
            raise CouldNotStart(f'{folder}: no map of {listed(missing)}; --allow-missing goes on without')
        for stem in missing:
            del self.images[stem]
            self.unread[stem] = f'{stem}: no map of it in {folder}'
        self.blurred_from = folder

    def fixation_map(self, stem):
        """Bool array of the image's size, True where fixated."""
        points, size = self.images[stem]
        fixated = np.zeros(size, bool)
        fixated[tuple(points.T)] = True
        return fixated

    def _blurred(self, stem):
        """The continuous ground truth: float or uint8 array, of the image's size or as it was read."""
        points, size = self.images[stem]
        if self.blurred_from:
            return read_map(self._maps[stem])
        return salicon.blurred_map(points, size, SIGMA * max(size) / SIDE)

    def counts(self, size):
        """How many images are fixated at each pixel, all brought to `size`; int32 array of that size."""
        with self._lock:
            if size not in self._counts:
                counts = np.zeros(size, np.int32)
                for image in self.images.values():
                    counts[_pixels(image, size)] += 1
                self._counts = {size: counts}  # sets of one size are the rule: no more than one is kept
            return self._counts[size]

    def other_fixations(self, stem, number, seed):
        """How many of `number` random other images (0: of all) are fixated at each pixel of this one."""
        image = self.images[stem]
        if not number:
            counts = self.counts(image.size).copy()
            counts[_pixels(image, image.size)] -= 1
            return counts
        others = [other for other in self.images if other != stem]
        drawn = np.random.RandomState(seed).permutation(len(others))[:number]
        counts = np.zeros(image.size, np.int32)
        for i in drawn:
            counts[_pixels(self.images[others[i]], image.size)] += 1
        return counts


def _pixels(image, size):
    """Row and column indices of an image's fixated pixels, each once, brought to another size."""
    points = image.points
    if image.size != size:
        points = (points + 0.5) * (np.array(size) / image.size)
    flat = np.unique(points[:, 0].astype(np.int64) * size[1] + points[:, 1].astype(np.int64))
    return np.divmod(flat, size[1])


def read(path, fixation_type=None, fixation_filter=None, workers=1):
    """Reads the fixations at `path`.

    Parameters
    ----------
    path : path
        A folder or a JSON file in one of SALICON's layouts, a folder of fixation maps (images, non-zero where
        fixated), or a pickle of 01.
    fixation_type, fixation_filter : str or None
        See `salicon.find`.
    workers : int
        Threads.

    Returns
    -------
    GroundTruth

    Raises
    ------
    CouldNotStart
        If there is nothing that can be read.
    """
    if not os.path.exists(path):
        raise CouldNotStart(f'{path}: there is no such file or folder')
    if os.path.isfile(path) and not path.lower().endswith('.json'):
        truth = _from_pickle(path, fixation_type, fixation_filter)
    else:
        truth = _from_data_set(path, fixation_type or 'fixations', fixation_filter, workers)
    if not truth.images:
        reasons = [*truth.unread.values(), *truth.problems]
        raise CouldNotStart(f'{path}: no image with fixations in it' + (f': {reasons[0]}' if reasons else ''))
    return truth


def _from_data_set(path, fixation_type, fixation_filter, workers):
    inside = [os.path.join(path, name) for name in ('fixations', 'fixation')]
    path = next((folder for folder in inside if os.path.isdir(folder)), path)
    data_set = salicon.find(fixations=path, fixation_type=fixation_type, fixation_filter=fixation_filter)
    shown = fixation_type if data_set.layout == salicon.GAZE else None
    truth = GroundTruth(data_set.layout, shown, data_set.fixation_filter)
    truth.problems += data_set.problems
    reading = in_order(partial(_read_record, data_set), data_set.records, workers)
    for record, fixations in zip(
        data_set.records, progress(reading, total=len(data_set.records), unit='image', desc='fixations')
    ):
        if isinstance(fixations, str):
            truth.unread[record.stem] = fixations
            continue
        truth.add(record.stem, fixations.points, fixations.size)
        truth.outside += fixations.outside
        before = fixations.recorded if fixation_type == 'fixations' else None
        truth.read += before or fixations.samples or len(fixations.points) + fixations.outside
        for split in record.splits:
            totals = truth.totals.setdefault(split, Counter())
            totals.update({'images': 1, 'mouse samples': fixations.samples or 0})
            totals['fixations'] += fixations.recorded or 0
    return truth


def _read_record(data_set, record):
    """The record's fixations, or one sentence on why there are none."""
    path, drawn = record.fixations, data_set.layout in (salicon.FIXATION_MAPS, salicon.MAT_2015)
    try:
        if drawn and path.lower().endswith(('.jpg', '.jpeg')):
            raise Unreadable(f'{path}: JPEG smears single pixels, so that it holds no fixations; use PNG')
        fixations = data_set.fixations(record)
        if drawn and len(fixations.points) > fixations.size[0] * fixations.size[1] / 2:
            raise Unreadable(
                f'{path}: more than half of its pixels are fixated; a blurred map? it goes to --ground-truth'
            )
        return fixations
    except Unreadable as error:
        return str(error)


def _from_pickle(path, fixation_type, fixation_filter):
    if fixation_type or fixation_filter:
        raise CouldNotStart(
            f'{path}: a pickle holds the fixations as 01 chose them; leave --fixation-type and '
            '--fixation-filter out'
        )
    truth = GroundTruth(PICKLE, None, 'as in the pickle')
    for number, sample in enumerate(samples.read(path)):
        if sample.fixation is None:
            continue
        stem = sample_stem(sample, number)
        points = np.stack(sample.fixation.data, axis=1)
        if stem in truth.images:
            truth.problems.append(f'{path}: sample {number} has the name of another, {stem}')
        elif (points < 0).any() or (points >= sample.size).any() or np.prod(sample.size) > LARGEST:
            truth.unread[stem] = f'{path}: fixations of sample {number}, {stem}, lie outside the image'
        else:
            truth.add(stem, points, sample.size)
            truth.read += len(points)
    return truth


def sample_stem(sample, number):
    """The stem of a sample: the path below `images/` where 01 wrote it, else its file's name."""
    path = getattr(sample.image, 'filePath', None)
    path = path.decode('utf-8', 'replace') if isinstance(path, bytes) else path
    if not isinstance(path, str) or not path:
        return f'{number:06d}'
    path = os.path.splitext(path.replace('\\', '/'))[0]
    return path[len('images/') :] if path.startswith('images/') else path.rpartition('/')[2]
