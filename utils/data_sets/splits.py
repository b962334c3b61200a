"""Divides images between training and validation when neither names nor folders do."""

import csv
import io
import os

import numpy as np

from utils.data_sets.data_set import split_named
from utils.errors import CouldNotStart, Unreadable
from utils.files import read_bytes, write_bytes

LARGEST = 2**26  # bytes of a split file: a million images
WRITTEN = 'split.csv'


def assign(data_set, share=None, file=None, seed=0):
    """Assigns splits to the records of a data set.

    Parameters
    ----------
    data_set : data_set.DataSet
        Its records are replaced, except those of the test set.
    share : float, optional
        Share of the images that is drawn for validation; the others are for training.
    file : path, optional
        A CSV file with an image and its split per line: see `read`. Unlisted images are in no split.
    seed : int
        For the draw.

    Raises
    ------
    CouldNotStart
        If both are given, or neither is given and nothing else names a split.
    """
    if share and file:
        raise CouldNotStart('--validation-share and --split exclude each other')
    drawn = [record for record in data_set.records if record.image and record.splits != ('test',)]
    if file:
        splits = _matched(read(file), data_set, file)
        data_set.records = [
            record._replace(splits=splits.get(record.stem, ())) for record in data_set.records
        ]
    elif share:
        if len(drawn) < 2:
            raise CouldNotStart(f'--validation-share: {len(drawn)} images, too few to share out')
        validates = min(max(round(share * len(drawn)), 1), len(drawn) - 1)
        order = np.random.RandomState(seed).permutation(len(drawn))
        stems = {drawn[i].stem for i in order[:validates]}
        data_set.records = [
            record
            if record.splits == ('test',)
            else record._replace(splits=('val' if record.stem in stems else 'train',))
            for record in data_set.records
        ]
        data_set.notes.append(
            f'{validates} of {len(drawn)} images drawn for validation, seed {seed}; {WRITTEN} names them'
        )
    elif drawn and not any(record.splits for record in drawn):
        raise CouldNotStart(
            f'{data_set.folders["images"]}: no name or folder in it says train, val or test; '
            '--validation-share 0.1 draws the images for validation, --split FILE names them'
        )


def write(data_set, folder):
    """Writes the split of every image into `folder`, in the format of `read`."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator='\n')
    lines.writerow(['image', 'split'])
    lines.writerows([record.stem, split] for record in data_set.records for split in record.splits)
    write_bytes(os.path.join(folder, WRITTEN), text.getvalue().encode('utf-8', 'surrogateescape'))


def read(path):
    """Image, as named in the file -> split, from a CSV file with the columns image and split.

    Raises
    ------
    Unreadable
        If the file is broken; the message names the file and the line.
    """
    text = read_bytes(path, LARGEST).decode('utf-8-sig', 'surrogateescape')
    splits: dict = {}
    columns = (0, 1)
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
            names = [cell.strip().lower() for cell in row]
            if number == 1 and {'image', 'split'} <= set(names):
                columns = names.index('image'), names.index('split')
                continue
            if not any(names):
                continue
            if len(row) <= max(columns):
                raise Unreadable(f'{path}: line {number} is not an image and its split')
            image, split = row[columns[0]].strip(), split_named(row[columns[1]].strip())
            if not split:
                raise Unreadable(f'{path}: line {number}: {row[columns[1]][:40]!r} is not train, val or test')
            splits.setdefault(image, []).append(split)
    except csv.Error as error:
        raise Unreadable(f'{path}: not a CSV file ({error})') from None
    if not splits:
        raise Unreadable(f'{path}: no image in it')
    return splits


def _matched(splits, data_set, file):
    """Stem -> its splits; notes images that the file names and the set lacks."""
    stems = {record.stem for record in data_set.records}
    by_name: dict = {}
    for stem in stems:
        by_name.setdefault(stem.rpartition('/')[2], []).append(stem)
    found: dict = {}
    for image, named in splits.items():
        image = image.replace('\\', '/')
        shorter = os.path.splitext(image)[0]
        alike = by_name.get(shorter.rpartition('/')[2], by_name.get(image.rpartition('/')[2], ()))
        stem = image if image in stems else shorter if shorter in stems else None
        if stem is None and len(alike) == 1:
            stem = alike[0]
        if stem is None:
            data_set.problems.append(f'{file}: {image}: there is no such image, or there are several')
        else:
            found[stem] = tuple(dict.fromkeys((*found.get(stem, ()), *named)))
    return found
