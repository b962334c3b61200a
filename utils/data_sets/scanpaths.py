"""COCO-Freeview's fixations: a JSON list of scanpaths, read one at a time.

Each has `name` (the image's file), `X` and `Y` (pixels, 0-based, with fractions) and mostly `split`.
"""

import os
from array import array

import numpy as np

from utils.data_sets.annotations import Scanner
from utils.data_sets.data_set import split_named
from utils.errors import Unreadable

MOST_POINTS = 2**26  # in all scanpaths of a file; COCO-Freeview has 665 000 fixations


class Scanpaths:
    """The scanpaths in some files: `.images` maps an image's name, without extension, to its split or None.

    Raises
    ------
    Unreadable
        If a file is not such a list; the message names the file and its contents.
    """

    def __init__(self, paths, progress=None):
        self.images: dict = {}
        self._paths: dict = {}  # image -> list of (x, y), arrays
        for path in map(os.fspath, paths):
            try:
                with open(path, 'rb') as file:
                    self._read(Scanner(file, progress))
            except RecursionError:
                raise Unreadable(f'{path}: not a list of scanpaths (nested too deeply)') from None
            except ValueError as error:
                raise Unreadable(f'{path}: not a list of scanpaths ({error})') from None
            except OSError as error:
                raise Unreadable(f'{path}: {error.strerror}') from None

    def _read(self, scanner):
        left = MOST_POINTS
        for _, _, element in scanner.elements():
            name, split, xy = _scanpath(element)
            left -= len(xy[0])
            if left < 0:
                raise ValueError(f'more than {MOST_POINTS} fixations')
            self.images.setdefault(name, split)
            self._paths.setdefault(name, []).append(xy)

    def points(self, image, keep_first=False):
        """All fixations of an image, all observers pooled: float array, N x 2, (row, column), 0-based.

        The first of each scanpath, which the display forces to the centre, is only included on request.
        """
        start = 0 if keep_first else 1
        paths = self._paths.get(image, ())
        rows, columns = ([value for xy in paths for value in xy[axis][start:]] for axis in (1, 0))
        return np.array([rows, columns], float).T


def _scanpath(element):
    """The image, the split and the arrays of x and y of one element of the list."""
    if not isinstance(element, dict):
        raise ValueError(f'an element that is no object: {str(element)[:60]}')
    lacking = [key for key in ('name', 'X', 'Y') if key not in element]
    if lacking:
        raise ValueError(
            f'a scanpath without {", ".join(lacking)}; it holds {", ".join(list(element)[:12])[:200]}'
        )
    name, x, y, split = element['name'], element['X'], element['Y'], element.get('split')
    if not (isinstance(name, str) and name and isinstance(x, list) and isinstance(y, list)):
        raise ValueError('a scanpath whose name is no text, or whose X or Y is no list')
    if len(x) != len(y):
        raise ValueError(f'{name[:80]}: {len(x)} numbers in X, {len(y)} in Y')
    try:
        xy = array('d', x), array('d', y)
    except (TypeError, OverflowError):
        raise ValueError(f'{name[:80]}: X or Y holds what is no number') from None
    stem = os.path.splitext(name.replace('\\', '/').rpartition('/')[2])[0]
    return stem, split_named(split) if isinstance(split, str) else None, xy
