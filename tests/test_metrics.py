"""The metrics against the records of the references, to the tolerance that each record states."""

import functools
import json
import math

import inputs_metrics
import numpy as np
import pytest

from tests.conftest import GOLDEN
from utils import metrics

CASES = sorted(path.stem for path in (GOLDEN / 'metrics' / 'records').glob('*.json'))
MEASURED = [name for name in CASES if name != 'p12_nan']


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
    small = metrics._resize(metrics._map(case['gt']), size, (1 / 32, 1 / 32))
    assert np.abs(small - reference['octave_imresize_gt']).max() < 1e-12
    scales = tuple(new / old for new, old in zip(size, case['sal'].shape))
    small = metrics._resize(metrics._map(case['sal']), size, scales)
    assert np.abs(small - reference['octave_imresize_sal']).max() < 1e-12


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
