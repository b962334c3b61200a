"""The metrics of the MIT/Tuebingen saliency benchmark: AUC, sAUC, NSS, CC, KLDiv, SIM; IG of log densities.

They have the names of other protocols' metrics but different definitions: every fixation counts, including
repeated ones; AUC is exact, with all pixels as negatives; sAUC's negatives are all fixations of all other
images; maps are not rescaled to 0..1, and a uint8 map is taken as 0..255. What the reference leaves undefined
is NaN here: every metric of an image without fixations, sAUC if no other image has any, CC if all pixels are
fixated equally. A constant map has AUC and sAUC 0.5, NSS and CC 0, and the KLDiv and SIM of the uniform map.

References
----------
Kuemmerer, Wallis & Bethge 2018, "Saliency Benchmarking Made Easy"; the class Benchmark of
saliency-benchmarking, on pysaliency 0.2.22.
"""

import functools
import math

import cv2
import numpy as np

NAN = float('nan')
EPS = 2.2204e-16  # the benchmark's decimal number, not 2^-52
SIGMA = 23.99  # pixels, for MIT300 and MIT1003; 40 for CAT2000, 30 for COCO-Freeview
TRUNCATE = 4  # standard deviations of the blur on either side
BAND = 2**17  # pixels computed at a time; with smaller bands threads wait for each other
CANCELLED = 1e-3  # below it, SIM by the distance of the two densities has lost too many digits
POOLS = 4  # image sizes for which sAUC's negatives are kept


def scores(saliency_map, fixations, others=None, sigma=SIGMA):
    """The six metrics of a saliency map.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range.
    fixations : int array, shape (N, 2)
        Row and column, from 0, of all observers; repeated ones count each time.
    others : int array, optional
        The positions on this image of the fixations of all images of the set, including this one: indices
        into its pixels, row by row, as from `OtherFixations.at`. Without them sAUC is NaN.
    sigma : float, pixels, or None
        Of the blur of the fixations in CC, KLDiv and SIM; these are NaN, and cost nothing, with None.

    Returns
    -------
    dict of metric -> float; NaN if it is not defined

    Raises
    ------
    ValueError
        If a fixation is outside the map or the map contains a NaN.

    References
    ----------
    `Benchmark.evaluate` of saliency-benchmarking.
    """
    saliency_map, fixations = _checked(saliency_map, fixations)
    if not len(fixations):
        # note: deviation 31: the reference includes such an image in the means of CC, KLDiv and SIM
        return dict.fromkeys(('AUC', 'sAUC', 'NSS', 'CC', 'KLDiv', 'SIM'), NAN)
    at = saliency_map.ravel()[fixations[:, 0] * saliency_map.shape[1] + fixations[:, 1]]
    values = _Values(saliency_map)
    found = {
        'AUC': float(values.placed(at).mean() / saliency_map.size),
        'sAUC': NAN,
        'NSS': float((at.mean(dtype=float) - values.mean) / values.std) if values.std else 0.0,
    }
    if others is not None and len(others) > len(at):
        drawn = _Values(saliency_map.ravel().take(others))
        found['sAUC'] = float((drawn.placed(at) - _Values(at).placed(at)).mean() / (len(others) - len(at)))
    blurred = _blurred(saliency_map, values, fixations, sigma) if sigma else {}
    found.update({name: blurred.get(name, NAN) for name in ('CC', 'KLDiv', 'SIM')})
    return found


def information_gain(log_density, fixations):
    """IG: information gain of a log density over the uniform density, in bits per fixation.

    Parameters
    ----------
    log_density : float array, shape (rows, columns)
        Natural logarithms of probabilities that sum to 1 over the pixels.
    fixations : int array, shape (N, 2)
        See `scores`.

    Returns
    -------
    float; NaN without fixations, -inf if one is on a pixel of probability 0

    Raises
    ------
    ValueError
        If a fixation is outside the image.
    """
    log_density, fixations = _checked(log_density, fixations)
    if not len(fixations):
        return NAN
    return float((log_density[tuple(fixations.T)].mean() + math.log(log_density.size)) / math.log(2))


def resized(saliency_map, size):
    """Resizes a map to an image's size as the benchmark does: linearly, with aligned corners.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
    size : (rows, columns)

    Returns
    -------
    The same array if it has that size, otherwise float64.
    """
    if saliency_map.shape == tuple(size):
        return saliency_map
    from scipy.ndimage import zoom

    factors = [new / old for new, old in zip(size, saliency_map.shape)]
    return zoom(saliency_map.astype(float), factors, order=1, mode='nearest')


class OtherFixations:
    """The fixations of a set of images, scaled to the size of any of them: sAUC's negatives.

    Parameters
    ----------
    images : iterable of objects with `points`, int array N x 2, (row, column), and `size`, (rows, columns)
    """

    def __init__(self, images):
        by_size = {}
        for image in images:
            by_size.setdefault(tuple(image.size), []).append(image.points)
        self.__setstate__({size: np.concatenate(points) for size, points in by_size.items()})

    def __getstate__(self):
        return self._points

    def __setstate__(self, points):
        self._points = points
        self.at = functools.lru_cache(maxsize=POOLS)(self._at)

    def _at(self, size):
        """Indices into the pixels of an image of `size`, row by row, ascending."""
        kind = np.int32 if size[0] * size[1] < 2**31 else np.int64
        pools = []
        for from_size, points in self._points.items():
            # first the ratio, in float64, then the product truncated: another order may give another pixel
            (rows, columns), (down, across) = points.T, (new / old for new, old in zip(size, from_size))
            pools.append((rows * down).astype(kind) * kind(size[1]) + (columns * across).astype(kind))
        return np.sort(np.concatenate([np.zeros(0, kind), *pools])).astype(np.intp)  # as `take` needs them


def blurred_fixations(fixations, size, sigma=SIGMA):
    """The benchmark's empirical map: counts of fixations, blurred, as a density.

    Parameters
    ----------
    fixations : int array, shape (N, 2), N > 0
        See `scores`.
    size : (rows, columns)
    sigma : float, pixels

    Returns
    -------
    float64 array, shape `size`; its sum is 1
    """
    return np.concatenate([band.copy() for _, band in _density_bands(fixations, size, sigma)])


# --- AUC and NSS ---


class _Values:
    """An array's values; 8-bit arrays have so few distinct values that their counts suffice."""

    def __init__(self, array):
        self.counts = _count(array) if array.dtype == np.uint8 else None
        if self.counts is not None:
            levels, n = np.arange(256), array.size
            self.mean = self.counts @ levels / n
            self.std = math.sqrt(self.counts @ (levels - self.mean) ** 2 / n)
            self.lowest, self.highest = np.flatnonzero(self.counts)[[0, -1]]
        else:
            self.ordered = np.sort(array, axis=None)
            self.lowest, self.highest = self.ordered[0], self.ordered[-1]
            self.mean, self.std = float(array.mean()), float(array.std())
        if self.lowest == self.highest:
            # note: deviation 30: the mean of equal floats may differ from them, which turns NSS into noise
            self.mean, self.std = float(self.lowest), 0.0
        self.removed = min(float(self.lowest), 0.0)  # before the density is computed
        if self.lowest == self.highest:
            self.total = 0.0
        elif self.removed:
            self.total = float((array - self.removed).sum())
        else:
            self.total = self.mean * array.size

    def placed(self, at):
        """How many of the values are below each of `at`, plus half of those that equal it."""
        if self.counts is not None:
            return (np.cumsum(self.counts) - self.counts / 2)[at]
        return (np.searchsorted(self.ordered, at, 'left') + np.searchsorted(self.ordered, at, 'right')) / 2


def _count(array):
    """How often each of the 256 values occurs in a uint8 array: float64, exact."""
    flat, counts = array.reshape(1, -1), np.zeros(256)
    for start in range(0, array.size, 2**24):  # beyond which OpenCV's float32 would not be exact
        counts += cv2.calcHist([flat[:, start : start + 2**24]], [0], None, [256], [0, 256])[:, 0]
    return counts


# --- CC, KLDiv and SIM, in one pass over the image, band by band ---


def _blurred(saliency_map, values, fixations, sigma):
    """CC, KLDiv and SIM, by name."""
    pixels, density = saliency_map.size, _density(saliency_map, values)
    apart = divergence = product = squares = 0.0
    # the same memory for every band: new memory would cost more than what is computed in it
    memory = np.empty((2, *_band(saliency_map.shape)))
    for start, g in _density_bands(fixations, saliency_map.shape, sigma):
        s, ratio = memory[:, : len(g)]
        density(saliency_map[start : start + len(g)], s, ratio)
        apart += cv2.norm(s, g, cv2.NORM_L1)
        ratio *= g
        ratio += EPS
        divergence += _dot(g, cv2.log(ratio, ratio))
        g -= 1 / pixels  # s need not be centred: the sum of g is now 0
        product += _dot(s, g)
        squares += _dot(g, g)
    found = {'CC': 0.0, 'KLDiv': divergence, 'SIM': 1 - apart / 2}
    if found['SIM'] < CANCELLED:
        found['SIM'] = _similarity(saliency_map, density, fixations, sigma)
    if squares * pixels < 1e-24:  # all pixels fixated equally
        found['CC'] = NAN
    elif values.std:
        found['CC'] = product / math.sqrt(squares * pixels) / (values.std / values.total)
    return found


def _similarity(saliency_map, density, fixations, sigma):
    """SIM as it is defined, the sum of the smaller densities."""
    similar = 0.0
    for start, g in _density_bands(fixations, saliency_map.shape, sigma):
        s, inverse = np.empty((2, *g.shape))
        density(saliency_map[start : start + len(g)], s, inverse)
        similar += np.minimum(s, g).sum()
    return float(similar)


def _density(saliency_map, values):
    """A function of some rows of the map that writes the benchmark's density s and 1 / (s + EPS) for them."""
    uniform = 1 / saliency_map.size
    table = np.arange(256) / values.total if values.total else np.full(256, uniform)
    inverses = 1 / (table + EPS)

    def of_levels(rows, s, inverse):
        cv2.LUT(rows, table, s)
        cv2.LUT(rows, inverses, inverse)

    def of_floats(rows, s, inverse):
        if values.total:
            np.subtract(rows, values.removed, out=s)
            s /= values.total
        else:
            s[:] = uniform
        np.add(s, EPS, out=inverse)
        np.divide(1, inverse, out=inverse)

    return of_levels if saliency_map.dtype == np.uint8 else of_floats


def _dot(a, b):
    return float(a.ravel() @ b.ravel())


# --- the blurred fixations ---


def _density_bands(fixations, size, sigma):
    """Yields (first row, float64 rows) of the blurred fixations divided by their number, from the top down.

    The blur is separable and the fixations are few: the fixated rows, blurred along the columns, are summed
    by matrix products that only involve the rows within reach of a band. Each time they are in the same
    memory.
    """
    fixated_rows, row = np.unique(fixations[:, 0], return_inverse=True)
    fixated_columns, column = np.unique(fixations[:, 1], return_inverse=True)
    counts = np.zeros((len(fixated_rows), len(fixated_columns)))
    np.add.at(counts, (row, column), 1 / len(fixations))
    across = counts @ _reflected(fixated_columns, size[1], sigma)
    down = _reflected(fixated_rows, size[0], sigma)
    reach, (height, width) = _radius(sigma), _band(size)
    memory = np.empty((height, width))
    for start in range(0, size[0], height):
        end = min(start + height, size[0])
        first, last = np.searchsorted(fixated_rows, (start - reach, end + reach))
        yield start, np.matmul(down[first:last, start:end].T, across[first:last], out=memory[: end - start])


def _band(size):
    """(rows, columns) of the largest band."""
    return min(size[0], max(1, BAND // size[1])), size[1]


def _reflected(places, length, sigma):
    """The Gaussian around each of `places` on a line of `length` with reflecting borders: a row per place."""
    # reflected as d c b a | a b c d | d c b a, everything repeats after twice the length
    period, radius = np.zeros(2 * length), _radius(sigma)
    np.add.at(period, np.arange(-radius, radius + 1) % (2 * length), _kernel(sigma))
    shifted = np.lib.stride_tricks.sliding_window_view(np.tile(period, 2), length)
    found = shifted[2 * length - places]
    near = (places < radius) | (places >= length - radius)  # only there does a border reflect anything
    found[near] += shifted[places[near] + 1]
    return found


def _radius(sigma):
    return int(TRUNCATE * sigma + 0.5)


def _kernel(sigma):
    """The weights of `scipy.ndimage.gaussian_filter`."""
    weights = np.exp(-0.5 / sigma**2 * np.arange(-_radius(sigma), _radius(sigma) + 1) ** 2)
    return weights / weights.sum()


# --- the inputs, checked ---


def _checked(saliency_map, fixations):
    saliency_map, fixations = np.ascontiguousarray(saliency_map), np.asarray(fixations)
    if saliency_map.ndim != 2 or not saliency_map.size:
        raise ValueError(f'a map is an array of rows and columns, not of shape {saliency_map.shape}')
    if saliency_map.dtype != np.uint8:
        saliency_map = saliency_map.astype(float, copy=False)
        if np.isnan(saliency_map).any():
            raise ValueError('the map holds a NaN')
    if not fixations.size:
        return saliency_map, np.zeros((0, 2), np.int64)
    if fixations.ndim != 2 or fixations.shape[1] != 2 or fixations.dtype.kind not in 'ui':
        raise ValueError('fixations are rows and columns: an int array of shape (N, 2)')
    if (fixations < 0).any() or (fixations >= saliency_map.shape).any():
        raise ValueError(f'a fixation lies outside the map, which has (rows, columns) {saliency_map.shape}')
    return saliency_map, fixations.astype(np.int64)
