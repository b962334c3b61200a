"""The metrics against the records of the references, to the tolerance that each record states."""

import functools
import json
import math
import sys

import inputs_metrics
import numpy as np
import pytest

from tests.conftest import GOLDEN
from utils import metrics

CASES = sorted(path.stem for path in (GOLDEN / 'metrics' / 'records').glob('*.json'))
MEASURED = [name for name in CASES if name != 'p12_nan']
POT = sys.version_info < (3, 15)  # as in requirements/run.in
needs_pot = pytest.mark.skipif(not POT, reason='POT has no wheel for this Python yet')


def record(name):
    return json.loads((GOLDEN / 'metrics' / 'records' / f'{name}.json').read_text())


@functools.cache
def inputs(name):
    """The inputs of a case as the reference had them."""
    return inputs_metrics.build(record(name)['case'])


def tolerance(name, metric):
    """What the record states: under the metric's name, or with how it was sampled after it."""
    stated = record(name)['tolerances_abs']
    return next(value for key, value in stated.items() if key.split(' (')[0] == metric)


def agrees(value, recorded, within):
    """Equal to a number of a record, where 'NaN' and an error of the reference stand for NaN."""
    if isinstance(recorded, str):
        return math.isnan(value)
    return abs(value - recorded) <= within


def test_inputs_are_the_references():
    for name in CASES:
        hashes = {key: entry['sha256'] for key, entry in record(name)['inputs'].items()}
        assert {key: inputs_metrics.sha(value) for key, value in inputs(name).items()} == hashes, name


@pytest.mark.parametrize('name', MEASURED)
def test_mit_metrics_without_randomness(name):
    case, reference = inputs(name), record(name)
    ours = {
        'NSS': metrics.nss(case['sal'], case['fix']),
        'CC': metrics.cc(case['sal'], case['gt']),
        'SIM': metrics.similarity(case['sal'], case['gt']),
        'KL': metrics.kl_divergence(case['sal'], case['gt']),
        'IG': metrics.information_gain(case['sal'], case['fix'], case['baseline']),
        'AUC_Judd_nojitter': metrics.auc_judd(case['sal'], case['fix'], jitter=False),
    }
    for metric, value in ours.items():
        if metric in reference['undefined_or_noise']:
            assert math.isnan(value), metric
        else:
            recorded = reference['cvzoya'][metric]
            assert agrees(value, recorded, tolerance(name, metric)), (metric, value, recorded)


@needs_pot
@pytest.mark.parametrize('name', MEASURED)
def test_emd(name):
    case, reference = inputs(name), record(name)
    value = metrics.emd(case['sal'], case['gt'])
    if any(text.startswith('EMD') for text in reference['undefined_or_noise']):
        assert math.isnan(value)
    else:
        assert abs(value - reference['emd']['EMD_POT_exact']) <= 1e-7
        assert abs(value - reference['cvzoya']['EMD']) <= tolerance(name, 'EMD')


@pytest.mark.parametrize('name', [name for name in CASES if 'octave_imresize_gt' in record(name)['emd']])
def test_resize_is_matlabs(name):
    case, reference = inputs(name), record(name)['emd']
    size = tuple(reference['size'])
    ours = metrics._bicubic(metrics._map(case['gt']), size, scale=1 / 32)
    assert np.abs(ours - reference['octave_imresize_gt']).max() < 1e-12
    ours = metrics._bicubic(metrics._map(case['sal']), size)
    assert np.abs(ours - reference['octave_imresize_sal']).max() < 1e-12


@pytest.mark.parametrize('name', MEASURED)
def test_expectations(name):
    case, reference = inputs(name), record(name)
    borji = metrics.auc_borji(case['sal'], case['fix'])
    shuffled = metrics.auc_shuffled(case['sal'], case['fix'], case['other'])
    if not reference['expectation']:  # constant maps, nothing fixated
        assert math.isnan(borji) and math.isnan(shuffled)
        return
    assert abs(shuffled - reference['expectation']['AUC_shuffled[i*0.1]']) <= 1e-9
    if reference['n_fixated_pixels'] == 1:  # the reference returns NaN before it draws anything
        assert math.isnan(borji)
    else:
        assert abs(borji - reference['expectation']['AUC_Borji[i*0.1]']) <= 1e-9


@pytest.mark.parametrize('name', MEASURED)
def test_sampled_as_the_protocol_does(name):
    # The record states five standard deviations of the reference's own runs.
    case, reference = inputs(name), record(name)['cvzoya']
    ours = {
        'AUC_Judd_jitter': metrics.auc_judd(case['sal'], case['fix']),
        'AUC_Borji': metrics.auc_borji(case['sal'], case['fix'], splits=100),
        'AUC_shuffled': metrics.auc_shuffled(case['sal'], case['fix'], case['other'], splits=100),
    }
    for metric, value in ours.items():
        recorded = reference[metric + ':mean']
        within = 0 if isinstance(recorded, str) else tolerance(name, metric)
        assert agrees(value, recorded, within), (metric, value, recorded)


@pytest.mark.parametrize('name', MEASURED)
def test_salicon_metrics(name):
    case, reference = inputs(name), record(name)['salicon_evaluation']
    lists = {'': case['fix_list'], 'unique:': np.argwhere(case['fix'])}
    for prefix, fixations in lists.items():
        ours = {
            'NSS': metrics.salicon_nss(case['sal'], fixations),
            'SAUC': metrics.salicon_sauc(case['sal'], fixations, case['other']),
            'AUC:mean': metrics.salicon_auc(case['sal'], fixations),
        }
        for metric, value in ours.items():
            recorded = reference[prefix + metric]
            sampled = metric.startswith('AUC') and not isinstance(recorded, str)
            within = tolerance(name, 'salicon.AUC') if sampled else 1e-9
            assert agrees(value, recorded, within), (prefix + metric, value, recorded)
    blurred = metrics.salicon_cc(case['sal'], case['fix_list'])
    assert agrees(blurred, reference['CC_buildFixMap_sigma19'], 1e-9)
    assert agrees(metrics.cc(case['sal'], case['gt']), reference['CC'], 1e-9)


# --- properties with a reason, and bad input ---

RANDOM = np.random.RandomState(5)
MAP = RANDOM.random_sample((48, 64))
FIXATION_MAP = RANDOM.random_sample((48, 64)) > 0.98
POINTS = np.argwhere(FIXATION_MAP)
OTHERS = RANDOM.randint(0, 3, (48, 64)) * (RANDOM.random_sample((48, 64)) > 0.9)
ON_FIXATION_MAPS = {
    'nss': (),
    'auc_judd': (),
    'auc_borji': (),
    'auc_shuffled': (OTHERS,),
    'information_gain': (MAP[::-1],),
}
ON_POINTS = {'salicon_auc': (), 'salicon_sauc': (OTHERS,), 'salicon_nss': (), 'salicon_cc': ()}
ON_MAPS = ['cc', 'similarity', 'kl_divergence', *(['emd'] if POT else [])]


def every_metric(saliency_map):
    """Name -> value of all thirteen (without POT, twelve), against the truth above."""
    fixated = FIXATION_MAP
    values = {n: getattr(metrics, n)(saliency_map, fixated, *rest) for n, rest in ON_FIXATION_MAPS.items()}
    values.update({n: getattr(metrics, n)(saliency_map, POINTS, *rest) for n, rest in ON_POINTS.items()})
    values.update({n: getattr(metrics, n)(saliency_map, MAP[:, ::-1]) for n in ON_MAPS})
    return values


def test_eight_bits_are_divided_by_255():
    eight_bits = (MAP * 255).astype(np.uint8)
    assert every_metric(eight_bits) == every_metric(eight_bits / 255)
    fixated = FIXATION_MAP.astype(np.uint8) * 255  # as a fixation map is read from a PNG
    assert metrics.nss(MAP, fixated) == metrics.nss(MAP, FIXATION_MAP)


def test_float32_is_taken():
    exact, single = every_metric(MAP), every_metric(MAP.astype(np.float32))
    assert all(abs(exact[name] - single[name]) < 1e-3 for name in exact)


def test_map_against_itself():
    assert metrics.cc(MAP, MAP) == pytest.approx(1, abs=1e-12)
    assert metrics.similarity(MAP, MAP) == pytest.approx(1, abs=1e-12)
    assert metrics.kl_divergence(MAP, MAP) == pytest.approx(0, abs=1e-11)
    square = MAP[:32, :32]  # where 32 divides no side, map and ground truth are resized differently
    assert metrics.emd(square, square) == pytest.approx(0, abs=1e-12)
    assert metrics.information_gain(MAP, FIXATION_MAP, MAP) == 0


@pytest.mark.parametrize('name', ['nss', 'cc', 'auc_borji', 'auc_shuffled', 'salicon_auc', 'salicon_sauc'])
def test_scale_and_offset_of_a_map_change_nothing(name):
    assert every_metric(MAP * 3 + 2)[name] == pytest.approx(every_metric(MAP)[name], abs=1e-12)


def test_a_map_that_ranks_every_fixation_first():
    # The trapezoid from (0, 0) to the first threshold costs half of the negatives at that threshold: none.
    perfect = FIXATION_MAP.astype(float)
    assert metrics.auc_judd(perfect, FIXATION_MAP) == pytest.approx(1, abs=1e-12)
    assert metrics.salicon_sauc(perfect, POINTS, OTHERS) == 1
    assert metrics.auc_judd(1 - perfect, FIXATION_MAP) < 0.1


def test_judd_without_jitter_where_all_or_nothing_is_fixated():
    assert math.isnan(metrics.auc_judd(MAP, np.ones_like(MAP)))
    assert math.isnan(metrics.auc_judd(MAP, np.zeros_like(MAP)))


def test_shuffled_takes_the_union_and_leaves_own_fixations_in():
    counted = metrics.auc_shuffled(MAP, FIXATION_MAP, OTHERS)
    assert metrics.auc_shuffled(MAP, FIXATION_MAP, OTHERS > 0) == counted
    assert metrics.auc_shuffled(MAP, FIXATION_MAP, FIXATION_MAP) == pytest.approx(0.5)
    assert math.isnan(metrics.salicon_sauc(MAP, POINTS, FIXATION_MAP))  # nothing is left to compare with
    assert math.isnan(metrics.auc_shuffled(MAP, FIXATION_MAP, np.zeros_like(OTHERS)))


def test_salicon_sauc_leaves_the_counts_as_they_were():
    others = OTHERS.copy()
    first = metrics.salicon_sauc(MAP, POINTS, others)
    assert np.array_equal(others, OTHERS)
    assert metrics.salicon_sauc(MAP, POINTS, others) == first


def test_seeds():
    def sampled(seed):
        return [
            metrics.auc_judd(np.round(MAP, 1), FIXATION_MAP, seed=seed),
            metrics.auc_borji(MAP, FIXATION_MAP, splits=3, seed=seed),
            metrics.auc_shuffled(MAP, FIXATION_MAP, OTHERS, splits=3, seed=seed),
            metrics.salicon_auc(MAP, POINTS, samples=50, seed=seed),
        ]

    assert sampled(1) == sampled(1)
    assert all(first != second for first, second in zip(sampled(1), sampled(2)))


def test_many_splits_approach_the_expectation():
    for name, rest in (('auc_borji', ()), ('auc_shuffled', (OTHERS,))):
        metric = getattr(metrics, name)
        many = [metric(MAP, FIXATION_MAP, *rest, splits=400, seed=seed) for seed in range(20)]
        off = np.mean(many) - metric(MAP, FIXATION_MAP, *rest)
        assert abs(off) < 4 * np.std(many) / np.sqrt(len(many))


@pytest.mark.parametrize('step', [0.05, 0.3, 1])
def test_other_steps(step):
    thresholds = np.arange(0, 1 + 1e-9, step)
    stretched = (MAP - MAP.min()) / (MAP.max() - MAP.min())
    tp = [1, *((stretched[FIXATION_MAP] >= t).mean() for t in thresholds), 0]
    fp = [1, *((stretched >= t).mean() for t in thresholds), 0]
    by_hand = sum((fp[i] - fp[i + 1]) * (tp[i] + tp[i + 1]) / 2 for i in range(len(tp) - 1))
    assert metrics.auc_borji(MAP, FIXATION_MAP, step=step) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(value):
    broken = MAP.copy()
    broken[3, 4] = value
    for name, rest in {**ON_FIXATION_MAPS, **ON_POINTS, **dict.fromkeys(ON_MAPS, ())}.items():
        truth = MAP if name in ON_MAPS else FIXATION_MAP if name in ON_FIXATION_MAPS else POINTS
        with pytest.raises(ValueError, match='NaN'):
            getattr(metrics, name)(broken, truth, *rest)


def test_other_shapes_are_refused():
    for name in ON_MAPS:
        with pytest.raises(ValueError, match='shapes differ'):
            getattr(metrics, name)(MAP, MAP.T)
    for name, rest in ON_FIXATION_MAPS.items():
        with pytest.raises(ValueError, match='shapes differ'):
            getattr(metrics, name)(MAP, FIXATION_MAP.T, *rest)
    for name, rest in ON_POINTS.items():
        with pytest.raises(ValueError, match='outside the map'):
            getattr(metrics, name)(MAP, POINTS + 40, *rest)
    with pytest.raises(ValueError, match='rows and columns'):
        metrics.nss(MAP[None], FIXATION_MAP[None])
    with pytest.raises(ValueError, match=r'\(N, 2\)'):
        metrics.salicon_nss(MAP, POINTS.T)


def test_resizes():
    from PIL import Image

    small = np.clip(MAP, 0.2, 0.8)
    assert np.array_equal(metrics.resize_mit(small, (48, 64)), small)
    assert np.array_equal(metrics.resize_salicon(small, (48, 64)), small)
    large = metrics.resize_mit(small, (96, 192))
    # Pillow's bicubic has the same kernel and other borders.
    pillow = np.asarray(Image.fromarray(small.astype(np.float32)).resize((192, 96), Image.Resampling.BICUBIC))
    assert np.abs(large - pillow)[8:-8, 8:-8].max() < 1e-5
    assert large.min() >= 0 and large.max() <= 1
    smooth = np.sin(np.linspace(0, 3, 48))[:, None] * np.cos(np.linspace(0, 1, 64))
    assert (
        np.abs(metrics.resize_mit(smooth, (24, 32)) - smooth.reshape(24, 2, 32, 2).mean((1, 3))).max() < 1e-2
    )
    zoomed = metrics.resize_salicon(smooth, (95, 127))  # order 3 passes through the old pixels
    assert np.abs(zoomed[::2, ::2] - smooth).max() < 1e-9


@needs_pot
def test_emd_of_a_map_moved_by_cells():
    rows, columns = np.mgrid[:640, :640]

    def blob(row, column):
        return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 60**2))

    # Two cells to the right and one down: every part of the mass moves as far.
    assert metrics.emd(blob(288, 288), blob(320, 352)) == pytest.approx(math.hypot(1, 2), abs=1e-4)


def test_emd_of_an_image_larger_than_any_display_is_refused(monkeypatch):
    monkeypatch.setattr(metrics, 'LARGEST_EMD', 3)
    with pytest.raises(ValueError, match='too many for EMD'):
        metrics.emd(MAP.repeat(4, axis=0), MAP[::-1].repeat(4, axis=0))


# --- the field's library ---

UNTIED = ('p03_full_float', 'p08_single_fix')  # ties with what is fixated are counted in another way
DEFINED = [name for name in MEASURED if not record(name)['undefined_or_noise']]


def test_agrees_with_pysaliency():
    """With the values of pysaliency 0.2.22 in the records, where the definitions coincide."""
    compared = []
    for name in DEFINED:
        case, theirs = inputs(name), record(name)['pysaliency']
        s, g, fixations = case['sal'], case['gt'], case['fix_list']
        ours = {
            'NSS': metrics.salicon_nss(s, fixations),
            'CC': metrics.cc(s, g),
            'SIM_after_minmax': metrics.similarity(s, g),
            'IG_of_minmax_eps_densities': metrics.information_gain(s, case['fix'], case['baseline']),
        }
        if s.min() > 0:  # the epsilon of the KL has fewer digits there and shows where s is 0
            ours['MIT_KLDiv'] = metrics.kl_divergence(s, g)
        if name in UNTIED:
            ours['unique:AUC_Judd_nojitter'] = metrics.auc_judd(s, case['fix'], jitter=False)
        for metric, value in ours.items():
            assert value == pytest.approx(theirs[metric], abs=1e-9), (name, metric)
        compared += ours
    assert {compared.count(metric) for metric in ('NSS', 'CC', 'SIM_after_minmax')} == {len(DEFINED)}
    assert compared.count('MIT_KLDiv') == 3 and compared.count('unique:AUC_Judd_nojitter') == 2
