"""SALICON in each layout in which it was distributed, read one image at a time.

| layout | maps | fixations |
| --- | --- | --- |
| 2015 .mat | a .mat per image, `I` | a .mat per image, `I`, non-zero where fixated |
| 2015 JSON | none: made from the fixations | `fixations_train2014.json`, `fixations_val2014.json` |
| gaze .mat | images | a .mat per image, `gaze`: both editions, 2015 and 2017 |
| fixation maps | images | images, `.npy`, or `.mat` with `fixLocs` or `fixations`, non-zero where fixated |

`find` looks at the folders and returns a `DataSet`; its records list the files of each image, which
`DataSet.fixations(record)` and `.saliency_map(record)` read. Before that only JSON's index is read.
"""

import os
from functools import partial

import numpy as np

from utils.command_line import progress
from utils.data_sets import known, matlab, readers
from utils.data_sets.annotations import Annotations
from utils.data_sets.data_set import DataSet, Points, join
from utils.data_sets.readers import ARRAYS, IMAGES
from utils.errors import CouldNotStart, Unreadable
from utils.files import walk

MAT_2015, JSON, GAZE, FIXATION_MAPS = '2015 .mat', '2015 JSON', 'gaze .mat', 'fixation maps'
_EDITIONS = {MAT_2015: ', edition 2015', JSON: ', edition 2015', GAZE: ', edition 2015 or 2017'}


def find(
    salicon=None,
    images=None,
    maps=None,
    fixations=None,
    fixation_type='fixations',
    fixation_filter=None,
    ignore_orientation=False,
):
    """Finds the parts of a data set and its layout.

    Parameters
    ----------
    salicon : path, optional
        A folder with `images`, `maps` or `saliency`, `fixations` or `fixation`, or `fixations_*.json` in it.
    images, maps, fixations : path, optional
        These one by one; they take precedence over `salicon`. `fixations` may be a JSON file. Only the
        fixations are required: without the other folders, records have no image or map.
    fixation_type : 'fixations' or 'mouse'
        The gaze layout has both: the points inferred as fixations, and every mouse sample.
    fixation_filter : 'duplicates', 'none' or None
        'duplicates' is the SALICON challenge's filter: a location recorded m times is kept m - 1 times. None:
        'duplicates' for mouse samples, which JSON also contains, 'none' for fixations.

    ignore_orientation : bool
        Whether the EXIF orientation of images is ignored.

    Returns
    -------
    DataSet

    Raises
    ------
    CouldNotStart
        If nothing is found or no layout is recognised; the message is one sentence.
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
            'name the folders one by one with --images, --maps and --fixations, or do without by '
            '--without-fixations, since training needs none'
        )
    else:
        layout, fixation_files = _layout(fixations, problems)
    fixation_filter = _check_choices(layout, fixations, fixation_type, fixation_filter)
    image_files = _walk(images, IMAGES, problems) if images else {}
    map_files = _walk(maps, IMAGES | ARRAYS, problems, known.MAP_SUFFIX) if maps else {}
    records, renamed = join(image_files, map_files, fixation_files)
    annotated = {renamed[stem]: entry for stem, entry in annotated.items()}
    folders = {'images': images, 'maps': maps, 'fixations': fixations}
    read_points = {JSON: partial(_annotated_points, annotated), GAZE: partial(_read_gaze, fixation_type)}
    found = DataSet(
        layout,
        folders,
        records,
        read_points.get(layout, partial(_read_fixation_map, ignore_orientation)),
        problems,
        'mouse' if layout == JSON else fixation_type,
        fixation_filter,
        edition=_EDITIONS.get(layout, ''),
    )
    found.ignore_orientation = ignore_orientation
    found.notes += [
        f'{record.stem}: in {" and ".join(record.splits)}, as its name says'
        for record in records
        if len(record.splits) > 1
    ]
    return found


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


def _walk(folder, extensions, problems, suffix=''):
    """Stem -> path of the files in `folder` with one of these extensions.

    If some names end in `suffix`, only those are returned, with stems that omit it.
    """
    if not os.path.isdir(folder):
        raise CouldNotStart(f'{folder}: not a folder')
    found: dict = {}
    for relative in walk(folder):
        # note: deviation 7: the original cuts names at the first dot.
        stem, extension = os.path.splitext(relative)
        if os.path.basename(relative).startswith('.') or extension.lower() not in extensions:
            continue
        path = os.path.join(folder, relative)
        if found.setdefault(stem, path) != path:
            problems.append(f'{path}: left out, since {found[stem]} has the same name')
    ends = {stem[: -len(suffix)]: path for stem, path in found.items() if suffix and stem.endswith(suffix)}
    return ends or found


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
        files = _walk(folder, IMAGES | {'.npy'}, problems)
        if not files:
            raise CouldNotStart(f'{folder}: no fixations in it: no .mat, no fixations_*.json and no images')
        return FIXATION_MAPS, files
    why = ''
    for path in mat_files.values():
        try:
            variables = matlab.read(path)
        except Unreadable as error:
            why = why or str(error)
            continue  # reported when its image is read
        if 'gaze' in variables:
            return GAZE, mat_files
        if 'I' in variables:
            return MAT_2015, mat_files
        if any(isinstance(variables.get(name), np.ndarray) for name in readers.FIXATIONS_IN_MAT):
            return FIXATION_MAPS, mat_files
        why = f'{path} holds {readers.holds(variables)}'
    raise CouldNotStart(
        f'{folder}: none of its {len(mat_files)} .mat files holds a variable I (SALICON 2015), gaze '
        '(salicon.net today) or fixLocs (CAT2000), and it is none of the sets that `04-evaluate.py '
        f'--list-data-sets` names: {why}'
    )


def _check_choices(layout, path, fixation_type, fixation_filter):
    """The fixation filter that None stands for; raises CouldNotStart if the layout does not allow it."""
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


# --- the files ---


def _read_fixation_map(ignore_orientation, record):
    fixated = readers.read_fixation_map(record.fixations, ignore_orientation=ignore_orientation)
    return Points(np.argwhere(fixated), fixated.shape)


def _annotated_points(annotated, record):
    annotations, image_id = annotated[record.stem]
    points = annotations.points(image_id)
    return Points(_from_one(points), annotations.images[image_id][1], samples=len(points))


def _from_one(points):
    """1-based points, possibly fractional, as 0-based pixels."""
    return points.astype(np.int64) - 1 if points.dtype.kind in 'iu' else np.rint(points) - 1


def _read_gaze(fixation_type, record):
    """The `Points` of all observers in a gaze .mat."""
    path = record.fixations
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
    return Points(_from_one(points[:, ::-1]), (rows, columns), counts['fixations'], counts['location'])


def _variable(path, variables, name):
    if name not in variables:
        raise Unreadable(f'{path}: no variable {name} in it; it holds {readers.holds(variables)}')
    return variables[name]
