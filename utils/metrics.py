"""The saliency metrics that the paper reports: nine of the MIT benchmark's protocol, four of SALICON's.

All maps are arrays (rows, columns) of one shape. A uint8 map is taken as 0..255 and divided by 255, since
the references' arithmetic on integers breaks their AUCs and information gain; every other dtype is converted
to float64 unchanged. A map that contains a NaN or an infinity raises a ValueError, and so do shapes that
differ and fixations outside the map.

If an input leaves a metric undefined, the result is that of the reference that the metric follows, or NaN if
that reference only returns rounding noise:

- nothing fixated: NaN from every metric that uses fixations; an all-zero ground truth gives CC and EMD NaN,
  SIM 0 and KL 0.
- constant map, MIT: NSS, CC, SIM, IG and the AUCs are NaN, except AUC-Judd with jitter, which puts the tied
  pixels in a random order and is therefore near 0.5; KL and EMD are those of a uniform map. All zero: SIM
  is 0, KL 27.8 (the map's mass is taken as 0), EMD NaN.
- constant map, SALICON: AUC and sAUC 0.5, NSS 0, CC NaN.
"""

import functools

import numpy as np

NAN = float('nan')
EPS = np.finfo(np.float64).eps  # MATLAB's eps
JITTER = 1e-7  # the most that AUC-Judd adds
STEP = 0.1  # between the thresholds of AUC-Borji and sAUC
SAMPLES = 100_000  # pixels that the AUC of SALICON draws
LARGEST_EMD = 2**27  # number of distances between cells, a gigabyte; 4096 x 4096 pixels need far fewer


def nss(saliency_map, fixation_map):
    """Normalised scanpath saliency: mean of the standardised map at the fixated pixels.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range; standardised with N - 1, as MATLAB's std does.
    fixation_map : bool or int array of the same shape
        Non-zero where fixated.

    Returns
    -------
    float; NaN if nothing is fixated or the map is constant.

    References
    ----------
    Peters et al. 2005; NSS.m of the MIT saliency benchmark.
    """
    saliency_map, fixated = _map_and_fixated(saliency_map, fixation_map)
    # note: deviation 14: NaN; the reference divides rounding noise by rounding noise
    if not fixated.any() or _constant(saliency_map):
        return NAN
    return float((saliency_map[fixated].mean() - saliency_map.mean()) / saliency_map.std(ddof=1))


def cc(saliency_map, ground_truth):
    """Pearson's correlation coefficient of a map and the continuous ground truth.

    Parameters
    ----------
    saliency_map, ground_truth : float or uint8 arrays of one shape (rows, columns)
        Any range.

    Returns
    -------
    float in -1..1; NaN if one of them is constant.

    References
    ----------
    CC.m of the MIT saliency benchmark.
    """
    a, b = _two_maps(saliency_map, ground_truth)
    if _constant(a) or _constant(b):
        return NAN
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def similarity(saliency_map, ground_truth):
    """SIM, histogram intersection: sum of the minimum of the two maps, each normalised to a distribution.

    Parameters
    ----------
    saliency_map, ground_truth : float or uint8 arrays of one shape (rows, columns)
        Any range: each is rescaled to 0..1 by its minimum and maximum, then divided by its sum.

    Returns
    -------
    float in 0..1; NaN if one of them is constant, 0 if that constant is 0.

    References
    ----------
    Judd et al. 2012; similarity.m of the MIT saliency benchmark.
    """
    a, b = _two_maps(saliency_map, ground_truth)
    if not a.any() or not b.any():
        return 0.0
    return float(np.minimum(_density(a), _density(b)).sum())


def kl_divergence(saliency_map, ground_truth):
    """Kullback-Leibler divergence of the ground truth from a map, in nats; lower is better.

    Parameters
    ----------
    saliency_map, ground_truth : float or uint8 arrays of one shape (rows, columns)
        Not negative; each is only divided by its sum, and an all-zero one is left unchanged.

    Returns
    -------
    float, at least 0 except for rounding

    References
    ----------
    KLdiv.m of the MIT saliency benchmark.
    """
    s, g = _two_maps(saliency_map, ground_truth)
    s, g = s[g > 0] / (s.sum() or 1), g[g > 0] / (g.sum() or 1)  # if g is 0, so is the summand
    return float(g @ np.log(EPS + g / (s + EPS)))


def information_gain(saliency_map, fixation_map, baseline_map):
    """IG: information gain of a map over a baseline, in bits per fixation.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Rescaled to 0..1 by its minimum and maximum, then divided by its sum, as is the baseline.
    fixation_map : bool or int array of the same shape
        Non-zero where fixated.
    baseline_map : float or uint8 array of the same shape
        Usually a Gaussian centre bias. The paper uses one but does not give its width.

    Returns
    -------
    float; NaN if nothing is fixated or a map is constant.

    References
    ----------
    Kuemmerer et al. 2015; InfoGain.m of the MIT saliency benchmark.
    """
    saliency_map, baseline_map = _two_maps(saliency_map, baseline_map)
    saliency_map, fixated = _map_and_fixated(saliency_map, fixation_map)
    if not fixated.any():
        return NAN
    p, b = _density(saliency_map)[fixated], _density(baseline_map)[fixated]
    return float((np.log2(EPS + p) - np.log2(EPS + b)).mean())


def auc_judd(saliency_map, fixation_map, jitter=True, seed=0):
    """AUC-Judd: area under the ROC curve whose thresholds are the map's values at the fixated pixels.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range.
    fixation_map : bool or int array of the same shape
        Non-zero where fixated.
    jitter : bool
        First adds up to JITTER to every pixel, so that no two are tied. Without it ties give nonsense: a
        threshold's false positives are those at or above it minus the fixations *before* it, tied or not.
    seed : int
        For the jitter.

    Returns
    -------
    float in 0..1; NaN if nothing or everything is fixated, and without jitter if the map is constant. With
    jitter a constant map gives about 0.5, like a random order.

    References
    ----------
    Judd et al. 2009; AUC_Judd.m of the MIT saliency benchmark.
    """
    saliency_map, fixated = _map_and_fixated(saliency_map, fixation_map)
    n, pixels = np.count_nonzero(fixated), fixated.size
    if jitter:
        saliency_map = saliency_map + _random(seed).random_sample(saliency_map.shape) / (1 / JITTER)
    if not 0 < n < pixels or _constant(saliency_map):
        return NAN
    # Rescaling the map to 0..1, as the reference does here, would not change the order of values.
    thresholds = np.sort(saliency_map[fixated])
    above = _at_or_above(saliency_map.ravel(), thresholds)
    i = np.arange(1, n + 1)
    return _area(i / n, (above - i) / (pixels - n))


def auc_borji(saliency_map, fixation_map, splits=None, step=STEP, seed=0):
    """AUC-Borji: area under the ROC curve against pixels drawn uniformly from the image.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range; brought to 0..1 by its minimum and maximum.
    fixation_map : bool or int array of the same shape
        Non-zero where fixated.
    splits : int or None
        The result is the mean over this many draws (100 in the reference) of as many pixels as are fixated,
        with replacement. None gives the exact expectation of that mean: the thresholds are fixed and the area
        is linear in the false positives, so the rate over all pixels replaces the draws.
    step : float
        Between thresholds, which are 0, step, 2 * step and so on.
    seed : int
        For the draws.

    Returns
    -------
    float in 0..1; NaN if at most one pixel is fixated or the map is constant.

    References
    ----------
    Borji et al. 2013; AUC_Borji.m of the MIT saliency benchmark.
    """
    saliency_map, fixated = _map_and_fixated(saliency_map, fixation_map)
    n = np.count_nonzero(fixated)
    if n <= 1 or _constant(saliency_map):
        return NAN
    saliency_map = _stretched(saliency_map)
    negatives = saliency_map.ravel()
    if splits is not None:
        # The mean area of the splits is the area at their mean rates, those of all draws pooled.
        negatives = negatives[_random(seed).randint(negatives.size, size=splits * n)]
    return _area_against(saliency_map[fixated], negatives, _thresholds(step))


def auc_shuffled(saliency_map, fixation_map, other_fixations, splits=None, step=STEP, seed=0):
    """Shuffled AUC: area under the ROC curve against the pixels fixated in other images.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range; brought to 0..1 by its minimum and maximum.
    fixation_map : bool or int array of the same shape
        Non-zero where fixated.
    other_fixations : int array of the same shape
        How many of the other images (ten in the reference) are fixated there. Only nonzero or zero matters;
        the image's own fixated pixels are not removed.
    splits : int or None
        The result is the mean over this many draws (100 in the reference) of as many pixels as are fixated,
        or as there are, without replacement. None gives the expectation of that mean: see `auc_borji`.
    step : float
        Between thresholds.
    seed : int
        For the draws.

    Returns
    -------
    float in 0..1; NaN if nothing is fixated, in the image or in the others, or the map is constant.

    References
    ----------
    Zhang et al. 2008, Borji et al. 2013; AUC_shuffled.m of the MIT saliency benchmark.
    """
    saliency_map, fixated = _map_and_fixated(saliency_map, fixation_map)
    others = _fixated(other_fixations, saliency_map.shape)
    n = np.count_nonzero(fixated)
    if not n or not others.any() or _constant(saliency_map):
        return NAN
    saliency_map = _stretched(saliency_map)
    negatives = saliency_map[others]
    if splits is not None:
        random = _random(seed)
        negatives = np.concatenate([random.permutation(negatives)[:n] for _ in range(splits)])
    return _area_against(saliency_map[fixated], negatives, _thresholds(step))


def emd(saliency_map, ground_truth):
    """Earth mover's distance between a map and the ground truth, both reduced by 32; lower is better.

    Parameters
    ----------
    saliency_map, ground_truth : float or uint8 arrays of one shape (rows, columns)
        The ground truth is resized by 1/32 and the map to the resulting size, by bicubic interpolation with
        antialiasing as in MATLAB's imresize; each is then divided by its sum.

    Returns
    -------
    float, in cells of 32 pixels; NaN if one of them has no mass.

    Raises
    ------
    ValueError
        Also if an image is far larger than any display.

    Notes
    -----
    Bicubic interpolation leaves small negative masses, which are kept. The distance is then that between the
    map's surplus, cell by cell, and its deficit; the reference solves this in integers, to 2e-4.

    References
    ----------
    Pele & Werman 2009; EMD.m of the MIT saliency benchmark.
    """
    s, g = _two_maps(saliency_map, ground_truth)
    small = tuple(-(-length // 32) for length in g.shape)
    s, g = _bicubic(s, small), _bicubic(g, small, scale=1 / 32)
    if not g.sum() > 0 or not s.sum() > 0:
        return NAN
    surplus = (s / s.sum() - g / g.sum()).ravel()
    too_much, too_little = np.flatnonzero(surplus > 0), np.flatnonzero(surplus < 0)
    mass = surplus[too_much].sum()
    if not mass > 0 or not too_little.size:
        return 0.0
    if too_much.size * too_little.size > LARGEST_EMD:
        raise ValueError(f'{surplus.size} cells of 32 x 32 pixels are too many for EMD: leave it out')
    # note: deviation 15: floats; the reference rounds masses and distances to integers
    from ot import emd2  # takes a second to import

    rows, columns = np.divmod(np.arange(surplus.size), small[1])
    distance = np.hypot(
        rows[too_much, None] - rows[None, too_little], columns[too_much, None] - columns[None, too_little]
    )
    missing = -surplus[too_little]
    cost = emd2(surplus[too_much] / mass, missing / missing.sum(), distance, numItermax=10_000_000)
    return float(mass * cost)


def salicon_auc(saliency_map, fixations, samples=SAMPLES, seed=0):
    """AUC of the SALICON challenge: against `samples` random pixels, thresholds 0.01 apart.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range; brought to 0..1 by its minimum and maximum.
    fixations : int array, shape (N, 2)
        Row and column, from 0, of all observers. Duplicates count each time.
    samples : int
        How many pixels are drawn, once, with replacement.
    seed : int
        For the draw.

    Returns
    -------
    float in 0..1; NaN without fixations, 0.5 if the map is constant.

    References
    ----------
    auc.py of salicon-evaluation.
    """
    saliency_map, fixations = _map_and_list(saliency_map, fixations)
    if not len(fixations):
        return NAN
    saliency_map = _stretched(saliency_map)
    drawn = saliency_map.ravel()[_random(seed).randint(saliency_map.size, size=samples)]
    return _salicon_area(saliency_map[tuple(fixations.T)], drawn)


def salicon_sauc(saliency_map, fixations, other_fixations):
    """Shuffled AUC of the SALICON challenge: against the other images' fixations, weighted by their counts.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range; brought to 0..1 by its minimum and maximum.
    fixations : int array, shape (N, 2)
        Row and column, from 0, of all observers. Duplicates count each time.
    other_fixations : int array of the map's shape
        How many images of the set are fixated there. This image may be among them: its own fixated pixels
        are not negatives, however many other images have fixations there.

    Returns
    -------
    float in 0..1; NaN without fixations or negatives, 0.5 if the map is constant.

    References
    ----------
    sauc.py of salicon-evaluation.
    """
    saliency_map, fixations = _map_and_list(saliency_map, fixations)
    # note: deviation 16: the reference's second call in a process continues from the first's counts
    counts = np.array(other_fixations)
    if counts.shape != saliency_map.shape:
        raise ValueError(f'shapes differ: map {saliency_map.shape}, fixations {counts.shape}')
    counts[tuple(fixations.T)] = 0
    negatives = counts > 0
    if not len(fixations) or not negatives.any():
        return NAN
    saliency_map = _stretched(saliency_map)
    return _salicon_area(saliency_map[tuple(fixations.T)], saliency_map[negatives], counts[negatives])


def salicon_nss(saliency_map, fixations):
    """NSS of the SALICON challenge: standardised with N, duplicated fixations counted each time.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range.
    fixations : int array, shape (N, 2)
        Row and column, from 0, of all observers.

    Returns
    -------
    float; NaN without fixations, 0 if the map is constant.

    References
    ----------
    nss.py of salicon-evaluation.
    """
    saliency_map, fixations = _map_and_list(saliency_map, fixations)
    if not len(fixations):
        return NAN
    if _constant(saliency_map):
        return 0.0
    return float((saliency_map[tuple(fixations.T)].mean() - saliency_map.mean()) / saliency_map.std())


def salicon_cc(saliency_map, fixations):
    """CC of the SALICON challenge: Pearson's correlation with the fixations blurred by sigma 19.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Any range.
    fixations : int array, shape (N, 2)
        Row and column, from 0, of all observers. A pixel counts once, however often it is fixated.

    Returns
    -------
    float in -1..1; NaN without fixations or if the map is constant.

    References
    ----------
    cc.py of salicon-evaluation.
    """
    saliency_map, fixations = _map_and_list(saliency_map, fixations)
    if not len(fixations):
        return NAN
    from scipy.ndimage import gaussian_filter

    fixated = np.zeros(saliency_map.shape)
    fixated[tuple(fixations.T)] = 1
    return cc(saliency_map, gaussian_filter(fixated, 19))


# --- resizing maps to the size of the image, as in the protocols ---


def resize_mit(saliency_map, shape):
    """Resizes a map as the MIT benchmark does: MATLAB's imresize, bicubic, antialiased where it shrinks.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
    shape : (rows, columns)

    Returns
    -------
    float64 array of that shape; the same values if the shapes are equal. Values that bicubic interpolation
    pushes outside 0..1 are clipped, as in the reference's 8-bit maps, but not to less than the map's own
    range.

    Raises
    ------
    ValueError
        If the map contains a NaN.
    """
    saliency_map = _map(saliency_map)
    if saliency_map.shape == tuple(shape):
        return saliency_map
    # note: deviation 17: negative values would leave KL undefined
    return np.clip(_bicubic(saliency_map, shape), min(0, saliency_map.min()), max(1, saliency_map.max()))


def resize_salicon(saliency_map, shape):
    """Resizes a map as the SALICON challenge does: `scipy.ndimage.zoom`, order 3.

    Parameters, returns and raises as in `resize_mit`, except that nothing is clipped.
    """
    saliency_map = _map(saliency_map)
    if saliency_map.shape == tuple(shape):
        return saliency_map
    from scipy.ndimage import zoom

    return zoom(saliency_map, [new / old for new, old in zip(shape, saliency_map.shape)], order=3)


# --- the inputs, checked ---


def _map(array):
    array = np.asarray(array)
    if array.ndim != 2 or not array.size:
        raise ValueError(f'a map is an array of rows and columns, not of shape {array.shape}')
    array = array / 255 if array.dtype == np.uint8 else array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise ValueError('the map holds a NaN or an infinite value')
    return array


def _two_maps(saliency_map, other):
    saliency_map, other = _map(saliency_map), _map(other)
    if saliency_map.shape != other.shape:
        raise ValueError(f'shapes differ: {saliency_map.shape} and {other.shape}')
    return saliency_map, other


def _fixated(fixation_map, shape):
    fixation_map = np.asarray(fixation_map)
    if fixation_map.shape != shape:
        raise ValueError(f'shapes differ: map {shape}, fixations {fixation_map.shape}')
    return fixation_map != 0


def _map_and_fixated(saliency_map, fixation_map):
    saliency_map = _map(saliency_map)
    return saliency_map, _fixated(fixation_map, saliency_map.shape)


def _map_and_list(saliency_map, fixations):
    saliency_map = _map(saliency_map)
    fixations = np.asarray(fixations)
    if not fixations.size:
        return saliency_map, np.zeros((0, 2), int)
    if fixations.ndim != 2 or fixations.shape[1] != 2 or not np.issubdtype(fixations.dtype, np.integer):
        raise ValueError('fixations are rows and columns: an int array of shape (N, 2)')
    if (fixations < 0).any() or (fixations >= saliency_map.shape).any():
        raise ValueError(f'a fixation lies outside the map, which has (rows, columns) {saliency_map.shape}')
    return saliency_map, fixations


# --- shared by several metrics ---


def _random(seed):
    """NumPy's legacy generator: its stream is frozen, so a seed gives the same number in years to come."""
    return np.random.RandomState(seed)


def _constant(array):
    return array.min() == array.max()


def _stretched(array):
    """To 0..1 by minimum and maximum; a constant becomes 0."""
    array = array - array.min()
    array /= array.max() or 1
    return array


def _density(array):
    """To 0..1 by minimum and maximum, then divided by the sum; NaN where constant."""
    array = _stretched(array)
    array /= array.sum() or NAN
    return array


def _thresholds(step):
    """0, step, 2 * step .. up to 1. Thresholds above a map's maximum add nothing to the curve's corner."""
    return np.arange(int(1 / step + 1e-9) + 1) * step


def _at_or_above(values, thresholds, weights=None):
    """How many of `values`, or how much of their weight, reaches each threshold: the highest first.

    `thresholds` must ascend. Locating every value among them is faster than sorting the many more values.
    """
    passed = np.searchsorted(thresholds, values, side='right')
    return np.cumsum(np.bincount(passed, weights, minlength=thresholds.size + 1)[:0:-1])


def _area_against(positives, negatives, thresholds, weights=None):
    """Area under the ROC curve of two sets of values; `weights` are the negatives'."""
    total = negatives.size if weights is None else weights.sum()
    tp = _at_or_above(positives, thresholds) / positives.size
    return _area(tp, _at_or_above(negatives, thresholds, weights) / total)


def _area(tp, fp):
    """Trapezoids under a ROC curve given from strict to lax, its ends (0, 0) and (1, 1) added."""
    tp, fp = np.concatenate([[0], tp, [1]]), np.concatenate([[0], fp, [1]])
    return float((np.diff(fp) * (tp[1:] + tp[:-1])).sum() / 2)


def _salicon_area(positives, negatives, weights=None):
    """The same at 0, 0.01 .. below the largest value, which is excluded."""
    largest = max(positives.max(), negatives.max())
    return _area_against(positives, negatives, np.arange(0, largest, 0.01), weights)


def _bicubic(array, shape, scale=None):
    """Resizes as MATLAB's `imresize` with 'bicubic' and antialiasing; by `scale` if that was given."""
    rows, columns = (_line(*lengths, scale) for lengths in zip(array.shape, shape))
    return rows @ array @ columns.T


@functools.lru_cache(maxsize=64)
def _line(length, new_length, scale):
    """The matrix (new_length, length) that resizes a line."""
    scale = scale or new_length / length
    centres = (np.arange(new_length) + 0.5) / scale - 0.5
    narrow = min(scale, 1)  # antialiasing: the kernel is wider when shrinking
    width = 4 / narrow
    taken = np.floor(centres - width / 2).astype(int)[:, None] + np.arange(int(np.ceil(width)) + 2)
    x = np.abs((centres[:, None] - taken) * narrow)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x <= 1, inner, np.where(x <= 2, outer, 0))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.mod(taken, 2 * length)
    mirrored = np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored)
    matrix = np.zeros((new_length, length))
    np.add.at(matrix, (np.arange(new_length)[:, None], mirrored), weights)
    return matrix
