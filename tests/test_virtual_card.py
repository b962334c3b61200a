"""device=cuda computes, on the virtual card, what the golden records have, and races are seen."""

import json
import re

import numpy as np
import pytest

from benchmarks.gpu import FLAGS, NOISE_LIMIT, training_error
from tests.conftest import GOLDEN
from tests.helpers.gpu_environment import packages, python, variables
from tests.test_gpu import QUICK, check, with_cudnn
from tests.virtual_card.build import build

NETWORK = GOLDEN / 'network'
MAP_LIMIT = 1e-4
COST_LIMIT = 1e-12  # of costs; of sums, norms and first values of arrays, by their norms
WAY_LIMIT = 1e-9  # of the same of how far arrays have moved since the start


@pytest.fixture(scope='session')
def card():
    return packages()


def map_of(card, **others):
    """What tests/helpers/gpu_map.py found, of one image."""
    result = python('tests/helpers/gpu_map.py', '1', **variables(card, QUICK, computes=True, **others))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


# --- maps, in float32 ---


def test_line_graph_and_map_at_12_0(card):
    found = map_of(card, CARD_CAPABILITY='120')
    assert found['line'].startswith('device=cuda: Virtual card, compute capability 12.0, ')
    check({'predict': found['graph']}, with_cudnn())
    assert found['graph']['algorithms'] == ['GpuDnnConv guess_on_shape_change']  # the same each time
    assert float(found['error']) <= MAP_LIMIT


@pytest.mark.long
def test_tf32_is_off_whatever_the_environment_says(card):
    """And is seen where the user asks for it."""
    assert float(map_of(card, NVIDIA_TF32_OVERRIDE='')['error']) <= MAP_LIMIT
    asked_for = map_of(card, NVIDIA_TF32_OVERRIDE='1')
    assert float(asked_for['error']) > MAP_LIMIT and asked_for['line'].endswith('TF32 on')


@pytest.mark.long
def test_a_prediction_is_kept_on_disk_for_a_card(card):
    first = map_of(card)
    again = map_of(card)
    assert not again['made'] and again == {**first, 'made': False}


# --- races ---


def test_races_are_seen(card):
    """Numbers would not tell: in descending order the kernel that races is right, by luck."""
    for order, by_luck in (('ascending', '63.0'), ('descending', '2016.0')):
        environment = variables(card, computes=True, CARD_RACES='1', CARD_ORDER=order)
        result = python('tests/helpers/gpu_hazard.py', **environment)
        assert result.returncode == 0, result.stderr
        found = dict(re.findall(r'^(\w+) (\S+) 2016$', result.stdout, re.M))
        assert found == {'with_barriers': '2016.0', 'in_step': by_luck}
        assert 'race in in_step: ' in result.stderr and 'with_barriers' not in result.stderr


# --- training, in float64 ---


def updates(name, count, card, folder, flags='', **others):
    """(record, what its first updates made of it here, stderr); None for all of it."""
    record, output = NETWORK / f'train_{name}_float64.npz', folder / 'ours.npz'
    environment = variables(card, f'floatX=float64,{QUICK},{flags}', computes=True, **others)
    result = python('tests/helpers/trajectory.py', record, output, *([count] if count else []), **environment)
    assert result.returncode == 0, result.stderr
    return np.load(record), np.load(output), result.stderr


def errors(record, ours):
    """The largest errors of costs and of arrays, and of how far arrays have moved, all relative."""
    costs = 'costs' if 'costs' in record else 'loss'
    expected = record[costs][: len(ours[costs])]
    largest = {'costs': np.max(np.abs(ours[costs] - expected) / np.abs(expected)), 'arrays': 0, 'moved': 0}
    for name in ours.files:
        kind, _, statistic = name.rpartition('_')
        if not re.match(r'u\d+_', name):
            continue
        norm = record[f'{kind}_norm']
        norm = np.where(norm > 0, norm, 1)
        error = np.abs(ours[name] - record[name]) / norm.reshape(norm.shape + (1,) * (ours[name].ndim - 1))
        of = 'moved' if 'delta' in kind else 'arrays'
        largest[of] = max(largest[of], np.nanmax(error))
    return largest


def kept(found):
    return found['costs'] <= COST_LIMIT and found['arrays'] <= COST_LIMIT and 0 < found['moved'] <= WAY_LIMIT


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize('name', ['bce', 'salgan'])
def test_updates_are_the_record_s(name, card, tmp_path):
    """Threads go in an order that is shuffled anew after every barrier."""
    record, ours, _ = updates(name, 2, card, tmp_path, CARD_ORDER='1')
    found = errors(record, ours)
    assert kept(found), found


@pytest.mark.long
@pytest.mark.xdist_group('races')  # as long as all others here together
@pytest.mark.timeout(3600)
def test_updates_without_cudnn_race_nowhere(card, tmp_path):
    """One of D and one of G, by Theano's own kernels; every array begins as NaN."""
    flags = 'dnn.enabled=False,gpuarray.preallocate=-1'
    record, ours, said = updates('salgan', 2, card, tmp_path, flags, CARD_RACES='1')
    found = errors(record, ours)
    assert kept(found), found
    assert 'race in' not in said and 'wait for one another' not in said


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize('name', ['bce', 'salgan'])
@pytest.mark.parametrize('flags', ['', 'dnn.enabled=False'])
def test_every_update_is_the_record_s(flags, name, card, tmp_path):
    record, ours, _ = updates(name, None, card, tmp_path, flags, CARD_ORDER='descending')
    assert len([key for key in ours.files if key in record.files]) > 20
    for key in ours.files:
        if key in record.files:
            np.testing.assert_allclose(ours[key], record[key], rtol=1e-9, atol=0, err_msg=key)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize('capability', ['100', '120'])
@pytest.mark.parametrize('name', ['bce', 'salgan'])
def test_float32_is_within_ten_times_the_noise(name, capability, card):
    environment = variables(card, QUICK, computes=True, CARD_CAPABILITY=capability)
    assert training_error(name, environment) <= NOISE_LIMIT


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize('choice', ['2017', 'guess', 'deterministic'])
def test_other_algorithms_compute_the_same(choice, card, tmp_path):
    record, ours, _ = updates('salgan', 2, card, tmp_path, FLAGS[choice])
    found = errors(record, ours)
    assert kept(found), found


@pytest.mark.nightly
def test_odd_batches_predict_what_their_images_do_alone(card):
    result = python('tests/helpers/gpu_map.py', '3', **variables(card, QUICK, computes=True))
    assert result.returncode == 0, result.stderr
    assert float(json.loads(result.stdout)['error']) <= MAP_LIMIT


# --- mutants: the tests above are red where something is wrong ---

MUTANTS = {
    'flip': ('d->mode == CUDNN_CONVOLUTION;', 'd->mode != CUDNN_CONVOLUTION;'),
    'pad': ('s * d->dilation[1] - d->padding[1];', 's * d->dilation[1] - d->padding[1] + 1;'),
    'scale': ('const T result = alpha *', 'const T result = (T)1.001 * alpha *'),
}
OF_GRADIENTS = {
    'gradient of filters': ('weight[k] += factor * out[k];', 'weight[k] += factor * out[k] * (T)1.0000001;'),
    'gradient of input': ('in += alpha * sum;', 'in = alpha * sum;'),
    'gradient of a pool': ('result.at(n, c, row, column) += gradient / w.area;', ''),
}


def mutant(card, name, change, folder):
    """The environment in which a process has a cuDNN that is changed so."""
    (library,) = card.glob('nvidia/cudnn/lib/libcudnn.so.?')
    path = folder / name.replace(' ', '-') / library.name
    build('cudnn', path, card, [change])
    return {'LD_PRELOAD': str(path)}


@pytest.mark.long
@pytest.mark.parametrize('name', MUTANTS)
def test_a_mutant_of_the_card_has_another_map(name, card, tmp_path):
    error = float(map_of(card, **mutant(card, name, MUTANTS[name], tmp_path))['error'])
    assert not error <= MAP_LIMIT  # nor where it is NaN


@pytest.mark.long
def test_a_mutant_of_theano_s_convolution_has_another_map(card):
    result = python('tests/helpers/gpu_mutant.py', 'flip', **variables(card, QUICK, computes=True))
    assert result.returncode == 0, result.stderr
    assert not float(json.loads(result.stdout)['error']) <= MAP_LIMIT


@pytest.mark.long
def test_a_barrier_left_out_of_theano_s_sum_is_seen(card):
    environment = variables(card, f'dnn.enabled=False,{QUICK}', computes=True, CARD_RACES='1')
    result = python('tests/helpers/gpu_mutant.py', 'barrier', **environment)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 0.9 and 'race in kernel_reduce' in result.stderr


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize('name', OF_GRADIENTS)
def test_a_mutant_of_gradients_moves_the_arrays_elsewhere(name, card, tmp_path):
    changed = mutant(card, name, OF_GRADIENTS[name], tmp_path)
    record, ours, _ = updates('bce', 1, card, tmp_path, **changed)
    found = errors(record, ours)
    assert found['costs'] <= COST_LIMIT and not kept(found)
