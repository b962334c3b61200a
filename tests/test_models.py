"""The networks and what they compute, held to the original's records."""

import json

import inputs
import numpy as np
import pytest

from backend import lasagne
from models import discriminator, generator
from models.model_bce import ModelBCE
from models.model_salgan import ModelSALGAN
from tests.conftest import GOLDEN
from tests.helpers import networks, trajectory
from utils import architecture

NETWORK = GOLDEN / 'network'
EPSILON = 1e-6


def described(net, layer):
    """What init.json says of a network's arrays, of the network that ends in `layer`."""
    names = {id(parameter): name for name, of in net.items() for parameter in of.params}
    return [
        {
            'layer': names[id(parameter)],
            'name': parameter.name,
            'shape': list(parameter.get_value(borrow=True).shape),
            'dtype': parameter.dtype,
            'trainable': parameter in lasagne.layers.get_all_params(layer, trainable=True),
            'regularizable': parameter in lasagne.layers.get_all_params(layer, regularizable=True),
        }
        for parameter in lasagne.layers.get_all_params(layer)
    ]


@pytest.mark.parametrize('size', ['256x192', '64x48'])
def test_order_shapes_and_tags_of_every_array(size):
    record = json.loads((NETWORK / 'init.json').read_text())
    record['64x48']['generator'] = record['256x192']['generator']  # 'as at 256x192'
    width, height = map(int, size.split('x'))
    model = ModelSALGAN(width, height)
    for name, net, last in (
        ('generator', model.net, 'output'),
        ('discriminator', model.discriminator, 'prob'),
    ):
        expected = record[size][name]
        ours = described(net, net[last])
        assert [{key: array[key] for key in ours[0]} for array in expected] == ours
        assert record[size][name + '_parameters'] == lasagne.layers.count_params(net[last])


@pytest.mark.parametrize('name', ['generator', 'discriminator'])
def test_initial_weights_fill_glorots_bounds(name):
    record = json.loads((NETWORK / 'init.json').read_text())['256x192'][name]
    lasagne.random.set_rng(np.random.RandomState(3))
    model = ModelSALGAN(256, 192)
    layer = model.net['output'] if name == 'generator' else model.discriminator['prob']
    for array, values in zip(record, lasagne.layers.get_all_param_values(layer)):
        if array['name'] == 'W':
            n0, n1 = values.shape[:2]
            bound = np.sqrt(6 / ((n0 + n1) * np.prod(values.shape[2:])))
            if array['layer'] not in ENCODER:  # the record holds loaded weights there
                assert bound == pytest.approx(array['glorot_bound_gain1'])
            assert np.abs(values).max() <= bound * (1 + EPSILON)
            if values.size > 1000:
                assert np.abs(values).max() > 0.99 * bound
                assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
        else:
            assert (values == (1 if array['name'] == 'g' else 0)).all()


ENCODER = [f'conv{block}_{n}' for block, ns in enumerate((2, 2, 3, 3, 3), 1) for n in range(1, ns + 1)]


@pytest.mark.parametrize('size', ['256x192', '64x48'])
def test_layers_are_named_ordered_and_shaped_as_in_the_original(size):
    record = json.loads((NETWORK / 'init.json').read_text())[size]
    model = ModelSALGAN(*map(int, size.split('x')))
    for name, net in (('generator', model.net), ('discriminator', model.discriminator)):
        ours = [[layer, list(lasagne.layers.get_output_shape(net[layer]))] for layer in net]
        assert ours == record[name + '_output_shapes']


def test_the_tables_of_weights_files_are_the_networks():
    model = ModelSALGAN(256, 192, fc4_units=60)
    for net, last, layout in (
        (model.net, 'output', architecture.generator_layout()),
        (model.discriminator, 'prob', architecture.discriminator_layout(fc4_units=60)),
    ):
        ours = [(a['layer'], a['name'], tuple(a['shape'])) for a in described(net, net[last])]
        assert ours == layout


def test_the_map_is_the_records():
    record = np.load(NETWORK / 'predict_map.npz')
    width, height = int(record['width']), int(record['height'])
    model = networks.model('bce')
    arrays = inputs.generator_arrays(int(record['generator_seed']), float(record['gain']))
    lasagne.layers.set_all_param_values(model.net['output'], arrays)
    images, _ = inputs.batch(int(record['batch_seed']), 1, width, height)
    prediction = model.predictFunction(images)
    assert prediction.dtype == np.float32 and prediction.shape == (1, 1, height, width)
    np.testing.assert_allclose(prediction[0, 0], record['map'], rtol=0, atol=1e-5)


@pytest.mark.parametrize('mode', ['bce', 'salgan'])
def test_float64_training_follows_the_record_for_four_updates(mode, float64):
    record, ours = np.load(NETWORK / f'train_{mode}_float64.npz'), np.load(float64 / f'train_{mode}.npz')
    compared = [name for name in ours.files if name.startswith(('u1_', 'u2_', 'u4_'))]
    assert len(compared) >= 12
    costs = 'costs' if mode == 'salgan' else 'loss'
    assert len(ours[costs]) == 4
    for name in [*compared, costs]:
        expected = record[name][:4] if name == costs else record[name]
        np.testing.assert_allclose(ours[name], expected, rtol=1e-9, atol=0, err_msg=name)
    assert_frozen(mode, ours)


@pytest.mark.long
@pytest.mark.parametrize('mode', ['bce', 'salgan'])
def test_float64_training_follows_the_record(mode, float64_long):
    record, ours = np.load(NETWORK / f'train_{mode}_float64.npz'), np.load(float64_long / f'train_{mode}.npz')
    compared = [name for name in ours.files if name in record.files]
    assert len(compared) > 20
    for name in compared:
        np.testing.assert_allclose(ours[name], record[name], rtol=1e-9, atol=0, err_msg=name)
    assert_frozen(mode, ours)


def assert_frozen(mode, ours):
    assert list(ours['unchanged']) == list(range(14))  # conv1_1 .. conv3_3 are never trained
    if mode == 'salgan':
        assert list(ours['disc_unchanged']) == [10, 13]  # nor is g


@pytest.mark.parametrize('updates', [4, pytest.param(None, marks=pytest.mark.long)])
@pytest.mark.parametrize('mode', ['bce', 'salgan'])
def test_float32_training_stays_within_ten_times_the_noise(mode, updates):
    """Chaotic in float32: held update by update through the fourth, and by each statistic up to there.

    The long one also by what the networks give before the first update and after the last.
    """
    record = np.load(NETWORK / f'train_{mode}.npz')
    ours = trajectory.replay(record, updates)
    noise = json.loads((NETWORK / f'train_{mode}_noise.json').read_text())['noise']
    costs = 'costs' if mode == 'salgan' else 'loss'
    by_update = np.abs(ours[costs][:4] - record[costs][:4]).reshape(4, -1).max(axis=1)
    assert (by_update <= 10 * np.array(noise[costs]['max_abs_diff_by_update'][:4])).all(), by_update
    names = [name for name in noise if name.startswith(('u1_', 'u2_', 'u4_', 'maps_before', 'prob_'))]
    names = [name for name in names if name in ours]
    assert len(names) >= (12 if updates else 13)
    for name in names:
        difference = np.nanmax(np.abs(ours[name] - record[name]))
        # NumPy 2.5 sums in another order: the statistic of weights that did not move is rounded otherwise
        rounding = 1e-14 * noise[name]['max_abs_value']
        assert difference <= 10 * noise[name]['max_abs_diff'] + rounding, name


@pytest.mark.parametrize('network', ['generator', 'discriminator'])
def test_weight_decay_is_over_the_regularizable_arrays(network):
    records = json.loads((NETWORK / 'weight_decay.json').read_text())
    for name, record in records.items():
        if not name.startswith(network):
            continue
        width, height = record['width'], record['height']
        model = ModelSALGAN(width, height, weight_decay=1e-4)
        if network == 'generator':
            layer, arrays = model.net['output'], inputs.generator_arrays(record['seed'], record['gain'])
        else:
            layer = model.discriminator['prob']
            arrays = inputs.discriminator_arrays(record['seed'], width, height)
        lasagne.layers.set_all_param_values(layer, arrays)
        penalty = model.decayed(0.0, layer).eval() / 1e-4
        assert penalty == pytest.approx(record['value_float64'], rel=1e-6)


def test_without_weight_decay_the_objective_has_no_trace_of_it():
    model = ModelBCE(32, 32)
    objective = model.content_loss(model.output_var)
    assert model.decayed(objective, model.net['output']) is objective


@pytest.mark.parametrize(('width', 'height'), [(16, 16), (48, 32), (320, 240)])
def test_any_size_of_multiples_of_16(width, height):
    model = ModelBCE(width, height, 1)
    prediction = model.predictFunction(np.zeros((1, 3, height, width), np.float32))
    assert prediction.shape == (1, 1, height, width)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match='multiples of 16'):
        generator.build(100, 256, None)


def test_the_released_discriminator_has_60_units():
    net = discriminator.build(192, 256, None, fc4_units=60)
    assert net['fc4'].W.get_value(borrow=True).shape == (12288, 60)


def test_a_batch_predicts_what_its_images_predict_alone():
    model = networks.model('bce', seed=1)
    images, _ = inputs.batch(5, 3, 64, 48)
    together = model.predictFunction(images)
    alone = [model.predictFunction(images[i : i + 1])[0] for i in range(3)]
    np.testing.assert_array_equal(together, alone)
