"""Scores maps whose numbers are known beforehand on a user's own ground truth, and says what is not right.

The ground truth against itself, a constant, a centre Gaussian and another image's ground truth: this finds
swapped coordinates, wrong names, the wrong edition or the wrong filter before a paper does.
"""

import math
from functools import partial

import numpy as np

from utils import metrics, salicon
from utils.census import IMAGES, TOTALS_2015
from utils.command_line import progress
from utils.evaluation import METRICS, RESIZE, centre_gaussian, score
from utils.ground_truth import PICKLE, listed
from utils.maps import read_map
from utils.parallel import in_order

MOST = 200  # images that are scored, drawn by the seed: enough for means
OK, WRONG, UNSURE = 'ok', 'WRONG', 'unsure'
ITSELF, CONSTANT, CENTRE, ANOTHER, MAPS = (
    'ground truth itself', 'constant', 'centre Gaussian', "another image's truth", 'the maps'
)  # fmt: skip
PAPER_NSS = 2.589  # the highest that the paper has on SALICON

# Where the fixations would belong if something were mixed up; all take rows, columns and the image's size.
MIXED_UP = {
    'with row and column swapped': lambda y, x, h, w: (x, y),
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
    settings : evaluation.Settings
        All metrics of its protocol are scored, whatever it names.
    files : dict of stem -> path, optional
        Maps to check too.
    workers : int
        Threads.

    Returns
    -------
    dict of row -> dict of metric -> mean
    list of (OK, WRONG or UNSURE, one sentence)

    Raises
    ------
    Unreadable, ValueError
        If a map cannot be read or holds a NaN.
    """
    files = files or {}
    settings = settings._replace(metrics=METRICS[settings.protocol])
    stems = [stem for stem in files or truth.images if len(truth.images[stem].points)]
    stems = [stems[i] for i in sorted(np.random.RandomState(settings.seed).permutation(len(stems))[:MOST])]
    work = partial(_check_image, stems=stems, truth=truth, settings=settings, files=files)
    found = list(
        progress(
            in_order(work, range(len(stems)), workers), total=len(stems), unit='image', desc='self-check'
        )
    )
    rows = {}
    for row in found[0]['scores'] if found else ():
        scores = [image['scores'][row] for image in found]
        rows[row] = {name: _mean(values[name] for values in scores) for name in settings.metrics}
    said = [
        *_outside(truth),
        *_sizes(truth, found),
        *_known(rows, settings.protocol),
        *_orientation(found, truth, files),
        *_names(found, files),
        *_edition(truth),
        *_filter(rows, truth),
    ]
    return rows, said


def _check_image(number, stems, truth, settings, files):
    """What is needed of one image: the scores of every row, and the witness's NSS at mixed-up fixations."""
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
        saliency_map = read_map(files[stem])
        sizes['maps'] = saliency_map.shape
        maps[MAPS] = RESIZE[settings.protocol](saliency_map, size)
    if len(stems) == 1:
        del maps[ANOTHER]
    found = {
        'scores': {row: score(saliency_map, stem, truth, settings) for row, saliency_map in maps.items()},
        'sizes': sizes,
        'size': size,
    }
    # The witness: what is known to lie where people look, whatever became of the fixations.
    witness = maps.get(MAPS, itself if truth.blurred_from else maps[CENTRE])
    found['nss'] = _nss_mixed_up(witness, truth.images[stem].points.astype(int), size)
    if files and len(stems) > 1:
        other = RESIZE[settings.protocol](read_map(files[stems[number - 1]]), size)
        found['own'], found['other'] = (
            metrics.nss(saliency_map, truth.fixation_map(stem)) for saliency_map in (maps[MAPS], other)
        )
    return found


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
    share = truth.outside / max(truth.points, 1)
    sentence = f'{truth.outside} of {truth.points} points lie outside their image'
    if share > 0.01:
        yield WRONG, f'{sentence}: are row and column swapped?'
    elif truth.outside:
        yield UNSURE, f'{sentence} and were dropped: the 2017 edition of SALICON has some, that of 2015 none'
    else:
        yield OK, sentence
    empty = [stem for stem, image in truth.images.items() if not len(image.points)]
    if empty:
        yield UNSURE, f'{len(empty)} images have no fixations ({listed(empty, 3)}); most metrics skip them'


def _sizes(truth, found):
    known = truth.layout in (salicon.MAT_2015, salicon.JSON, salicon.GAZE, PICKLE)
    sizes = {image.size for image in truth.images.values()}
    if known and sizes != {(480, 640)}:
        shown = listed((f'{rows} rows x {columns} columns' for rows, columns in sorted(sizes)), 3)
        yield WRONG, f'all images of SALICON have 480 rows x 640 columns, these {shown}: transposed?'
    elif known:
        yield OK, 'all images have 480 rows x 640 columns'
    for kind in ('ground truth', 'maps'):
        pairs = {(image['sizes'][kind], image['size']) for image in found if kind in image['sizes']}
        odd = [pair for pair in sorted(pairs) if abs(math.log(_aspect(pair[0]) / _aspect(pair[1]))) > 0.02]
        if odd:
            (rows, columns), (image_rows, image_columns) = odd[0]
            yield (
                WRONG,
                (
                    f'the {kind} has {rows} rows x {columns} columns, the image {image_rows} x {image_columns}: '
                    'transposed, or cropped?'
                ),
            )
        elif pairs:
            yield OK, f'the {kind} and the images have the same shape'


def _aspect(size):
    return size[1] / size[0]


# protocol -> (row, metric, lowest, highest, what else it would mean)
_BOUNDS = {
    'mit': (
        (ITSELF, 'CC', 1 - 1e-6, 1 + 1e-6, ''),
        (ITSELF, 'SIM', 1 - 1e-6, 1 + 1e-6, ''),
        (ITSELF, 'KL', -1e-6, 1e-6, ''),
        (ITSELF, 'EMD', -1e-6, 0.1, ''),
        (ITSELF, 'AUC-Judd', 0.7, 1, 'the blurred maps do not belong to these fixations'),
        (ITSELF, 'sAUC', 0.6, 1, 'the blurred maps do not belong to these fixations'),
        (CONSTANT, 'AUC-Judd', 0.45, 0.55, ''),
        (CENTRE, 'AUC-Borji', 0.55, 0.95, 'the fixations are not where people look: mixed-up coordinates?'),
        (CENTRE, 'sAUC', 0.35, 0.65, 'the other images are looked at elsewhere: a mixture of data sets?'),
        (ANOTHER, 'sAUC', 0.3, 0.65, 'images share their fixations: a map or a name twice?'),
    ),
    'salicon': (
        (ITSELF, 'AUC', 0.7, 1, 'the blurred maps do not belong to these fixations'),
        (ITSELF, 'sAUC', 0.6, 1, 'the blurred maps do not belong to these fixations'),
        (ITSELF, 'CC', 0.7, 1 + 1e-6, 'the blurred maps do not belong to these fixations'),
        (CONSTANT, 'AUC', 0.5, 0.5, ''),
        (CONSTANT, 'NSS', 0, 0, ''),
        (CENTRE, 'AUC', 0.55, 0.95, 'the fixations are not where people look: mixed-up coordinates?'),
        (CENTRE, 'sAUC', 0.35, 0.65, 'the other images are looked at elsewhere: a mixture of data sets?'),
        (ANOTHER, 'sAUC', 0.3, 0.65, 'images share their fixations: a map or a name twice?'),
    ),
}


def _known(rows, protocol):
    for row, metric, lowest, highest, otherwise in _BOUNDS[protocol]:
        value = rows.get(row, {}).get(metric, math.nan)
        if math.isnan(value):
            continue
        within = lowest <= value <= highest
        bounds = f'{lowest:.4g}' if lowest == highest else f'{lowest:.4g} to {highest:.4g}'
        sentence = f'{metric} of {row} is {value:.4f}, where {bounds} belongs'
        yield (OK if within else WRONG), sentence + (f': {otherwise}' if otherwise and not within else '')
    nss = [rows.get(row, {}).get('NSS', math.nan) for row in (ITSELF, CENTRE, ANOTHER)]
    if not any(map(math.isnan, nss)):
        right = nss[0] > max(nss[1:]) and nss[1] > 0
        yield (
            (OK if right else WRONG),
            (
                f'NSS of {ITSELF} is {nss[0]:.3f}, of {CENTRE} {nss[1]:.3f}, of {ANOTHER} {nss[2]:.3f}: the first must be the highest and the second '
                'above 0'
            ),
        )


def _orientation(found, truth, files):
    if files:
        witness, ways = 'the maps', MIXED_UP
    elif truth.blurred_from:
        witness, ways = 'the blurred maps', MIXED_UP
    else:  # a centre Gaussian looks the same in all but one of them
        witness, ways = 'a centre Gaussian', ['with row and column swapped']
    better = []
    for way in ways:
        mean, error = _difference(found, lambda image, way=way: (image['nss'][way], image['nss']['']))
        if mean > 2 * error and mean > 0.01:
            better.append((mean, way))
    as_they_are = f'NSS of {witness} at the fixations as they are is {_mean(i["nss"][""] for i in found):.3f}'
    if better:
        mean, way = max(better)
        yield WRONG, f'{as_they_are}, but {mean:.3f} more {way}'
        return
    mean, error = _difference(found, lambda image: (image['nss'][''], max(image['nss'][way] for way in ways)))
    certain = mean > 2 * error
    yield (
        (OK if certain else UNSURE),
        (
            f'{as_they_are}, no less than {"swapped" if len(ways) == 1 else "swapped, mirrored or turned"}'
            + ('' if certain else '; too few images to be certain')
        ),
    )
    if len(ways) == 1:
        yield UNSURE, 'mirrored or turned fixations show only beside maps: --maps or --ground-truth'


def _names(found, files):
    if not files or 'own' not in found[0]:
        return
    mean, error = _difference(found, lambda image: (image['own'], image['other']))
    own = _mean(image['own'] for image in found)
    sentence = f"NSS of an image's own map is {own:.3f}, {mean:.3f} more than that of another image's"
    if mean > 2 * error:
        yield OK, sentence
    else:
        yield (
            (WRONG if mean < 2 * error and len(found) >= 10 else UNSURE),
            f'{sentence}: are the names right?',
        )


def _edition(truth):
    """Holds the totals of whole splits against the edition of 2015, on which the paper's numbers are."""
    for split, totals in truth.totals.items():
        held = {kind: totals[kind] for kind in ('mouse samples', 'fixations') if totals[kind]}
        expected = TOTALS_2015.get(split, {})
        if truth.layout not in (salicon.GAZE, salicon.JSON) or not held or not expected:
            continue
        images = totals['images']
        said = ', '.join(f'{number} {kind}' for kind, number in held.items())
        sentence = f'{split}: {images} images with {said}'
        wanted = ', '.join(f'{number} {kind}' for kind, number in expected.items())
        if any(expected.get(kind) == number for kind, number in held.items()):
            yield OK, f'{sentence}: the edition of 2015, on which the paper is'
        elif images >= IMAGES[split]:
            yield (
                WRONG,
                (
                    f'{sentence}, where the edition of 2015 has {wanted}: not the data that the paper is on, and '
                    'scores on the two editions are not comparable'
                ),
            )
        else:
            yield UNSURE, f'{sentence}: not a whole split, so that its totals do not tell the edition'


def _filter(rows, truth):
    nss = rows.get(ITSELF, {}).get('NSS', math.nan)
    if truth.layout == salicon.FIXATION_MAPS or math.isnan(nss):
        return
    sentence = f'NSS of {ITSELF} is {nss:.2f}, about the most that a map can reach'
    if nss > PAPER_NSS:
        yield OK, f"{sentence}; the paper's {PAPER_NSS} is below"
    else:
        yield (
            WRONG,
            (
                f"{sentence}, and below the paper's {PAPER_NSS}: other fixations than the paper's; unfiltered "
                'mouse samples? (--fixation-filter duplicates)'
            ),
        )


def _difference(found, pair):
    """Mean of first - second over the images, and its standard error."""
    differences = [first - second for first, second in map(pair, found)]
    differences = [value for value in differences if not math.isnan(value)]
    if len(differences) < 2:
        return (differences or [math.nan])[0], math.inf
    return float(np.mean(differences)), float(np.std(differences, ddof=1) / math.sqrt(len(differences)))


def _mean(values):
    values = [value for value in values if not math.isnan(value)]
    return float(np.mean(values)) if values else math.nan
