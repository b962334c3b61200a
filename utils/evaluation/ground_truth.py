"""The ground truth for a set of maps: the fixations on every image, and blurred maps of them.

Fixations are small and are kept, four bytes each; maps are made or read when they are needed.
"""

import os
import threading
from collections import Counter
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from utils import samples
from utils.command_line import listed, progress
from utils.data_sets import data_set, finding, known, salicon
from utils.data_sets.readers import check_shape
from utils.errors import CouldNotStart, Unreadable
from utils.evaluation import tuebingen
from utils.evaluation.maps import LARGEST, find_maps, match, read_map
from utils.parallel import in_order

SIGMA, SIDE = 19, 640  # of the blurred maps: 19 pixels for a longer side of 640
PICKLE = 'pickle'


class Image(NamedTuple):
    """The fixations of an image."""

    points: np.ndarray  # int, N x 2, (row, column), 0-based, duplicates kept
    size: tuple  # (rows, columns)


class GroundTruth:
    """The fixations of a set of images.

    Attributes
    ----------
    images : dict of str -> Image
        By stem: the path relative to the folder, without extension.
    layout, fixation_type, fixation_filter : str
        What they were read from, and which; the type is None if the layout has only one.
    set : str or None
        The name of the recognised data set.
    sigma : float or None
        Of the set's blur, in pixels; None for 19 at 640 x 480, scaled with the image.
    multiplicity : bool
        Whether the files record how often a pixel was fixated.
    said : list of str
        Remarks on the set.
    others : set of str
        Stems of the set's images that have no public fixations.
    blurred_from : str or None
        The folder of the blurred maps; None if they are made from the fixations.
    unread : dict of str -> str
        Stem -> one sentence, for each image whose fixations or blurred map could not be read.
    problems : list of str
        What else was wrong with the files: one sentence each.
    outside, read : int
        How many points were outside their image and dropped, and how many there were before any filter.
    totals : dict of str -> Counter
        Split -> how many 'images', 'mouse samples' and 'fixations' its files have before any filter.
    """

    def __init__(self, layout, fixation_type=None, fixation_filter='none'):
        self.layout, self.fixation_type, self.fixation_filter = layout, fixation_type, fixation_filter
        self.images, self.unread, self.problems, self.blurred_from = {}, {}, [], None
        self.outside, self.read, self.totals = 0, 0, {}
        self.set, self.sigma, self.multiplicity, self.said, self.others = None, None, True, [], set()
        self._image_paths, self._stretch = {}, False
        self._maps, self._counts, self._all = {}, {}, None
        self._start()

    def __getstate__(self):
        """For another process: without cached maps and without thread-specific objects."""
        return {name: value for name, value in vars(self).items() if name not in ('_lock', 'blurred')}

    def __setstate__(self, state):
        vars(self).update(state)
        self._start()

    def _start(self):
        self._lock = threading.Lock()
        self.blurred = lru_cache(maxsize=16)(self._blurred)  # the self-check asks for each a few times

    def add(self, stem, points, size):
        """Adds an image with its points packed."""
        kind = np.uint16 if max(size) <= 2**16 else np.int32
        self.images[stem] = Image(np.asarray(points).astype(kind).reshape(-1, 2), tuple(size))

    def blur_from(self, folder, allow_missing=False, stretch=False):
        """Uses the blurred maps in `folder`; images without one are dropped and named, if this is allowed.

        `stretch`: whether maps with a different aspect ratio from their image's are accepted.
        """
        self._stretch = stretch
        self.blurred.cache_clear()
        found = known.recognise(folder)
        files = known.map_files(found) if found and found.maps else {}
        files = files or find_maps(folder, known.MAP_SUFFIX)
        self._maps, missing, _ = match(self.images.keys(), files)
        if missing and not allow_missing:
            raise CouldNotStart(f'{folder}: no map of {listed(missing)}; --allow-missing continues without')
        for stem in missing:
            del self.images[stem]
            self.unread[stem] = f'{stem}: no map of it in {folder}'
        self.blurred_from = folder

    def image_path(self, stem):
        """The file of an image, None if it is not known."""
        return self._image_paths.get(stem)

    def empty(self):
        """The stems of the images without fixations, which are left out of all means."""
        return [stem for stem, image in self.images.items() if not len(image.points)]

    def all_fixations(self):
        """All images' fixations, scaled to the size of any of them: a `tuebingen.OtherFixations`."""
        with self._lock:
            if self._all is None:
                self._all = tuebingen.OtherFixations(self.images.values())
            return self._all

    def fixation_map(self, stem):
        """Bool array of the image's size, True where fixated."""
        points, size = self.images[stem]
        fixated = np.zeros(size, bool)
        fixated[tuple(points.T)] = True
        return fixated

    def _blurred(self, stem):
        """The continuous ground truth: float or uint8 array, at the image's size or as it was read."""
        points, size = self.images[stem]
        if self.blurred_from:
            blurred = read_map(self._maps[stem])
            if not self._stretch:
                check_shape(blurred.shape, size, self._maps[stem])
            return blurred
        return data_set.blurred_map(points, size, self.sigma or SIGMA * max(size) / SIDE)

    def counts(self, size):
        """How many images are fixated at each pixel, all scaled to `size`; int32 array of that size."""
        with self._lock:
            if size not in self._counts:
                counts = np.zeros(size, np.int32)
                for image in self.images.values():
                    counts[_pixels(image, size)] += 1
                self._counts = {size: counts}  # most sets have one size: only one is kept
            return self._counts[size]

    def other_fixations(self, stem, number, seed):
        """How many of `number` random other images (0: all) are fixated at each pixel of this one."""
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
    """Row and column indices of an image's fixated pixels, each once, scaled to another size."""
    points = image.points
    if image.size != size:
        points = (points + 0.5) * (np.array(size) / image.size)
    flat = np.unique(points[:, 0].astype(np.int64) * size[1] + points[:, 1].astype(np.int64))
    return np.divmod(flat, size[1])


def read(
    path,
    fixation_type=None,
    fixation_filter=None,
    workers=1,
    protocol='mit',
    keep_first=False,
    ignore_orientation=False,
):
    """Reads the fixations at `path`.

    Parameters
    ----------
    path : path
        A data set as it is distributed, see `known`; a folder or a JSON file in one of SALICON's layouts, a
        folder of fixation maps (images, nonzero where fixated), or a pickle made by 01.
    fixation_type, fixation_filter : str or None
        See `salicon.find`; under the protocol tuebingen the default is no filter.
    keep_first, ignore_orientation : bool
        See `finding.find`.
    workers : int
        Threads.

    Returns
    -------
    GroundTruth

    Raises
    ------
    CouldNotStart
        If nothing can be read.
    """
    if not os.path.exists(path):
        raise CouldNotStart(f'{path}: there is no such file or folder')
    if os.path.isfile(path) and path.lower().endswith(samples.EXTENSIONS):
        truth = _from_pickle(path, fixation_type, fixation_filter)
    elif os.path.isfile(path) and not path.lower().endswith(('.json', '.mat')):
        raise CouldNotStart(f'{path}: neither a folder, nor a .json, a .mat or a pickle of 01')
    else:
        fixation_filter = fixation_filter or ('none' if protocol == 'tuebingen' else None)
        found = finding.find(
            fixations=path,
            fixation_type=fixation_type or 'fixations',
            fixation_filter=fixation_filter,
            keep_first=keep_first,
            ignore_orientation=ignore_orientation,
        )
        truth = _from_data_set(found, fixation_type or 'fixations', workers)
    if not truth.images:
        reasons = [*truth.unread.values(), *truth.problems]
        raise CouldNotStart(f'{path}: no image with fixations in it' + (f': {reasons[0]}' if reasons else ''))
    return truth


def read_for(options, workers=1):
    """The `GroundTruth` that the options of 04 name."""
    truth = read(
        options.fixations,
        options.fixation_type,
        options.fixation_filter,
        workers,
        options.protocol,
        options.first_fixations == 'keep',
        options.ignore_orientation,
    )
    truth.sigma = options.blur_sigma or truth.sigma
    if options.ground_truth:
        truth.blur_from(options.ground_truth, options.allow_missing, options.stretch)
    return truth


def _from_data_set(found, fixation_type, workers):
    shown = fixation_type if found.layout == salicon.GAZE else None
    truth = GroundTruth(found.layout, shown, found.fixation_filter)
    truth.sigma, truth.said, truth.others = found.sigma, found.notes, set(found.others)
    if found.facts:
        truth.set, truth.multiplicity = found.facts.name, found.facts.repeats
    elif found.layout in (salicon.FIXATION_MAPS, salicon.MAT_2015):
        truth.multiplicity = False
    else:
        truth.set = known.SALICON.name
    truth.problems += found.problems
    reading = in_order(partial(_read_record, found), found.records, workers)
    for record, fixations in zip(
        found.records, progress(reading, total=len(found.records), unit='image', desc='fixations')
    ):
        if isinstance(fixations, str):
            truth.unread[record.stem] = fixations
            continue
        truth.add(record.stem, fixations.points, fixations.size)
        truth._image_paths[record.stem] = record.image
        truth.outside += fixations.outside
        before = fixations.recorded if fixation_type == 'fixations' else None
        truth.read += before or fixations.samples or len(fixations.points) + fixations.outside
        for split in record.splits:
            totals = truth.totals.setdefault(split, Counter())
            totals.update({'images': 1, 'mouse samples': fixations.samples or 0})
            totals['fixations'] += fixations.recorded or 0
    return truth


def _read_record(found, record):
    """The record's fixations, or one sentence on why there are none."""
    try:
        return found.fixations(record)
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
    """The stem of a sample: the path below `images/` if 01 wrote it, otherwise its file's name."""
    path = getattr(sample.image, 'filePath', None)
    path = path.decode('utf-8', 'replace') if isinstance(path, bytes) else path
    if not isinstance(path, str) or not path:
        return f'{number:06d}'
    path = os.path.splitext(path.replace('\\', '/'))[0]
    return path[len('images/') :] if path.startswith('images/') else path.rpartition('/')[2]
