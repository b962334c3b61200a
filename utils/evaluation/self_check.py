"""Scores maps with known results on a user's own ground truth, and reports what is wrong.

The maps are the ground truth itself, a constant, a centre Gaussian and another image's ground truth. This
finds swapped coordinates, wrong names, the wrong edition or the wrong filter before a paper does.
"""

import math
from functools import partial

import numpy as np

from utils import metrics
from utils.command_line import counted, listed, progress
from utils.data_sets import salicon
from utils.data_sets.census import IMAGES, SIZE, TOTALS_2015
from utils.evaluation.ground_truth import PICKLE
from utils.evaluation.maps import read_source
from utils.evaluation.scores import METRICS, RESIZE, as_scored, centre_gaussian, score
from utils.parallel import in_order

MOST = 200  # images that are scored, drawn with the seed: enough for means
_OF_SALICON = (salicon.MAT_2015, salicon.JSON, salicon.GAZE, PICKLE)  # a pickle made by 01 usually is
OK, WRONG, UNSURE = 'ok', 'WRONG', 'unsure'
ITSELF, CONSTANT, CENTRE, ANOTHER, MAPS = (
    'ground truth itself', 'constant', 'centre Gaussian', "another image's truth", 'the maps'
)  # fmt: skip
PAPER_NSS = 2.589  # the paper's highest on SALICON

# Where the fixations would be if something were mixed up; all take rows, columns and the image's size.
SWAPPED = 'with row and column swapped'
MIXED_UP = {
    SWAPPED: lambda y, x, h, w: (x, y),
    'transposed': lambda y, x, h, w: (x * h // w, y * w // h),
    'upside down': lambda y, x, h, w: (h - 1 - y, x),
    'mirrored': lambda y, x, h, w: (y, w - 1 - x),
    'turned by 180 degrees': lambda y, x, h, w: (h - 1 - y, w - 1 - x),
}


def check(truth, settings, files=None, workers=1):
    """Runs all checks.

    Parameters
    ----------
    truth : ground_truth.GroundTruth
    settings : utils.evaluation.scores.Settings
        All metrics of its protocol are scored, whichever it names.
    files : dict of stem -> path, optional
        Maps that are checked too.
    workers : int
        Threads.

    Returns
    -------
    dict of row -> dict of metric -> mean
    list of (OK, WRONG or UNSURE, one sentence)

    Raises
    ------
    Unreadable, ValueError
        If a map cannot be read or contains a NaN.
    """
    files = files or {}
    settings = settings._replace(metrics=METRICS[settings.protocol])
    stems = [stem for stem in files or truth.images if len(truth.images[stem].points)]
    stems = [stems[i] for i in sorted(np.random.RandomState(settings.seed).permutation(len(stems))[:MOST])]
    work = partial(_check_image, stems=stems, truth=truth, settings=settings, files=files)
    found = in_order(work, range(len(stems)), workers)
    found = list(progress(found, total=len(stems), unit='image', desc='self-check'))
    rows = {}
    for row in found[0]['scores'] if found else ():
        scores = [image['scores'][row] for image in found]
        rows[row] = {name: _mean(values[name] for values in scores) for name in settings.metrics}
    said = [
        *_outside(truth),
        *_sizes(truth, found),
        *_known(rows, settings.protocol),
        *_constant(rows, found),
        *_ranking(rows),
        *_orientation(found, truth, files),
        *_names(found, files),
        *_edition(truth),
        *(_filter(rows, truth) if settings.protocol != 'tuebingen' else ()),  # it filters nothing
    ]
    return rows, said


def _check_image(number, stems, truth, settings, files):
    """The results for one image: the scores of every row, and the witness's NSS at mixed-up fixations."""
    stem = stems[number]
    size = truth.images[stem].size
    itself = _truth_map(stem, truth, size)
    maps = {
        ITSELF: itself,
        CONSTANT: np.full(size, 0.5),
        CENTRE: centre_gaussian(size),
        ANOTHER: _truth_map(stems[number - 1], truth, size),
    }
    sizes = {'ground truth': truth.blurred(stem).shape} if truth.blurred_from else {}
    if files:
        saliency_map = _map_of(files[stem], settings)
        sizes['maps'] = saliency_map.shape
        maps[MAPS] = RESIZE[settings.protocol](saliency_map, size)
    if len(stems) == 1:
        del maps[ANOTHER]
    found = {
        'scores': {row: score(saliency_map, stem, truth, settings) for row, saliency_map in maps.items()},
        'sizes': sizes,
        'size': size,
        'fixated': np.count_nonzero(truth.fixation_map(stem)),
    }
    # The witness: a map that is known to be high where people look, independent of the fixations.
    witness = maps.get(MAPS, itself if truth.blurred_from else maps[CENTRE])
    found['nss'] = _nss_mixed_up(witness, truth.images[stem].points.astype(int), size)
    if files and len(stems) > 1:
        other = RESIZE[settings.protocol](_map_of(files[stems[number - 1]], settings), size)
        found['own'], found['other'] = (
            metrics.nss(saliency_map, truth.fixation_map(stem)) for saliency_map in (maps[MAPS], other)
        )
    return found


def _map_of(source, settings):
    """The values of a map that are scored."""
    return as_scored(read_source(source, settings.ignore_orientation), settings)[0]


def _truth_map(stem, truth, size):
    return metrics.resize_mit(truth.blurred(stem), size)


def _nss_mixed_up(witness, points, size):
    """NSS of the witness at the fixations as they are (by the name '') and mixed up in each way."""
    deviation = witness.std()
    standard = (witness - witness.mean()) / (deviation or 1)
    result = {'': standard[tuple(points.T)].mean()}
    for name, mix in MIXED_UP.items():
        y, x = mix(points[:, 0], points[:, 1], *size)
        inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
        result[name] = standard[y[inside], x[inside]].mean() if inside.any() else math.nan
    return result


# --- the checks, each a generator of (OK, WRONG or UNSURE, one sentence) ---


def _outside(truth):
    sentence = f'{truth.outside} of {truth.read} points lie outside their image'
    if truth.outside > 0.01 * truth.read:
        yield WRONG, f'{sentence}: are row and column swapped?'
    elif truth.outside:
        yield UNSURE, f'{sentence} and were dropped: the 2017 edition of SALICON has some, that of 2015 none'
    else:
        yield OK, sentence
    empty = [stem for stem, image in truth.images.items() if not len(image.points)]
    if empty:
        yield (
            UNSURE,
            f'{counted(len(empty), "image")} without fixations ({listed(empty, 3)}); most metrics skip them',
        )


def _sizes(truth, found):
    if truth.layout in _OF_SALICON:
        odd = sorted({image.size for image in truth.images.values()} - {SIZE})
        sentence = f'all of SALICON has {_shape(SIZE)}'
        if odd:
            sentence += f', but some images here {listed(map(_shape, odd), 3)}: transposed?'
        yield WRONG if odd else OK, sentence
    for kind in ('ground truth', 'maps'):
        pairs = sorted({(image['sizes'][kind], image['size']) for image in found if kind in image['sizes']})
        unlike = [pair for pair in pairs if abs(math.log(_aspect(pair[0]) / _aspect(pair[1]))) > 0.02]
        sentence = f'the {kind} and the images have the same shape'
        if unlike:
            shape, wanted = map(_shape, unlike[0])
            sentence = f'{kind}: {shape}, the image: {wanted}; transposed or cut?'
        if pairs:
            yield WRONG if unlike else OK, sentence


def _aspect(size):
    return size[1] / size[0]


def _shape(size):
    return f'{size[0]} rows x {size[1]} columns'


_NOT_THEIRS = 'the blurred maps do not belong to these fixations'
_ELSEWHERE = 'the fixations are not where people look: mixed-up coordinates?'
_MIXTURE = 'the other images are looked at elsewhere: a mixture of data sets?'
_TWICE = 'images share their fixations: one of them twice?'
# protocol -> (row, metric, lowest, highest, what it means if the value lies elsewhere)
_BOUNDS = {
    'mit': (
        (ITSELF, 'CC', 1 - 1e-6, 1 + 1e-6, ''),
        (ITSELF, 'SIM', 1 - 1e-6, 1 + 1e-6, ''),
        (ITSELF, 'KL', -1e-6, 1e-6, ''),
        (ITSELF, 'EMD', -1e-6, 0.1, ''),  # not 0 if 32 divides neither side: see metrics.emd
        (ITSELF, 'AUC-Judd', 0.7, 1, _NOT_THEIRS),
        (ITSELF, 'sAUC', 0.6, 1, _NOT_THEIRS),
        (CENTRE, 'AUC-Borji', 0.55, 0.95, _ELSEWHERE),
        (CENTRE, 'sAUC', 0.35, 0.65, _MIXTURE),
        (ANOTHER, 'sAUC', 0.3, 0.65, _TWICE),
    ),
    'salicon': (
        (ITSELF, 'AUC', 0.7, 1, _NOT_THEIRS),
        (ITSELF, 'sAUC', 0.6, 1, _NOT_THEIRS),
        (ITSELF, 'CC', 0.5, 1 + 1e-6, _NOT_THEIRS),  # 1 if sigma is 19: see blurred
        (CONSTANT, 'AUC', 0.5, 0.5, ''),
        (CONSTANT, 'NSS', 0, 0, ''),
        (CENTRE, 'AUC', 0.55, 0.95, _ELSEWHERE),
        (CENTRE, 'sAUC', 0.35, 0.65, _MIXTURE),
        (ANOTHER, 'sAUC', 0.3, 0.65, _TWICE),
    ),
}


_BOUNDS['tuebingen'] = _BOUNDS['salicon']


def _known(rows, protocol):
    for row, metric, lowest, highest, otherwise in _BOUNDS[protocol]:
        value = rows.get(row, {}).get(metric, math.nan)
        if math.isnan(value):
            continue
        narrow = highest - lowest < 1e-3
        wanted = f'{(lowest + highest) / 2:.3g}' if narrow else f'{lowest:.2g} to {highest:.2g}'
        sentence = f'{metric} of {row}: {value:.4f}, where {wanted} belongs'
        if lowest <= value <= highest:
            yield OK, sentence
        else:
            yield WRONG, sentence + (f'; {otherwise}' if otherwise else '')


def _constant(rows, found):
    """AUC-Judd of a constant map is that of a random order: 0.5, more exactly with more fixated pixels."""
    value = rows.get(CONSTANT, {}).get('AUC-Judd', math.nan)
    if math.isnan(value):
        return
    error = math.sqrt(sum(1 / (12 * image['fixated']) for image in found)) / len(found)
    right = abs(value - 0.5) < 4 * error + 0.005
    yield (
        OK if right else WRONG,
        f'AUC-Judd of {CONSTANT}: {value:.4f}, where 0.5 belongs, within {4 * error:.2g}',
    )


def _ranking(rows):
    nss = [rows.get(row, {}).get('NSS', math.nan) for row in (ITSELF, CENTRE, ANOTHER)]
    right = nss[0] > max(nss[1:]) and nss[1] > 0
    if not any(map(math.isnan, nss)):
        sentence = f'NSS of {ITSELF}, {nss[0]:.3f}, must be above that of {CENTRE}, {nss[1]:.3f}, '
        yield OK if right else WRONG, f'{sentence}and of {ANOTHER}, {nss[2]:.3f}; the second above 0'


def _orientation(found, truth, files):
    """Whether the witness would fit the fixations better if these were mixed up."""
    if not found:
        return
    if files:
        witness, ways = 'the maps', list(MIXED_UP)
    elif truth.blurred_from:
        witness, ways = 'the blurred maps', list(MIXED_UP)
    else:  # a centre Gaussian fits all but one of them equally well
        witness, ways = 'a centre Gaussian', [SWAPPED]
    as_they_are = _mean(image['nss'][''] for image in found)
    gains = {}
    for way in ways:
        gains[way] = _difference(found, lambda image, way=way: image['nss'][way] - image['nss'][''])
    way = max(ways, key=lambda way: np.nan_to_num(gains[way][0], nan=-np.inf))
    gain, error = gains[way]
    sentence = f'NSS of {witness}: {as_they_are:.3f} as the fixations are, {as_they_are + gain:.3f} {way}'
    if gain > max(2 * error, 0.01):
        yield WRONG, sentence
    elif gain < -2 * error:
        yield OK, sentence
    else:
        yield UNSURE, f'{sentence}: too few images, or too little between them, to be certain'
    if len(ways) == 1:
        yield UNSURE, 'mirrored or turned fixations show only beside maps: --maps or --ground-truth'


def _names(found, files):
    if not files or not found or 'other' not in found[0]:
        return
    own = _mean(image['own'] for image in found)
    gain, error = _difference(found, lambda image: image['own'] - image['other'])
    sentence = f"NSS of the maps: {own:.3f} on their own images, {own - gain:.3f} on other images'"
    if gain > 2 * error:
        yield OK, sentence
    else:
        yield WRONG if len(found) >= 10 else UNSURE, f'{sentence}: are the names right?'


def _edition(truth):
    """Compares the totals of whole splits with the edition of 2015, which the paper used."""
    if truth.layout not in (salicon.GAZE, salicon.JSON):
        return
    for split, totals in truth.totals.items():
        held = {kind: totals[kind] for kind in ('mouse samples', 'fixations') if totals[kind]}
        expected = TOTALS_2015.get(split, {})
        sentence = f'{split}: {counted(totals["images"], "image")} with {_counts(held)}'
        if not expected:
            continue
        if any(held.get(kind) == number for kind, number in expected.items()):
            yield OK, f'{sentence}: the edition of 2015, on which the paper is'
        elif totals['images'] < IMAGES[split]:
            yield UNSURE, f'{sentence}: not a whole split, so that its totals do not tell the edition'
        else:
            sentence += f'; the edition of 2015, on which the paper is, has {_counts(expected)}'
            yield WRONG, f'{sentence}, and scores on the two editions are not comparable'


def _counts(numbers):
    return ' and '.join(f'{number} {kind}' for kind, number in numbers.items()) or 'nothing'


def _filter(rows, truth):
    nss = rows.get(ITSELF, {}).get('NSS', math.nan)
    if truth.layout not in _OF_SALICON or math.isnan(nss):  # the paper's numbers are for SALICON
        return
    sentence = f'NSS of {ITSELF}: {nss:.2f}, about the most that a map can reach; the paper has {PAPER_NSS}'
    if nss > PAPER_NSS:
        yield OK, sentence
    else:
        yield WRONG, f'{sentence}: other fixations, or unfiltered ones? (--fixation-filter duplicates)'


def _difference(found, value):
    """The mean over the images of `value`, a difference of two numbers, and its standard error."""
    values = [number for number in map(value, found) if not math.isnan(number)]
    if len(values) < 2:
        return (values or [math.nan])[0], math.inf
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


def _mean(values):
    values = [value for value in values if not math.isnan(value)]
    return float(np.mean(values)) if values else math.nan
