"""Scores of saliency maps by the two protocols, image by image, and their summary."""

import math
import statistics
import zlib
from collections import namedtuple
from functools import partial

import numpy as np
import scipy

from utils import metrics
from utils.command_line import progress
from utils.errors import CouldNotStart, Unreadable
from utils.evaluation.maps import read_map
from utils.evaluation.published import FIGURE3_METRICS
from utils.parallel import in_order

METRICS = {
    'mit': ('NSS', 'CC', 'SIM', 'KL', 'IG', 'AUC-Judd', 'AUC-Borji', 'sAUC', 'EMD'),
    'salicon': ('AUC', 'sAUC', 'NSS', 'CC'),
}
RESIZE = {'mit': metrics.resize_mit, 'salicon': metrics.resize_salicon}
GAUSSIAN = 0.25  # standard deviation of the Gaussian baseline, in heights and widths of the image

Settings = namedtuple('Settings', 'protocol metrics baseline others splits seed')
Settings.__doc__ = """All that shapes a number beside the maps and the ground truth.

`protocol`: 'mit' or 'salicon'. `metrics`: names out of `METRICS`. `baseline`: None for the Gaussian, or the
path and the array of a map. `others`: how many other images sAUC takes its negatives from, 0 for all (MIT).
`splits`: None for the exact expectation. `seed`: int; every image has its own, of this and its name.
"""


def settings_of(options):
    """The `Settings` that the options of 04 stand for.

    Raises
    ------
    CouldNotStart
        If the protocol has no such metric, or the baseline cannot be read.
    """
    names = options.metrics
    if options.snapshots and options.protocol == 'mit' and not names:
        names = ','.join(FIGURE3_METRICS)
    baseline = None
    if options.baseline != 'gaussian':
        try:
            baseline = options.baseline, read_map(options.baseline)
        except Unreadable as error:
            raise CouldNotStart(f'--baseline: {error}') from None
    metrics = chosen(names, options.protocol)
    return Settings(options.protocol, metrics, baseline, options.others, options.splits, options.seed)


def chosen(text, protocol):
    """The metrics that `text`, 'a,b,c', names; all of the protocol's for None.

    Raises
    ------
    CouldNotStart
        If the protocol has no such metric.
    """
    if text is None:
        return METRICS[protocol]
    by_name = {name.lower(): name for name in METRICS[protocol]}
    names = [name.strip() for name in text.split(',')]
    for name in names:
        if name.lower() not in by_name:
            raise CouldNotStart(
                f'{name!r}: no metric of the protocol {protocol}; it has {", ".join(METRICS[protocol])}'
            )
    wanted = {by_name[name.lower()] for name in names}
    return tuple(name for name in METRICS[protocol] if name in wanted)


def centre_gaussian(size):
    """The Gaussian baseline: centred, with a standard deviation of a quarter of each side; its top is 1."""
    rows, columns = (np.arange(length) - (length - 1) / 2 for length in size)
    down = np.exp(-0.5 * (rows / (GAUSSIAN * size[0])) ** 2)
    across = np.exp(-0.5 * (columns / (GAUSSIAN * size[1])) ** 2)
    return down[:, None] * across


def score(saliency_map, stem, truth, settings):
    """Scores one map.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (rows, columns)
        Resized as the protocol does where its size is not the image's.
    stem : str
        Of the image.
    truth : ground_truth.GroundTruth
    settings : Settings

    Returns
    -------
    dict of metric -> float, NaN where it is not defined

    Raises
    ------
    ValueError
        If a map holds a NaN.
    Unreadable
        If the ground truth's map cannot be read.
    """
    size = truth.images[stem].size
    saliency_map = RESIZE[settings.protocol](saliency_map, size)
    compute = _salicon if settings.protocol == 'salicon' else _mit
    functions = compute(saliency_map, stem, truth, settings)
    return {name: functions[name]() for name in settings.metrics}


def _salicon(saliency_map, stem, truth, settings):
    points = truth.images[stem].points.astype(int)
    return {
        'AUC': lambda: metrics.salicon_auc(saliency_map, points, seed=_seed(settings.seed, stem)),
        'sAUC': lambda: metrics.salicon_sauc(saliency_map, points, truth.counts(saliency_map.shape)),
        'NSS': lambda: metrics.salicon_nss(saliency_map, points),
        'CC': lambda: metrics.salicon_cc(saliency_map, points),
    }


def _mit(saliency_map, stem, truth, settings):
    fixated, seed = truth.fixation_map(stem), _seed(settings.seed, stem)
    blurred = None
    if set(settings.metrics) & {'CC', 'SIM', 'KL', 'EMD'}:
        blurred = metrics.resize_mit(truth.blurred(stem), saliency_map.shape)

    def information_gain():
        if settings.baseline is None:
            baseline = centre_gaussian(saliency_map.shape)
        else:
            baseline = metrics.resize_mit(settings.baseline[1], saliency_map.shape)
        return metrics.information_gain(saliency_map, fixated, baseline)

    def auc_shuffled():
        others = truth.other_fixations(stem, settings.others, seed)
        return metrics.auc_shuffled(saliency_map, fixated, others, splits=settings.splits, seed=seed)

    return {
        'NSS': lambda: metrics.nss(saliency_map, fixated),
        'CC': lambda: metrics.cc(saliency_map, blurred),
        'SIM': lambda: metrics.similarity(saliency_map, blurred),
        'KL': lambda: metrics.kl_divergence(saliency_map, blurred),
        'IG': information_gain,
        'AUC-Judd': lambda: metrics.auc_judd(saliency_map, fixated, seed=seed),
        'AUC-Borji': lambda: metrics.auc_borji(saliency_map, fixated, splits=settings.splits, seed=seed),
        'sAUC': auc_shuffled,
        'EMD': lambda: metrics.emd(saliency_map, blurred),
    }


def _seed(seed, stem):
    """An image's own seed, whatever the order in which images are scored."""
    return zlib.crc32(f'{seed}/{stem}'.encode('utf-8', 'surrogateescape'))


def score_all(items, count, truth, settings, workers):
    """Scores a set of maps.

    Parameters
    ----------
    items : iterable of (stem, path of the map, or the map itself)
    count : int
        How many there are.
    truth, settings : see `score`
    workers : int
        Threads.

    Returns
    -------
    dict of stem -> dict of metric -> float
    list of one sentence for each map without a score
    int, how many maps were resized
    """
    scores, failed, resized = {}, [], 0
    found = in_order(partial(_score_item, truth=truth, settings=settings), items, workers)
    for stem, result, size in progress(found, total=count, unit='map', desc='scores'):
        if isinstance(result, str):
            failed.append(result)
        else:
            scores[stem] = result
            resized += size != truth.images[stem].size
    return scores, failed, resized


def _score_item(item, truth, settings):
    """(stem, its scores, the map's size), or (stem, one sentence on why there are none, None)."""
    stem, source = item
    try:
        saliency_map = source if isinstance(source, np.ndarray) else read_map(source)
        return stem, score(saliency_map, stem, truth, settings), saliency_map.shape
    except Unreadable as error:
        return stem, str(error), None
    except ValueError as error:
        return stem, f'{stem if isinstance(source, np.ndarray) else source}: {error}', None


def summary(scores, names):
    """Mean, standard error over images and number of images of every metric.

    Parameters
    ----------
    scores : dict of stem -> dict of metric -> float
    names : metrics

    Returns
    -------
    dict of metric -> {'mean': .., 'stderr': .., 'n': ..}; images where the metric is NaN are not counted;
    NaN where too few are left.
    """
    result = {}
    for name in names:
        values = [values[name] for values in scores.values() if not math.isnan(values[name])]
        n = len(values)
        result[name] = {
            'mean': math.fsum(values) / n if n else math.nan,
            'stderr': statistics.stdev(values) / math.sqrt(n) if n > 1 else math.nan,
            'n': n,
        }
    return result


def described(settings, truth, scored, resized):
    """Everything that shapes the numbers, as text or numbers by name; for the head of every output."""
    mit, zoom = settings.protocol == 'mit', f'zoom, order 3, SciPy {scipy.__version__}'
    shown = {
        'protocol': settings.protocol,
        'images': scored,
        'layout': truth.layout,
        'fixation type': truth.fixation_type,
        'fixation filter': truth.fixation_filter,
        'maps resized': f'{resized} ({"bicubic, as imresize" if mit else zoom})',
        'seed': settings.seed,
    }
    if mit:
        there = len(truth.images) - 1
        shown.update(
            {
                'ground truth': truth.blurred_from
                or 'fixations blurred, sigma 19 at 640 x 480, in proportion',
                'baseline': settings.baseline[0]
                if settings.baseline
                else f'gaussian, centred, sigma {GAUSSIAN} of each side',
                'others': min(settings.others, there) or there,
                'splits': settings.splits or 'none: exact expectation',
                'step': 0.1,
                'jitter': 1e-7,
            }
        )
    else:
        shown['samples'] = 100_000
        shown['others'] = len(truth.images) - 1
    return {name: value for name, value in shown.items() if value is not None}
