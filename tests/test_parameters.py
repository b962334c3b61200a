"""The parameters of networks: set all or not at all, taken and put back by name."""

import inputs
import numpy as np
import pytest

from backend import lasagne
from models import parameters
from models.model_bce import ModelBCE
from models.model_salgan import ModelSALGAN


def small_arrays(seed=1):
    return inputs.discriminator_arrays(seed, width=64, height=48)


class Parameter:
    """Stands for a shared variable of Theano."""

    def __init__(self, shape, dtype):
        self.value, self.dtype = np.zeros(shape, dtype), dtype

    def get_value(self, borrow=False, return_internal_type=False):
        return self.value

    def set_value(self, value):
        assert value.dtype == self.dtype
        self.value = value


@pytest.fixture
def layers_are_lists(monkeypatch):
    """In place of Lasagne's: a layer is the list of its parameters."""
    monkeypatch.setattr(parameters, 'get_all_params', lambda layer: layer)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_set_values_sets_all(layers_are_lists, dtype):
    arrays = small_arrays()
    layer = [Parameter(array.shape, dtype) for array in arrays]
    parameters.set_values(layer, arrays)
    for parameter, array in zip(layer, arrays):
        np.testing.assert_array_equal(parameter.value, array)


@pytest.mark.parametrize('number', [0, 13, 19])
def test_set_values_sets_all_or_nothing(layers_are_lists, number):
    arrays = small_arrays()
    layer = [Parameter(array.shape, 'float32') for array in arrays]
    with pytest.raises(ValueError, match='19 arrays for a network of 20 parameters'):
        parameters.set_values(layer, arrays[:-1])
    layer[number] = Parameter((7, 3), 'float32')
    with pytest.raises(ValueError, match=rf'arr_{number} .* the network has \(7, 3\)'):
        parameters.set_values(layer, arrays)
    assert not any(parameter.value.any() for parameter in layer)


def test_set_values_of_a_lasagne_network():
    layer = lasagne.layers.DenseLayer(lasagne.layers.InputLayer((None, 5)), 3)
    before = lasagne.layers.get_all_param_values(layer)
    with pytest.raises(ValueError, match=r'arr_1 \(b\) has shape \(4,\), the network has \(3,\)'):
        parameters.set_values(layer, [np.ones((5, 3)), np.ones(4)])
    for value, old in zip(lasagne.layers.get_all_param_values(layer), before):
        np.testing.assert_array_equal(value, old)
    parameters.set_values(layer, [np.full((5, 3), 2.0), np.arange(3)])
    W, b = lasagne.layers.get_all_param_values(layer)
    assert W.dtype == b.dtype == layer.W.dtype
    np.testing.assert_array_equal(W, np.full((5, 3), 2.0))
    np.testing.assert_array_equal(b, [0, 1, 2])


@pytest.mark.parametrize('mode', ['bce', 'salgan'])
def test_the_variables_of_a_model(mode):
    model = (ModelBCE if mode == 'bce' else ModelSALGAN)(32, 32, 2)
    names = list(parameters.variables(model))
    # conv4_1 and all after it have an accumulator, and all of the discriminator's but its two g
    expected = [('generator', 54), ('generator_optimiser', 40)]
    if mode == 'salgan':
        expected += [('discriminator', 20), ('discriminator_optimiser', 18)]
    assert names == [f'{prefix}_{i:02d}' for prefix, count in expected for i in range(count)]
    arrays = {name: array + 1 for name, array in parameters.take(model).items()}
    parameters.put(model, arrays)
    for name, array in parameters.take(model).items():
        np.testing.assert_array_equal(array, arrays[name])

    for damage in (
        {name: array for name, array in arrays.items() if name != 'generator_00'},
        {**arrays, 'generator_53': arrays['generator_53'].astype('float64')},
        {**arrays, 'generator_53': np.zeros(2, 'float32')},
    ):
        with pytest.raises(ValueError, match='checkpoint'):
            parameters.put(model, {**damage, 'generator_01': np.zeros(64, 'float32')})
    np.testing.assert_array_equal(parameters.take(model)['generator_01'], arrays['generator_01'])
