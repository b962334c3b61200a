"""Scores saliency maps by the three protocols, image by image, and summarises them."""

import importlib.util
import math
import statistics
import zlib
from collections import Counter
from functools import partial
from typing import NamedTuple, Optional

import numpy as np
import scipy

from utils import VERSION, metrics
from utils.command_line import counted, listed, progress, say
from utils.data_sets.readers import LOG_DENSITY, MAP, NEGATIVE, SaliencyMap, another_shape
from utils.errors import CouldNotStart, Unreadable
from utils.evaluation import provenance, tuebingen
from utils.evaluation.ground_truth import SIDE, SIGMA
from utils.evaluation.maps import read_map, read_source
from utils.evaluation.published import FIGURE3_METRICS
from utils.images import ready_for_threads
from utils.parallel import in_order

METRICS = {
    'mit': ('NSS', 'CC', 'SIM', 'KL', 'IG', 'AUC-Judd', 'AUC-Borji', 'sAUC', 'EMD'),
    'salicon': ('AUC', 'sAUC', 'NSS', 'CC'),
    'tuebingen': ('AUC', 'sAUC', 'NSS', 'CC', 'KLDiv', 'SIM', 'IG'),
}
RESIZE = {'mit': metrics.resize_mit, 'salicon': metrics.resize_salicon, 'tuebingen': tuebingen.resized}
RESIZED_BY = {
    'mit': 'bicubic, as imresize',
    'salicon': f'zoom, order 3, SciPy {scipy.__version__}',
    'tuebingen': 'zoom, order 1',
}
GAUSSIAN = 0.25  # standard deviation of the Gaussian baseline, in heights and widths of the image

NO_POT = 'EMD needs the package POT, which is not here: it is not made for this Python yet, or not installed'
NOT_OF_NEGATIVE = ('KL', 'IG', 'EMD')  # in protocol mit, not defined for a map with negative values


class Settings(NamedTuple):
    """Everything that affects the numbers, apart from the maps and the ground truth."""

    protocol: str  # one of METRICS
    metrics: tuple  # names from METRICS
    baseline: Optional[tuple]  # the path and the array of a map; None for the Gaussian
    others: int  # number of other images that give sAUC's negatives, 0 for all (MIT)
    splits: Optional[int]  # draws of AUC-Borji and sAUC; None for the exact expectation
    seed: int  # every image's own seed is made from this and its name
    density: Optional[str] = None  # 'exp' or 'as-is': how a log density is scored; None: the default
    stretch: bool = False  # whether maps with another aspect ratio than their image's are accepted
    ignore_orientation: bool = False  # whether the EXIF orientation of maps is ignored


def settings_of(options):
    """The `Settings` given by the options of 04.

    Raises
    ------
    CouldNotStart
        If the protocol has no such metric, or the baseline cannot be read.
    """
    names = options.metrics
    if options.snapshots and options.protocol == 'mit' and not names:
        names = ','.join(FIGURE3_METRICS)
    if options.snapshots and options.protocol == 'tuebingen' and not names:
        names = ','.join(name for name in METRICS['tuebingen'] if name != 'IG')  # of log densities only
    baseline = None
    if options.baseline != 'gaussian':
        try:
            baseline = options.baseline, read_map(options.baseline)
        except Unreadable as error:
            raise CouldNotStart(f'--baseline: {error}') from None
    metrics = chosen(names, options.protocol)
    return Settings(
        options.protocol,
        metrics,
        baseline,
        options.others,
        options.splits,
        options.seed,
        options.density,
        options.stretch,
        options.ignore_orientation,
    )


def _has_pot():
    return importlib.util.find_spec('ot') is not None


def chosen(text, protocol):
    """The metrics named in `text`, 'a,b,c'; all of the protocol's for None.

    Raises
    ------
    CouldNotStart
        If the protocol has no such metric, or it needs a package that is not installed.
    """
    if text is None:
        if 'EMD' not in METRICS[protocol] or _has_pot():
            return METRICS[protocol]
        say(f'{NO_POT}; it is left out')
        return tuple(name for name in METRICS[protocol] if name != 'EMD')
    by_name = {name.lower(): name for name in METRICS[protocol]}
    names = [name.strip() for name in text.split(',')]
    for name in names:
        if name.lower() not in by_name:
            raise CouldNotStart(
                f'{name!r}: no metric of the protocol {protocol}; it has {", ".join(METRICS[protocol])}'
            )
    wanted = {by_name[name.lower()] for name in names}
    if 'EMD' in wanted and not _has_pot():
        raise CouldNotStart(NO_POT)
    return tuple(name for name in METRICS[protocol] if name in wanted)


def centre_gaussian(size):
    """The Gaussian baseline: centred, with a standard deviation of a quarter of each side and maximum 1."""
    rows, columns = (np.arange(length) - (length - 1) / 2 for length in size)
    down = np.exp(-0.5 * (rows / (GAUSSIAN * size[0])) ** 2)
    across = np.exp(-0.5 * (columns / (GAUSSIAN * size[1])) ** 2)
    return down[:, None] * across


def score(saliency_map, stem, truth, settings):
    """Scores one map.

    Parameters
    ----------
    saliency_map : readers.SaliencyMap, or a uint8 or float array, shape (rows, columns)
        Resized as the protocol does if its size is not the image's.
    stem : str
        Of the image.
    truth : ground_truth.GroundTruth
    settings : Settings

    Returns
    -------
    dict of metric -> float, NaN if it is not defined; all NaN for an image without fixations

    Raises
    ------
    ValueError
        If a map contains a NaN.
    Unreadable
        If the ground truth's map cannot be read.
    """
    image = truth.images[stem]
    if not len(image.points):
        return dict.fromkeys(settings.metrics, math.nan)
    if isinstance(saliency_map, np.ndarray):
        saliency_map = SaliencyMap(saliency_map, MAP)
    if settings.protocol == 'tuebingen':
        return _tuebingen(saliency_map, stem, truth, settings)
    values, kind = as_scored(saliency_map, settings)
    resized = RESIZE[settings.protocol](values, image.size)
    if settings.protocol == 'salicon':
        functions = _salicon(resized, stem, truth, settings)
    else:
        functions = _mit(resized, stem, truth, settings, floats=values.dtype != np.uint8)
        if kind == NEGATIVE:
            functions.update(dict.fromkeys(NOT_OF_NEGATIVE, lambda: math.nan))
    return {name: functions[name]() for name in settings.metrics}


def as_scored(saliency_map, settings):
    """The values of a `readers.SaliencyMap` that are scored, and their kind."""
    if saliency_map.kind != LOG_DENSITY:
        return saliency_map
    if settings.density == 'as-is':
        return saliency_map.values, NEGATIVE
    return np.exp(saliency_map.values.astype(np.float64)), MAP


def _salicon(saliency_map, stem, truth, settings):
    points = truth.images[stem].points.astype(int)
    return {
        'AUC': lambda: metrics.salicon_auc(saliency_map, points, seed=_seed(settings.seed, stem)),
        'sAUC': lambda: metrics.salicon_sauc(saliency_map, points, truth.counts(saliency_map.shape)),
        'NSS': lambda: metrics.salicon_nss(saliency_map, points),
        'CC': lambda: metrics.salicon_cc(saliency_map, points),
    }


def _mit(saliency_map, stem, truth, settings, floats=False):
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

    def auc_judd():
        # The jitter that breaks ties is absolute: it would scramble a probability density's small values.
        highest = saliency_map.max() if floats else 1
        scaled = saliency_map / highest if 0 < highest < 1 else saliency_map
        return metrics.auc_judd(scaled, fixated, seed=seed)

    return {
        'NSS': lambda: metrics.nss(saliency_map, fixated),
        'CC': lambda: metrics.cc(saliency_map, blurred),
        'SIM': lambda: metrics.similarity(saliency_map, blurred),
        'KL': lambda: metrics.kl_divergence(saliency_map, blurred),
        'IG': information_gain,
        'AUC-Judd': auc_judd,
        'AUC-Borji': lambda: metrics.auc_borji(saliency_map, fixated, splits=settings.splits, seed=seed),
        'sAUC': auc_shuffled,
        'EMD': lambda: metrics.emd(saliency_map, blurred),
    }


def _tuebingen(saliency_map, stem, truth, settings):
    """metric -> value, NaN if not defined for such a map."""
    points, size = truth.images[stem]
    points, wanted, found = points.astype(int), set(settings.metrics), {}
    density = saliency_map.kind == LOG_DENSITY
    if density and saliency_map.values.shape != size:
        raise ValueError('a log density must have the size of its image, since it is normalised over pixels')
    if density and settings.density != 'as-is' and 'IG' in wanted:
        found['IG'] = tuebingen.information_gain(saliency_map.values, points)
    if wanted - {'IG'} and not (density and settings.density is None):
        values, _ = as_scored(saliency_map, settings)
        if not np.isfinite(values).all():
            raise ValueError('a log density with -inf in it cannot be scored as it is; --density exp can')
        others = truth.all_fixations().at(size) if 'sAUC' in wanted else None
        sigma = blur_of(truth, size, 'tuebingen') if wanted & {'CC', 'KLDiv', 'SIM'} else None
        found.update(tuebingen.scores(tuebingen.resized(values, size), points, others, sigma))
    return {name: found.get(name, math.nan) for name in settings.metrics}


def blur_of(truth, size, protocol):
    """The sigma, in pixels, by which a protocol blurs the fixations of an image of a size."""
    if protocol == 'tuebingen':
        return truth.sigma or tuebingen.SIGMA
    return truth.sigma or SIGMA * max(size) / SIDE


def _seed(seed, stem):
    """An image's own seed, independent of the order in which images are scored."""
    return zlib.crc32(f'{seed}/{stem}'.encode('utf-8', 'surrogateescape'))


def score_all(items, count, truth, settings, workers):
    """Scores a set of maps.

    Parameters
    ----------
    items : iterable of (stem, path of the map, or the map itself)
    count : int
        Number of items.
    truth, settings : see `score`
    workers : int
        Threads.

    Returns
    -------
    dict of stem -> dict of metric -> float
    list with one sentence for each map without a score
    Counter of the maps that were 'resized', of those with 'another shape' among the failed, and of each
    `SaliencyMap.kind`
    """
    ready_for_threads()
    found = in_order(partial(score_item, truth=truth, settings=settings), items, workers)
    return collected(progress(found, total=count, unit='map', desc='scores'), truth)


def collected(found, truth):
    """What `score_all` returns, from the results of `score_item` for each item, in order."""
    scores, failed, seen = {}, [], Counter()
    for stem, result, size, kind in found:
        if isinstance(result, str):
            failed.append(result)
            seen['another shape'] += kind == 'another shape'
        else:
            scores[stem] = result
            seen.update({'resized': int(size != truth.images[stem].size), kind: 1})
    return scores, failed, seen


def score_item(item, truth, settings):
    """(stem, its scores, the map's size, its kind); a sentence instead of scores if there are none."""
    stem, source = item
    name = stem if isinstance(source, np.ndarray) else getattr(source, 'path', source)
    try:
        if isinstance(source, np.ndarray):
            found = SaliencyMap(source, MAP)
        else:
            found = read_source(source, settings.ignore_orientation)
            why = None if settings.stretch else another_shape(found.values.shape, truth.images[stem].size)
            if why:
                return stem, f'{name}: {why}', None, 'another shape'
        return stem, score(found, stem, truth, settings), found.values.shape, found.kind
    except Unreadable as error:
        return stem, str(error), None, None
    except ValueError as error:
        return stem, f'{name}: {error}', None, None


def remarks(scores, seen, truth, settings):
    """Remarks on a set of scores, one sentence each.

    Parameters
    ----------
    scores, seen : see `score_all`
    truth, settings : see `score`
    """
    if seen['resized']:
        yield f'{seen["resized"]} of {counted(len(scores), "map")} resized to the image, as the protocol does'
    if seen[LOG_DENSITY]:
        how = 'as they are' if settings.density == 'as-is' else 'by their exponential'
        if settings.protocol == 'tuebingen' and settings.density is None:
            how = 'by IG alone'
        yield f'{seen[LOG_DENSITY]} of {len(scores)} maps are log densities and are scored {how} (--density)'
    negative = seen[NEGATIVE] + (seen[LOG_DENSITY] if settings.density == 'as-is' else 0)
    if negative and settings.protocol == 'mit':
        yield (
            f'{negative} of {len(scores)} maps have negative values: {", ".join(NOT_OF_NEGATIVE)} are not '
            'defined for them and are left out'
        )
    empty = {stem for stem in truth.empty() if stem in scores}
    if empty:
        yield f'images without fixations, in no mean: {len(empty)} of {len(scores)}: {listed(sorted(empty))}'
    for name in settings.metrics:
        lacking = [s for s, values in scores.items() if math.isnan(values[name]) and s not in empty]
        if lacking and not (negative and name in NOT_OF_NEGATIVE):
            yield f'{name} is not defined for {len(lacking)} of {len(scores)} images: {listed(lacking, 3)}'


def columns(settings, seen):
    """The metrics that get a column: in protocol tuebingen IG needs log densities, and may be the only one.

    Parameters
    ----------
    settings, seen : see `score_all`
    """
    names = settings.metrics
    if settings.protocol == 'tuebingen':
        densities = seen[LOG_DENSITY] if settings.density != 'as-is' else 0
        if not densities:
            names = tuple(name for name in names if name != 'IG')
        elif settings.density is None and not seen[MAP] + seen[NEGATIVE]:
            names = tuple(name for name in names if name == 'IG')
    return names or settings.metrics


def summary(scores, names):
    """Mean, standard error over images and number of images for every metric.

    Parameters
    ----------
    scores : dict of stem -> dict of metric -> float
    names : metrics

    Returns
    -------
    dict of metric -> {'mean': .., 'stderr': .., 'n': ..}; images whose value is NaN are not counted; NaN if
    too few are left.
    """
    result = {}
    for name in names:
        values = [values[name] for values in scores.values() if not math.isnan(values[name])]
        n, finite = len(values), all(map(math.isfinite, values))  # IG may be -inf
        result[name] = {
            'mean': (math.fsum(values) if finite else sum(values)) / n if n else math.nan,
            'stderr': statistics.stdev(values) / math.sqrt(n) if n > 1 and finite else math.nan,
            'n': n,
        }
    return result


def described(settings, truth, scored, resized=0, made_by=None):
    """Everything that affects the numbers, as text or numbers by name; for the head of every output."""
    shown = {
        'version': VERSION,
        'protocol': settings.protocol,
        'images': scored,
        'layout': truth.layout,
        'data set': truth.set,
        'repeated fixations': 'not told by its files' if truth.set and not truth.multiplicity else None,
        'fixation type': truth.fixation_type,
        'fixation filter': truth.fixation_filter,
        'maps resized': f'{resized} ({RESIZED_BY[settings.protocol]})',
        'maps': made_by and provenance.described(made_by),
        'stretch': settings.stretch or None,
        'density': settings.density,
        'seed': settings.seed,
    }
    if settings.protocol == 'mit':
        there = len(truth.images) - 1
        shown.update(
            {
                'ground truth': truth.blurred_from or _blur(truth),
                'baseline': settings.baseline[0]
                if settings.baseline
                else f'gaussian, centred, sigma {GAUSSIAN} of each side',
                'others': min(settings.others, there) or there,  # 0 stands for all
                'splits': settings.splits or 'none: exact expectation',
                'step': metrics.STEP,
                'jitter': metrics.JITTER,
            }
        )
    elif settings.protocol == 'salicon':
        shown['samples'] = metrics.SAMPLES
        shown['others'] = len(truth.images) - 1
    else:
        sigma = truth.sigma or tuebingen.SIGMA
        shown['ground truth'] = f'fixations blurred, sigma {sigma:g} pixels, borders reflected'
        shown['others'] = len(truth.images) - 1
        if not truth.multiplicity:
            shown['repeated fixations'] = 'count once: the format cannot tell them'
    return {name: value for name, value in shown.items() if value is not None}


def _blur(truth):
    if truth.sigma:
        return f'fixations blurred, sigma {truth.sigma:g} pixels'
    return 'fixations blurred, sigma 19 at 640 x 480, in proportion'
