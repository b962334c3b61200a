"""SALICON in each layout that it was handed out in, read one image at a time.

| layout | maps | fixations |
| --- | --- | --- |
| 2015 .mat | a .mat per image, `I` | a .mat per image, `I`, non-zero where fixated |
| 2015 JSON | none: made from the fixations | `fixations_train2014.json`, `fixations_val2014.json` |
| gaze .mat | images | a .mat per image, `gaze`: both editions, 2015 and 2017 |
| fixation maps | images | images, non-zero where fixated: MIT300-like sets |

`find` looks at the folders and returns a `DataSet`; its records say what there is of each image, and
`DataSet.fixations(record)` and `.saliency_map(record)` read it. Nothing is read before, but for JSON's index.
"""

import os
from collections import namedtuple

import cv2
import numpy as np

from utils.command_line import progress
from utils.data_sets import matlab
from utils.data_sets.annotations import Annotations
from utils.errors import CouldNotStart, Unreadable
from utils.files import read_bytes
from utils.images import decode, read_grey

SPLITS = ('train', 'val', 'test')
IMAGES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.jp2'}
MAT_2015, JSON, GAZE, FIXATION_MAPS = '2015 .mat', '2015 JSON', 'gaze .mat', 'fixation maps'
LARGEST = 2**28  # pixels of an image; more is a mistake or an attack

Record = namedtuple('Record', 'stem splits image map fixations')
Record.__doc__ = """What there is of one image: paths, None where missing.

`stem` is the path relative to its folder without extension, such as 'train/COCO_train2014_000000000009';
`splits` those of 'train', 'val', 'test' that it belongs to.
"""

Fixations = namedtuple('Fixations', 'points size outside recorded samples')
Fixations.__doc__ = """The fixations of one image.

`points`: int64 array, N x 2, (row, column), 0-based, in the order of rows, then columns; one that was
recorded several times is there several times. `size`: (rows, columns) of the image. `outside`: how many lay
outside the image and were dropped. `recorded` and `samples`: how many fixations and mouse samples the file
holds, before any filter; None where it does not say.
"""


class DataSet:
    """What `find` found.

    Attributes
    ----------
    layout : str
        One of `MAT_2015`, `JSON`, `GAZE`, `FIXATION_MAPS`.
    records : list of Record
        Sorted by name.
    problems : list of str
        What was wrong with the folders themselves: one sentence each, which names the file.
    folders : dict
        'images', 'maps', 'fixations' -> path, None where there is none.
    fixation_type : 'fixations' or 'mouse'
        Which points of the gaze layout are read.
    fixation_filter : 'duplicates' or 'none'
    """

    def __init__(self, layout, folders, records, problems, fixation_type, fixation_filter, annotated):
        self.layout, self.folders, self.records, self.problems = layout, folders, records, problems
        self.fixation_type, self.fixation_filter = fixation_type, fixation_filter
        self._annotated = annotated  # stem -> (Annotations, image id)

    def describe(self):
        """The layout, its edition where that is known, and which points are read, as one line."""
        edition = {MAT_2015: ', edition 2015', JSON: ', edition 2015', GAZE: ', edition 2015 or 2017'}
        points = 'mouse samples' if self.layout == JSON or self.fixation_type == 'mouse' else 'fixations'
        return (
            f'layout: {self.layout}{edition.get(self.layout, "")}; '
            f'points: {points}, fixation filter: {self.fixation_filter}'
        )

    def fixations(self, record):
        """Reads the `Fixations` of a record.

        Raises
        ------
        Unreadable
            One sentence that names the file, where it is broken or holds something else.
        """
        recorded = samples = None
        if self.layout == JSON:
            annotations, image_id = self._annotated[record.stem]
            points, size = annotations.points(image_id), annotations.images[image_id][1]
            samples = len(points)
        elif self.layout == GAZE:
            points, size, recorded, samples = _read_gaze(record.fixations, self.fixation_type)
        else:
            fixation_map = _read_fixation_map(record.fixations)
            points, size = np.argwhere(fixation_map) + 1, fixation_map.shape
        if size[0] * size[1] > LARGEST:
            raise Unreadable(f'{record.fixations}: an image of {size[1]} x {size[0]} is too large')
        points = points if points.dtype.kind in 'iu' else np.rint(points)
        rows, columns = points.T
        # 1-based as in the files; a nan or inf lies outside
        inside = (rows >= 1) & (rows <= size[0]) & (columns >= 1) & (columns <= size[1])
        rows, columns = (axis[inside].astype(np.int64) - 1 for axis in (rows, columns))
        places = np.sort(rows * size[1] + columns)
        if self.fixation_filter == 'duplicates':
            places = places[1:][places[1:] == places[:-1]]
        # note: deviation 21: a pixel that was fixated several times is there several times; the
        # original's layout cannot say how often.
        kept = np.empty((len(places), 2), np.int64)
        kept[:, 0], kept[:, 1] = np.divmod(places, size[1])
        return Fixations(kept, size, len(points) - len(rows), recorded, samples)

    def saliency_map(self, record, fixations=None, data=None):
        """The ground truth as the original made it: uint8, (rows, columns) of the image.

        Read from the record's map, or from `data`, the bytes of its file; where there is none, made of
        `fixations` (read if not given) by `blurred_map`.

        Raises
        ------
        Unreadable
            As `fixations` does.
        """
        if record.map is None:
            fixations = fixations or self.fixations(record)
            return to_uint8(blurred_map(fixations.points, fixations.size))
        data = read_bytes(record.map) if data is None else data
        if not _is_mat(record.map):
            return decode(data, record.map, cv2.IMREAD_GRAYSCALE)
        saliency = _matrix(record.map, matlab.read(record.map, data=data))
        if saliency.dtype.kind != 'f':
            raise Unreadable(f'{record.map}: its variable I holds {saliency.dtype}, not floats in 0..1')
        if not np.all((saliency > -1 / 255) & (saliency < 256 / 255)):
            raise Unreadable(f'{record.map}: its variable I has values outside 0..1')
        return to_uint8(saliency)


def find(
    salicon=None, images=None, maps=None, fixations=None, fixation_type='fixations', fixation_filter=None
):
    """Finds what there is of a data set and says in which layout.

    Parameters
    ----------
    salicon : path, optional
        A folder with `images`, `maps` or `saliency`, `fixations` or `fixation`, or `fixations_*.json` in it.
    images, maps, fixations : path, optional
        These one by one; they come before what `salicon` has. `fixations` may be a JSON file. Only the
        fixations are needed: records lack the image or the map where there is no such folder.
    fixation_type : 'fixations' or 'mouse'
        The gaze layout has both: the points inferred as fixations, and every mouse sample.
    fixation_filter : 'duplicates', 'none' or None
        'duplicates' is that of the SALICON challenge's evaluator: a location recorded m times is kept m - 1
        times. None: 'duplicates' for mouse samples, which JSON holds too, 'none' for fixations.

    Returns
    -------
    DataSet

    Raises
    ------
    CouldNotStart
        One sentence, where nothing is found or no layout recognised.
    """
    salicon, images, maps, fixations = (
        os.fspath(path) if path else None for path in (salicon, images, maps, fixations)
    )
    for path in (salicon, images, maps, fixations):
        if path and not os.path.exists(path):
            raise CouldNotStart(f'{path}: there is no such file or folder')
    images = images or _first(salicon, ['images'])
    maps = maps or _first(salicon, ['maps', 'saliency'])
    fixations = fixations or _first(salicon, ['fixations', 'fixation']) or salicon
    problems: list = []
    annotated: dict = {}
    json_files = _json_files(fixations)
    if json_files:
        layout = JSON
        annotated, fixation_files = _annotated(json_files, problems)
    elif fixations == salicon:
        raise CouldNotStart(
            f'{salicon}: no folder `fixations` or `fixation` and no `fixations_*.json` in it; '
            'name the folders one by one with --images, --maps and --fixations'
        )
    else:
        layout, fixation_files = _layout(fixations, problems)
    fixation_filter = _check_choices(layout, fixations, fixation_type, fixation_filter)
    image_files = _walk(images, IMAGES, problems) if images else {}
    map_files = _walk(maps, IMAGES | {'.mat'}, problems) if maps else {}
    records, renamed = _join(image_files, map_files, fixation_files)
    annotated = {renamed[stem]: entry for stem, entry in annotated.items()}
    folders = {'images': images, 'maps': maps, 'fixations': fixations}
    return DataSet(layout, folders, records, problems, fixation_type, fixation_filter, annotated)


def blurred_map(points, size, sigma=19):
    """The ground truth that the SALICON challenge's evaluator makes of fixations.

    A binary map of the points (1, however often), blurred by a Gaussian with reflected borders, cut off at
    4 sigma, then scaled to 0..1.

    Parameters
    ----------
    points : int array, N x 2, (row, column), 0-based
    size : (rows, columns)
    sigma : float, pixels
        19 is the evaluator's, for 640 x 480.

    Returns
    -------
    float64 array, shape `size`, 0..1; all zeros where there are no points.
    """
    import scipy.ndimage

    fixation_map = np.zeros(size)
    fixation_map[points[:, 0], points[:, 1]] = 1
    blurred = scipy.ndimage.gaussian_filter(fixation_map, sigma)
    lowest, highest = blurred.min(), blurred.max()
    return (blurred - lowest) / (highest - lowest) if highest > lowest else fixation_map


def to_uint8(saliency_map):
    """A map of 0..1 in 0..255, as the original converts it: it truncates."""
    return (saliency_map * 255).astype(np.uint8)


# --- the folders ---


def _first(folder, names):
    """The first of the folders `names` that is in `folder`, or None."""
    paths = [os.path.join(folder, name) for name in names] if folder else []
    return next((path for path in paths if os.path.isdir(path)), None)


def _json_files(path):
    if not os.path.isdir(path):
        return [path] if path.lower().endswith('.json') else []
    names = sorted(n for n in os.listdir(path) if n.startswith('fixations') and n.lower().endswith('.json'))
    return [os.path.join(path, name) for name in names]


def _walk(folder, extensions, problems):
    """Relative path without extension -> path, of the files in `folder` with one of these extensions."""
    if not os.path.isdir(folder):
        raise CouldNotStart(f'{folder}: not a folder')
    found: dict = {}
    visited = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(parent)
        if real in visited:  # a link to one of its own parents
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(names):
            # note: deviation 7: the original cuts names at the first dot.
            stem, extension = os.path.splitext(name)
            if name.startswith('.') or extension.lower() not in extensions:
                continue
            path = os.path.join(parent, name)
            stem = os.path.normpath(os.path.join(os.path.relpath(parent, folder), stem))
            if found.setdefault(stem, path) != path:
                problems.append(f'{path}: left out, since {found[stem]} has the same name')
    return found


def _refuse(error):
    raise CouldNotStart(f'cannot read the folder {error.filename}: {error.strerror}')


def _annotated(json_files, problems):
    """stem -> (Annotations, image id), and stem -> path, of every image that the JSON files list."""
    annotated: dict = {}
    files: dict = {}
    for path in json_files:
        with progress(total=os.path.getsize(path), unit='B', unit_scale=True, leave=False) as bar:
            annotations = Annotations(path, bar.update)
        if annotations.unlisted:
            problems.append(f'{path}: {annotations.unlisted} annotations are of images that it does not list')
        for image_id, (name, _) in annotations.images.items():
            stem = os.path.splitext(name.replace('\\', '/').rpartition('/')[2])[0]
            if stem in annotated:
                problems.append(f'{path}: {name} is left out, since {files[stem]} lists it too')
            else:
                annotated[stem], files[stem] = (annotations, image_id), path
    return annotated, files


def _layout(folder, problems):
    """The layout of a folder of fixations, and stem -> path of its files."""
    mat_files = _walk(folder, {'.mat'}, problems)
    if not mat_files:
        files = _walk(folder, IMAGES, problems)
        if not files:
            raise CouldNotStart(f'{folder}: no fixations in it: no .mat, no fixations_*.json and no images')
        return FIXATION_MAPS, files
    for path in mat_files.values():
        try:
            names = matlab.read(path)
        except Unreadable:
            continue  # named when its image's turn comes
        if 'gaze' in names:
            return GAZE, mat_files
        if 'I' in names:
            return MAT_2015, mat_files
    raise CouldNotStart(
        f'{folder}: none of its {len(mat_files)} .mat files holds a variable I (SALICON 2015) '
        'or gaze (salicon.net today)'
    )


def _check_choices(layout, path, fixation_type, fixation_filter):
    """The fixation filter that None stands for; raises CouldNotStart for what the layout does not have."""
    if layout in (MAT_2015, FIXATION_MAPS):
        if fixation_type == 'mouse':
            raise CouldNotStart(
                f'{path}: the layout {layout} holds no mouse samples; leave --fixation-type out'
            )
        if fixation_filter == 'duplicates':
            raise CouldNotStart(
                f'{path}: {layout} holds every location once, so that the filter duplicates would keep '
                'none; leave --fixation-filter out'
            )
    mouse = layout == JSON or fixation_type == 'mouse'
    return fixation_filter or ('duplicates' if mouse else 'none')


def _join(images, maps, fixations):
    """The records of all stems, and the stem under which each of `fixations` stands there.

    A file belongs to the image of the same relative path; where there is none, to the one image of the same
    name: some hand out images in one folder and maps in folders by split.
    """
    by_name: dict = {}
    for stem in images:
        by_name.setdefault(os.path.basename(stem), []).append(stem)

    def join(files):
        joined = {stem: stem for stem in files if stem in images}
        taken = set(joined)
        for stem in sorted(files.keys() - taken):
            candidates = by_name.get(os.path.basename(stem), [])
            joined[stem] = candidates[0] if len(candidates) == 1 and candidates[0] not in taken else stem
            taken.add(joined[stem])
        return joined

    renamed = join(fixations)
    maps = {new: maps[stem] for stem, new in join(maps).items()}
    fixations = {new: fixations[stem] for stem, new in renamed.items()}
    # note: deviation 6: the original's order is that in which glob finds the maps, which differs
    # from one disk to the next.
    every = images.keys() | maps.keys() | fixations.keys()
    stems = sorted(every, key=lambda stem: (os.path.basename(stem), stem))
    return [
        Record(stem, _splits(stem), images.get(stem), maps.get(stem), fixations.get(stem)) for stem in stems
    ], renamed


def _splits(stem):
    """Those that the file's name has in it, as in the original; its folder's where its name lacks that."""
    folder, _, name = stem.rpartition('/')
    named = tuple(split for split in SPLITS if split in name)
    folders = [split for split in SPLITS if split in folder.split('/')]
    return named if not folders or folders[0] in named else (folders[0],)


# --- the files ---


def _is_mat(path):
    return path.lower().endswith('.mat')


def _read_fixation_map(path):
    return _matrix(path, matlab.read(path)) if _is_mat(path) else read_grey(path)


def _read_gaze(path, fixation_type):
    """All observers' points of a gaze .mat, (row, column), 1-based; the size; how many of either type."""
    wanted, other = ('location', 'fixations') if fixation_type == 'mouse' else ('fixations', 'location')
    variables = matlab.read(path, [wanted])
    gaze, resolution = _variable(path, variables, 'gaze'), _variable(path, variables, 'resolution')
    try:
        if not isinstance(gaze, dict):
            raise ValueError
        rows, columns = (int(side) for side in np.ravel(resolution))
        if min(rows, columns) < 1:
            raise ValueError
        # MATLAB may have saved the empty ones in any shape.
        pooled = [array for array in gaze[wanted] if array.size]
        points = np.concatenate(pooled or [np.empty((0, 2))])
        if points.shape[1] != 2:
            raise ValueError
        counts = {wanted: len(points), other: sum(shape[0] for shape in gaze[other] if shape[1])}
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError):
        raise Unreadable(
            f'{path}: its variables gaze and resolution are not what SALICON hands out, a struct array with '
            'fields location and fixations (N x 2), and (rows, columns)'
        ) from None
    return points[:, ::-1], (rows, columns), counts['fixations'], counts['location']


def _matrix(path, variables):
    """The matrix `I` among the variables of a .mat."""
    matrix = _variable(path, variables, 'I')
    if not isinstance(matrix, np.ndarray) or not 0 < matrix.size <= LARGEST:
        raise Unreadable(f'{path}: its variable I is not a matrix of numbers')
    return matrix


def _variable(path, variables, name):
    if name not in variables:
        held = ', '.join(sorted(variables)) or 'nothing'
        raise Unreadable(f'{path}: no variable {name} in it (it holds {held})')
    return variables[name]
