"""Reads a data set that `known.recognise` found: its fixations, one image at a time."""

import os

import numpy as np

from utils.command_line import counted, listed
from utils.data_sets import known, matlab, matlab_sets, readers
from utils.data_sets.data_set import DataSet, Points, join, splits_of
from utils.data_sets.scanpaths import Scanpaths
from utils.errors import CouldNotStart, Unreadable
from utils.images import orientation_of, stored_size

# (rows, columns) of all images of a set, for when the images themselves are missing
_SIZES = {known.OSIE: (600, 800), known.COCO_FREEVIEW: (1050, 1680)}


def read(found, keep_first=False, fixation_filter='none', ignore_orientation=False):
    """Reads a set whose fixations are in one file, and lists the images.

    Parameters
    ----------
    found : known.Found
    keep_first : bool
        Whether the first fixation of each of COCO-Freeview's scanpaths is kept.
    fixation_filter : 'duplicates' or 'none'
    ignore_orientation : bool
        Whether the EXIF orientation of its images is ignored; always so if it is known to be wrong.

    Returns
    -------
    data_set.DataSet
        Images without fixations, such as CAT2000's other half, are in `others` instead of `records`.

    Raises
    ------
    CouldNotStart, Unreadable
        If the set has no fixations or they cannot be read; the message is one sentence.
    """
    if not found.fixations:
        where = 'private' if found.facts is known.MIT300 else f'missing: {found.facts.files}'
        raise CouldNotStart(f'{found.root}: {found.facts.name}, whose fixations are {where}')
    images = known.image_files(found)
    per_file = found.facts in (known.MIT1003, known.CAT2000, known.FIWI, known.SUFFIXED, known.TRANSALNET)
    split_of, read_points = splits_of, None
    if per_file or found.facts is known.DUT_OMRON:
        suffix = known.FIXATIONS_SUFFIX if found.facts in (known.MIT1003, known.SUFFIXED) else ''
        files = known.files_of(found.fixations, suffix)
        read_points = _from_map if per_file else _from_dut_omron
    else:
        held, split_of = _held_in_one_file(found, keep_first)
        files = dict.fromkeys(held, found.fixations)
    records, renamed = join(images, known.map_files(found), files, split_of)
    others = [record.stem for record in records if record.image and not record.fixations]
    records = [record for record in records if record.fixations]
    if read_points is None:
        stems = {new: old for old, new in renamed.items()}
        read_points = _from_held({new: held[old] for new, old in stems.items()}, found)
    folders = {'images': found.images[0] if found.images else None, 'maps': found.maps}
    facts = found.facts
    made = DataSet(
        facts.name,
        {**folders, 'fixations': found.fixations},
        records,
        read_points,
        fixation_filter=fixation_filter,
        facts=facts,
        notes=_notes(found, records, others, keep_first),
    )
    made.ignore_orientation |= ignore_orientation
    made.others = others
    return made


def _notes(found, records, others, keep_first):
    facts = found.facts
    there = sum(record.fixations is not None for record in records)
    of = f'{there} of {facts.images} images' if facts.images else counted(there, 'image')
    blur = f'blur {facts.sigma:g} pixels' if facts.sigma else 'no blur of its own'
    yield f'{found.root}: {facts.name}, fixations of {of}; {blur}'
    if facts.loses:
        yield f'{facts.name}: its files do not tell {facts.loses}, so that each counts once'
    if facts is known.OSIE:
        yield 'OSIE: coordinates are rounded and taken from 1, as its authors do'
    if facts is known.COCO_FREEVIEW:
        yield f'{facts.name}: the first fixation of each scanpath is {"kept" if keep_first else "left out"}'
    without = sum(record.image is None for record in records)
    if found.images and without:
        yield f'{found.root}: fixations without their image: {without}'
    turned = [record.stem for record in records if record.image and orientation_of(record.image) != 1]
    if turned and not facts.ignore_orientation:
        yield (
            f'{found.root}: EXIF turns {counted(len(turned), "image")}, but fixations are of the images as '
            f'they are stored, so predict with --ignore-orientation: {listed(turned, 3)}'
        )
    if others:
        yield f'{found.root}: no fixations of {counted(len(others), "image")}: {listed(others, 3)}'


def _from_map(record):
    fixated = readers.read_fixation_map(record.fixations, ignore_orientation=True)
    return Points(np.argwhere(fixated), fixated.shape)


def _from_dut_omron(record):
    variables = matlab.read(record.fixations)
    try:
        return Points(*matlab_sets.dut_omron(variables))
    except ValueError as error:
        held = readers.holds(variables)
        raise Unreadable(f'{record.fixations}: {error}; it holds {held}') from None


def _held_in_one_file(found, keep_first):
    """Image's name -> its entry in the set's single file; and a function that gives the splits of a stem."""
    path, facts = found.fixations, found.facts
    if facts is known.COCO_FREEVIEW:
        scanpaths = Scanpaths([path])
        splits = scanpaths.images

        def split_of(stem):
            split = splits.get(stem.rpartition('/')[2])
            return (split,) if split else splits_of(stem)

        return {name: scanpaths.points(name, keep_first) for name in splits}, split_of
    variables = matlab.read(path)
    read_cells = {
        known.TORONTO: matlab_sets.toronto,
        known.OSIE: matlab_sets.osie,
        known.PASCAL_S: matlab_sets.pascal_s,
    }[facts]
    try:
        return read_cells(variables), splits_of
    except ValueError as error:
        raise Unreadable(f'{path}: {error}; it holds {readers.holds(variables)}') from None


def _from_held(held, found):
    """The function that reads the points of a record, when all are in memory."""
    sizes = _pascal_s_sizes(found) if found.facts is known.PASCAL_S else {}

    def read_points(record):
        points = held.get(record.stem)
        if points is None:
            raise Unreadable(f'{record.stem}: no fixations of it in {found.fixations}')
        if found.facts is known.TORONTO:
            fixated = readers.fixated(points, f'{found.fixations}: image {record.stem}')
            return Points(np.argwhere(fixated), fixated.shape)
        size = sizes.get(record.stem.rpartition('/')[2])
        if record.image and not size:
            size = stored_size(record.image)
        size = size or _SIZES.get(found.facts)
        if not size:
            raise Unreadable(f'{record.stem}: its size is not known, since there is no image of it')
        return Points(matlab_sets.osie_pixels(points, size) if found.facts is known.OSIE else points, size)

    return read_points


def _pascal_s_sizes(found):
    path = os.path.join(os.path.dirname(found.fixations), 'pascalSize.mat')
    if not os.path.exists(path):
        return {}
    try:
        return matlab_sets.pascal_s_sizes(matlab.read(path))
    except ValueError as error:
        raise Unreadable(f'{path}: {error}') from None
