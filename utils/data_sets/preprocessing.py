"""Turns the files of an image into a sample and its two PNGs, as the original made them."""

import io
import os
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np

from utils.data_sets import checked_png
from utils.data_sets.salicon import GAZE, JSON, MAT_2015
from utils.errors import CouldNotStart, Unreadable
from utils.files import read_bytes, write_bytes
from utils.images import decode, orientation_of, shrink
from utils.samples import ImageContainer, InputType, Target


class Prepared(NamedTuple):
    """The result of preparing a record."""

    samples: dict  # split -> Target; empty if there is a problem
    fixations: Any  # data_set.Fixations; None for a test image
    size: Optional[tuple]  # (rows, columns) of the image
    problem: Optional[str]  # one sentence on why the image is left out
    turned: Optional[str] = None  # the image's path, if its EXIF orientation was applied


def prepare(record, data_set, output, size):
    """Makes the samples of one image, and writes its PNGs unless they exist already.

    Nothing is written for an image if any of its parts is missing or broken.

    Parameters
    ----------
    record : data_set.Record
    data_set : data_set.DataSet
    output : path
        `images/STEM.png` and `maps/STEM.png` go there; their folders must exist.
    size : (width, height)

    Returns
    -------
    Prepared
    """
    try:
        _check_parts(record, data_set)
        return _prepare(record, data_set, output, size)
    except Unreadable as error:
        return Prepared({}, None, None, str(error))
    except (MemoryError, cv2.error):
        return Prepared({}, None, None, f'{record.image}: too large for the memory or for OpenCV')


def check_output(data_set, output):
    """Raises CouldNotStart if a folder is missing, or would be overwritten."""
    if not data_set.folders['images']:
        raise CouldNotStart('no folder of images: name it with --images DIR')
    made = data_set.layout == JSON or (data_set.facts and not data_set.without_fixations)
    if not data_set.folders['maps'] and not made:
        raise CouldNotStart('no folder of saliency maps: name it with --maps DIR')
    if not any(record.image for record in data_set.records):
        raise CouldNotStart(f'{data_set.folders["images"]}: no images in it')
    for kind, folder in data_set.folders.items():
        folder = os.path.realpath(folder) if folder else None
        if kind == 'fixations' and data_set.layout in (JSON, GAZE, MAT_2015):
            continue  # there no PNG is read as fixations
        for written in ('images', 'maps'):
            target = os.path.realpath(os.path.join(output, written))
            if folder and os.path.commonpath([target, folder]) == folder:
                raise CouldNotStart(f'{target}: lies in the folder of {kind}; choose another --output')


def is_test(record):
    """Whether the record belongs only to the test set, which consists of images alone."""
    return 'test' in record.splits and (len(record.splits) == 1 or not (record.map or record.fixations))


def _check_parts(record, data_set):
    held = record.image or record.map or record.fixations
    if not record.splits:
        raise Unreadable(
            f'{held}: neither its name nor its folder says train, val or test; --split FILE may say it'
        )
    if not record.image:
        raise Unreadable(f'{held}: there is no image of that name')
    if not (record.fixations or is_test(record) or data_set.without_fixations):
        raise Unreadable(
            f'{held}: there are no fixations of that name; training needs none: --without-fixations'
        )
    if not (record.map or is_test(record)) and (data_set.folders['maps'] or data_set.without_fixations):
        raise Unreadable(f'{held}: there is no map of that name')


def _prepare(record, data_set, output, size):
    # note: deviation 18: the original's filePath is absolute; these are relative to the pickle,
    # so that its bytes do not depend on where it is written.
    image_path, map_path = (f'{folder}/{record.stem}.png' for folder in ('images', 'maps'))
    source = read_bytes(record.image)
    stored = data_set.ignore_orientation
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if stored else 0)
    image, rows_columns, image_png = _shrunk(
        os.path.join(output, image_path),
        source,
        size,
        lambda: decode(source, record.image, flags),
        *(['stored'] if stored else []),
    )
    turned = record.image if not stored and orientation_of(io.BytesIO(source)) != 1 else None
    image = ImageContainer(image, image_path, InputType.image)
    # note: deviation 19: the original fails on them; they have only an image.
    test_sample = Target(image, size=rows_columns)
    if is_test(record):
        _write(output, image_path, image_png)
        return Prepared({'test': test_sample}, None, rows_columns, None, turned)

    fixations = None
    if not data_set.without_fixations:
        fixations = data_set.fixations(record)
        if turned and fixations.size == rows_columns[::-1] != rows_columns:
            raise Unreadable(
                f'{turned}: turned on its side by its EXIF orientation, but its fixations are of the image '
                'as it is stored; --ignore-orientation leaves it so'
            )
        _check_size(fixations.size, record.fixations, rows_columns, record.image)
    map_source, made_in = _map_source(record, data_set, fixations)
    saliency, map_size, map_png = _shrunk(
        os.path.join(output, map_path),
        map_source,
        size,
        lambda: data_set.saliency_map(record, fixations, map_source),
        *made_in,
    )
    _check_size(map_size, record.map, rows_columns, record.image)
    if not saliency.any():
        raise Unreadable(f'{record.map or record.image}: the map is empty')
    _write(output, image_path, image_png)
    _write(output, map_path, map_png)
    fixated = None
    if fixations:
        points = tuple(np.ascontiguousarray(axis) for axis in fixations.points.T)
        fixated = ImageContainer(points, os.fspath(record.fixations), InputType.fixationMapMatlab)
    saliency = ImageContainer(saliency, map_path, InputType.imageGrayscale)
    sample = Target(image, saliency, fixated, rows_columns)
    samples = {split: test_sample if split == 'test' else sample for split in record.splits}
    return Prepared(samples, fixations, rows_columns, None, turned)


def _map_source(record, data_set, fixations):
    """The bytes that an image's map is made from, and other influences that earlier versions lacked."""
    if not record.map:
        settings = [data_set.blur(fixations.size)] if data_set.facts else []
        return fixations.points.tobytes(), settings
    data = read_bytes(record.map)
    return data, ['by its maximum'] if _has_depth(data) else []


def _has_depth(data):
    """Whether a map may have more than eight bits and is scaled; earlier versions did not scale it."""
    if data.startswith(b'\x89PNG'):
        return data[24:25] == b'\x10'
    return data.startswith((b'II', b'MM', b'\x93NUMPY'))


def _shrunk(path, source, size, decode, *settings):
    """An image or a map at the network's size, its own size, and the PNG to write, None if it exists.

    `source` are the bytes that `decode` decodes, to BGR or grey; `settings` is what else affects it.
    """
    source = checked_png.digest(source, size, cv2.__version__, *settings)
    image, decoded_size = checked_png.read(path, source)
    if image is not None:
        return image, decoded_size, None
    decoded = decode()
    image = shrink(decoded, *size)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return image, decoded.shape[:2], checked_png.make(image, decoded.shape[:2], source)


def _write(output, path, png):
    if png is not None:
        write_bytes(os.path.join(output, path), png)


def _check_size(size, path, image_size, image_path):
    # note: deviation 20: the original resizes each part separately, whatever their sizes.
    if size != image_size:
        (rows, columns), (image_rows, image_columns) = size, image_size
        raise Unreadable(
            f'{path}: it is for {columns} x {rows}, but {image_path} is {image_columns} x {image_rows}'
        )
