"""Fixations of the data sets that are distributed as MATLAB lists: TORONTO, OSIE, DUT-OMRON, PASCAL-S.

Each function takes the variables of a .mat, as from `matlab.read`, and returns the data of an image or of the
whole set. Coordinates are (row, column), 0-based. Any other variable raises a ValueError, whose message lacks
the file's name.
"""

import os

import numpy as np

MOST_IMAGES = 2**16


def toronto(variables):
    """`white`, a cell of fixation maps: image's name -> matrix. Cell k is image k, the first is 1."""
    cells = _cells(variables, 'white')
    for cell in cells:
        _matrix(cell)
    return {str(number): _small(cell) for number, cell in enumerate(cells, 1)}


def pascal_s(variables):
    """`fixCell`, a cell of 3 x N matrices, rows y, x, subject, 1-based: image's name -> N x 2 points.

    Cell k is image k, the first is 1.
    """
    points = {}
    for number, cell in enumerate(_cells(variables, 'fixCell'), 1):
        if cell is not None and not np.size(cell):
            points[str(number)] = np.empty((0, 2))
            continue
        _matrix(cell)
        # HDF5 has 3 x N, which MATLAB, whose axes are reversed, shows as N x 3
        table = cell if cell.shape[1] == 3 else cell.T
        if table.shape[1] != 3:
            raise ValueError(f'cell {number} of fixCell is {cell.shape[0]} x {cell.shape[1]}, not N x 3')
        points[str(number)] = table[:, :2].astype(float) - 1
    return points


def pascal_s_sizes(variables):
    """`sizeData`, N x 2: image's name -> (rows, columns)."""
    sizes = variables.get('sizeData')
    _matrix(sizes)
    if sizes.shape[1] != 2 or not np.isfinite(sizes).all() or (sizes < 1).any() or (sizes > 2**16).any():
        raise ValueError('sizeData is not N x 2 sizes')
    return {str(number): tuple(int(side) for side in size) for number, size in enumerate(sizes, 1)}


def osie(variables):
    """`fixations`, a cell of structs with `img` and `subjects`: image's name -> N x 2 points.

    Not yet rounded: see `osie_pixels`.
    """
    points = {}
    for number, cell in enumerate(_cells(variables, 'fixations'), 1):
        try:
            name, subjects = cell['img'][0], cell['subjects'][0]
            stem = os.path.splitext(name)[0]
            pooled = [_pairs(subject['fix_y'][0], subject['fix_x'][0]) for subject in subjects]
        except (TypeError, KeyError, IndexError, AttributeError, ValueError):
            raise ValueError(f'entry {number} of fixations is no struct with img and subjects') from None
        points[stem] = np.concatenate(pooled or [np.empty((0, 2))])
    return points


def osie_pixels(points, size):
    """The pixels that OSIE's authors mark: rounded as MATLAB does, clipped to the image, 1-based."""
    # note: deviation 27: other readers truncate them and count from 0
    return np.clip(np.floor(points + 0.5), 1, size) - 1


def dut_omron(variables):
    """`s`, N x 3, columns x, y, subject: N x 2 points and the (rows, columns) of the image.

    The row of subject 0 is not a fixation but the size, (width, height).
    """
    table = variables.get('s')
    _matrix(table)
    if table.shape[1] != 3:
        raise ValueError(f's is {table.shape[0]} x {table.shape[1]}, not N x 3 (x, y, subject)')
    is_size = table[:, 2] == 0
    if np.count_nonzero(is_size) != 1:
        raise ValueError('s has no one row of subject 0, which holds the size of the image')
    width, height = table[is_size][0, :2]
    if not (1 <= width <= 2**16 and 1 <= height <= 2**16):
        raise ValueError(f's states a size of {width:g} x {height:g}')
    return table[~is_size][:, 1::-1].astype(float), (int(height), int(width))


def _cells(variables, name):
    cells = variables.get(name)
    if not isinstance(cells, list) or not cells:
        raise ValueError(f'{name} is no cell array')
    if len(cells) > MOST_IMAGES:
        raise ValueError(f'{name} has {len(cells)} cells, more than any set has images')
    return cells


def _small(matrix):
    """The same numbers in one byte each, if they fit: the doubles of a whole set would fill the memory."""
    small = matrix.astype(np.uint8) if matrix.min() >= 0 and matrix.max() < 256 else matrix
    return small if np.array_equal(small, matrix) else matrix


def _matrix(value):
    if not isinstance(value, np.ndarray) or value.ndim != 2 or not value.size:
        raise ValueError('there is something else where a matrix of numbers belongs')


def _pairs(first, second):
    first, second = (np.asarray(axis, float).ravel() for axis in (first, second))
    if len(first) != len(second):
        raise ValueError
    return np.stack([first, second], axis=1)
