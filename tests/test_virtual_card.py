"""device=cuda computes, on the virtual card, what the golden records have, and races are seen."""

import json
import re

import numpy as np
import pytest

from tests.conftest import GOLDEN
from tests.helpers.gpu_environment import packages, python, variables
from tests.test_gpu import QUICK, check, with_cudnn

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
    assert float(found['error']) <= MAP_LIMIT


@pytest.mark.long
def test_tf32_is_off_whatever_the_environment_says(card):
    """And is seen where the user asks for it."""
    assert float(map_of(card, NVIDIA_TF32_OVERRIDE='')['error']) <= MAP_LIMIT
    asked_for = map_of(card, NVIDIA_TF32_OVERRIDE='1')
    assert float(asked_for['error']) > MAP_LIMIT and asked_for['line'].endswith('TF32 on')


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
    """(record, what the first updates made of it, stderr)."""
    record, output = NETWORK / f'train_{name}_float64.npz', folder / 'ours.npz'
    environment = variables(card, f'floatX=float64,{QUICK},{flags}', computes=True, **others)
    result = python('tests/helpers/trajectory.py', record, output, count, **environment)
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
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('name', ['bce', 'salgan'])
def test_updates_are_the_record_s(name, card, tmp_path):
    """Threads go in an order that is shuffled anew after every barrier."""
    record, ours, _ = updates(name, 2, card, tmp_path, CARD_ORDER='1')
    found = errors(record, ours)
    assert kept(found), found


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_updates_without_cudnn_race_nowhere(card, tmp_path):
    """One of D and one of G, by Theano's own kernels; every array begins as NaN."""
    flags = 'dnn.enabled=False,gpuarray.preallocate=-1'
    record, ours, said = updates('salgan', 2, card, tmp_path, flags, CARD_RACES='1')
    found = errors(record, ours)
    assert kept(found), found
    assert 'race in' not in said and 'wait for one another' not in said
