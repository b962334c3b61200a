"""Scores of one map, by both protocols, against the metrics called by hand."""

import inspect
import math

import numpy as np
import pytest

from tests.helpers.evaluation_data import SIZE, STEMS, fixation_map, points, saliency_map
from utils import VERSION, metrics
from utils.data_sets.data_set import blurred_map
from utils.errors import CouldNotStart
from utils.evaluation import tuebingen
from utils.evaluation.ground_truth import GroundTruth
from utils.evaluation.scores import (
    METRICS,
    Settings,
    centre_gaussian,
    chosen,
    described,
    score,
    score_all,
    summary,
)

STEM = STEMS[0]


@pytest.fixture
def truth():
    truth = GroundTruth('by hand')
    for number, stem in enumerate(STEMS):
        truth.add(stem, points(number), SIZE)
    return truth


def settings(protocol='mit', **changes):
    return Settings(protocol, METRICS[protocol], None, 10, None, 0)._replace(**changes)


def test_mit(truth):
    found = score(saliency_map(0), STEM, truth, settings(others=0))
    ours, fixated = saliency_map(0) / 255, fixation_map(0) > 0
    blurred = blurred_map(points(0), SIZE, 3.8)
    others = sum((fixation_map(number) > 0).astype(int) for number in range(1, len(STEMS)))
    assert found.pop('AUC-Judd') == pytest.approx(metrics.auc_judd(ours, fixated), abs=1e-3)
    assert found == {
        'NSS': metrics.nss(ours, fixated),
        'CC': metrics.cc(ours, blurred),
        'SIM': metrics.similarity(ours, blurred),
        'KL': metrics.kl_divergence(ours, blurred),
        'IG': metrics.information_gain(ours, fixated, centre_gaussian(SIZE)),
        'AUC-Borji': metrics.auc_borji(ours, fixated),
        'sAUC': metrics.auc_shuffled(ours, fixated, others),
        'EMD': metrics.emd(ours, blurred),
    }


def test_salicon(truth):
    found = score(saliency_map(0), STEM, truth, settings('salicon'))
    everybody = sum((fixation_map(number) > 0).astype(int) for number in range(len(STEMS)))
    assert found.pop('AUC') == pytest.approx(metrics.salicon_auc(saliency_map(0), points(0)), abs=5e-3)
    assert found == {
        'sAUC': metrics.salicon_sauc(saliency_map(0), points(0), everybody),
        'NSS': metrics.salicon_nss(saliency_map(0), points(0)),
        'CC': metrics.salicon_cc(saliency_map(0), points(0)),
    }


def test_the_baseline_is_that_of_the_records():
    import inputs_metrics

    case = {'seed': 1, 'H': 90, 'W': 140, 'nfix': 5, 'sal': 'u8', 'sigma': 4}
    assert np.abs(centre_gaussian((90, 140)) - inputs_metrics.build(case)['baseline']).max() < 1e-9


def test_another_baseline_is_brought_to_the_image(truth):
    baseline = centre_gaussian((48, 64))
    of_a_file = score(saliency_map(0), STEM, truth, settings(metrics=('IG',), baseline=('b.png', baseline)))
    gaussian = score(saliency_map(0), STEM, truth, settings(metrics=('IG',)))
    assert of_a_file['IG'] == pytest.approx(gaussian['IG'], abs=0.01)
    of_itself = settings(metrics=('IG',), baseline=('b.png', saliency_map(0)))
    assert score(saliency_map(0), STEM, truth, of_itself)['IG'] == 0


@pytest.mark.parametrize('protocol', METRICS)
def test_a_map_of_another_size_is_resized_as_the_protocol_does(truth, protocol):
    small = saliency_map(0)[::2, ::2]
    resize = {
        'mit': metrics.resize_mit,
        'salicon': metrics.resize_salicon,
        'tuebingen': tuebingen.resized,
    }[protocol]
    resized = score(resize(small, SIZE), STEM, truth, settings(protocol))
    assert score(small, STEM, truth, settings(protocol)) == pytest.approx(resized, abs=0, nan_ok=True)


def test_a_score_depends_on_seed_and_image_only(truth):
    sampled = settings(splits=5, metrics=('AUC-Judd', 'AUC-Borji', 'sAUC'))
    first = score(saliency_map(0), STEM, truth, sampled)
    assert score(saliency_map(0), STEM, truth, sampled) == first
    assert score(saliency_map(0), STEM, truth, sampled._replace(seed=1)) != first
    truth.images['same fixations'] = truth.images[STEM]
    assert score(saliency_map(0), 'same fixations', truth, sampled) != first


def test_only_what_is_asked_for(truth):
    assert set(score(saliency_map(0), STEM, truth, settings(metrics=('NSS', 'EMD')))) == {'NSS', 'EMD'}
    assert chosen('auc-judd, nss', 'mit') == ('NSS', 'AUC-Judd')
    assert chosen(None, 'salicon') == METRICS['salicon']
    for wrong in ('EMD', '', 'NSS,,CC'):
        with pytest.raises(CouldNotStart, match='AUC, sAUC, NSS, CC'):
            chosen(wrong, 'salicon')


def test_items_that_cannot_be_scored_are_named(truth, tmp_path):
    (tmp_path / 'cut.png').write_bytes(b'\x89PNG')
    np.save(tmp_path / 'nan.npy', np.full(SIZE, np.nan))
    items = [(STEM, str(tmp_path / name)) for name in ('cut.png', 'nan.npy')]
    scores, failed, seen = score_all(items, 2, truth, settings(), 2)
    assert (scores, seen['resized'], len(failed)) == ({}, 0, 2)
    assert 'cut.png' in failed[0] and 'nan.npy' in failed[1]
    scores, failed, seen = score_all([(STEM, saliency_map(0)[1:])], 1, truth, settings(), 2)
    assert set(scores[STEM]) == set(METRICS['mit']) and (failed, seen['resized']) == ([], 1)


def test_summary_counts_images_where_the_metric_is_defined():
    scores = {
        'a': {'NSS': 1.0, 'IG': math.nan},
        'b': {'NSS': 3.0, 'IG': 2.0},
        'c': {'NSS': 5.0, 'IG': math.nan},
    }
    found = summary(scores, ('NSS', 'IG'))
    assert found['NSS'] == {'mean': 3.0, 'stderr': pytest.approx(2 / math.sqrt(3)), 'n': 3}
    assert found['IG']['mean'] == 2 and found['IG']['n'] == 1 and math.isnan(found['IG']['stderr'])
    nothing = summary({'a': {'NSS': math.nan}}, ('NSS',))['NSS']
    assert nothing['n'] == 0 and math.isnan(nothing['mean'])


def test_what_shapes_the_numbers_is_told(truth):
    told = described(settings(splits=100, seed=3), truth, 12, 2)
    assert told['protocol'] == 'mit' and told['splits'] == 100 and told['seed'] == 3 and told['others'] == 10
    assert (
        told['fixation filter'] == 'none' and 'gaussian' in told['baseline'] and '2' in told['maps resized']
    )
    assert described(settings(others=0), truth, 12, 0)['others'] == len(STEMS) - 1
    assert 'exact' in described(settings(), truth, 12, 0)['splits']


def test_the_report_states_what_the_metrics_compute_with(truth, monkeypatch):
    """Not numbers that were typed again, which a change of the metrics would leave behind."""
    for function, parameter, constant in (
        (metrics.auc_borji, 'step', metrics.STEP),
        (metrics.auc_shuffled, 'step', metrics.STEP),
        (metrics.salicon_auc, 'samples', metrics.SAMPLES),
    ):
        assert inspect.signature(function).parameters[parameter].default is constant
    for number, name in enumerate(('STEP', 'JITTER', 'SAMPLES')):
        monkeypatch.setattr(metrics, name, number)
    mit, salicon = (described(settings(protocol), truth, 1, 0) for protocol in ('mit', 'salicon'))
    assert (mit['step'], mit['jitter'], salicon['samples']) == (0, 1, 2)
    assert mit['version'] == salicon['version'] == VERSION
