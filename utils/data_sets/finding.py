"""Finds a data set of any kind: a recognised one, or one in a layout of SALICON."""

import os

from utils.data_sets import known, known_sets, matlab, readers, salicon
from utils.data_sets.data_set import DataSet, join
from utils.errors import CouldNotStart


def find(
    root=None,
    images=None,
    maps=None,
    fixations=None,
    fixation_type='fixations',
    fixation_filter=None,
    keep_first=False,
    ignore_orientation=False,
    without_fixations=False,
):
    """Finds the parts of a data set and identifies it.

    Parameters
    ----------
    root : path, optional
        The folder of a set, as it is distributed.
    images, maps, fixations : path, optional
        Its parts one by one; they take precedence over those in `root`.
    fixation_type, fixation_filter : see `salicon.find`
    keep_first : bool
        Whether the first fixation of each of COCO-Freeview's scanpaths is kept.
    ignore_orientation : bool
        Whether the EXIF orientation of images is ignored.
    without_fixations : bool
        Whether only images and maps are read, without looking for fixations.

    Returns
    -------
    data_set.DataSet

    Raises
    ------
    CouldNotStart
        If nothing is found or recognised; the message is one sentence.
    """
    for path in filter(None, (root, images, maps, fixations)):
        if not os.path.exists(path):
            raise CouldNotStart(f'{path}: there is no such file or folder')
    if without_fixations:
        return _without_fixations(root, images, maps, ignore_orientation)
    found = known.recognise(fixations or root)
    if fixations and os.path.isdir(fixations):
        inside = (os.path.join(fixations, name) for name in ('fixations', 'fixation'))
        fixations = next(filter(os.path.isdir, inside), fixations)
    if found is None and str(fixations).lower().endswith('.mat') and os.path.isfile(fixations):
        raise CouldNotStart(
            f'{fixations}: the fixations of no known set; it holds {readers.holds(matlab.read(fixations))}'
        )
    if found is None or found.facts is known.SALICON:
        return salicon.find(root, images, maps, fixations, fixation_type, fixation_filter, ignore_orientation)
    if fixation_type == 'mouse':
        raise CouldNotStart(f'{found}: it holds no mouse samples; leave --fixation-type out')
    if fixation_filter == 'duplicates' and not found.facts.repeats:
        raise CouldNotStart(
            f'{found}: it holds every location once, so that the filter duplicates would keep none; '
            'leave --fixation-filter out'
        )
    if images:
        found = found._replace(images=(os.fspath(images),))
    if maps:
        found = found._replace(maps=os.fspath(maps))
    return known_sets.read(found, keep_first, fixation_filter or 'none', ignore_orientation)


def _without_fixations(root, images, maps, ignore_orientation):
    found = known.recognise(root) if root else None
    if found is None:
        inside = [os.path.join(root, name) for name in ('images', 'maps', 'saliency')] if root else []
        inside = [path for path in inside if os.path.isdir(path)]
        own_images = tuple(path for path in inside if path.endswith('images'))
        own_maps = next((path for path in inside if path not in own_images), None)
        found = known.Found(known.SALICON, root or images, own_images, maps=own_maps)
    found = found._replace(
        images=(os.fspath(images),) if images else found.images,
        maps=os.fspath(maps) if maps else found.maps,
    )
    if not found.images or not found.maps:
        lacking = 'images' if not found.images else 'maps'
        raise CouldNotStart(
            f'{root or images or maps}: no folder of {lacking} in it; name it with --{lacking} DIR'
        )
    records, _ = join(known.image_files(found), known.map_files(found), {})
    folders = {'images': found.images[0], 'maps': found.maps, 'fixations': None}
    facts = None if found.facts is known.SALICON else found.facts
    made = DataSet('without fixations', folders, records, None, facts=facts)
    made.without_fixations = True
    made.ignore_orientation |= ignore_orientation
    return made
