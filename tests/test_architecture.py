"""The architecture's table: the arrays of the records, and the networks."""

import inputs
import numpy as np

from utils import architecture
from utils.architecture import CONVOLUTION, POOL, UPSCALE

GENERATOR = architecture.generator_layout()


def test_layouts_are_the_recorded_arrays_of_the_original():
    generator = inputs.generator_arrays(1)
    assert [shape for _, _, shape in GENERATOR] == [array.shape for array in generator]
    assert sum(array.size for array in generator) == 31787009
    assert len(GENERATOR) == 54
    assert architecture.encoder_layout() == GENERATOR[:26]
    assert GENERATOR[25] == ('conv5_3', 'b', (512,))
    assert GENERATOR[26] == ('uconv5_3', 'W', (512, 512, 3, 3))
    for width, height, parameters in (256, 192, 1359424), (64, 48, 207424):
        arrays = inputs.discriminator_arrays(1, width, height)
        layout = architecture.discriminator_layout(width, height)
        assert [shape for _, _, shape in layout] == [array.shape for array in arrays]
        assert sum(array.size for array in arrays) == parameters
    released = architecture.discriminator_layout(fc4_units=60)
    assert sum(4 * int(np.prod(shape)) for _, _, shape in released) == 3471136


def test_the_order_of_the_generators_layers():
    names = [layer.name for layer in architecture.GENERATOR]
    assert names[:4] == ['conv1_1', 'conv1_2', 'pool1', 'conv2_1']
    assert names[20:22] == ['upool4', 'uconv4_3'] and names[-2:] == ['uconv1_1', 'output']
    kinds = [layer.kind for layer in architecture.GENERATOR]
    assert (kinds.count(CONVOLUTION), kinds.count(POOL), kinds.count(UPSCALE)) == (27, 4, 4)
    flips = [layer.flips for layer in architecture.GENERATOR if layer.kind == CONVOLUTION]
    assert flips == [False] * 13 + [True] * 14


def test_the_units_of_fc4_are_those_of_the_arrays():
    for units in (100, 60):
        layout = architecture.discriminator_layout(64, 48, units)
        assert architecture.fc4_units_of([np.zeros(shape) for _, _, shape in layout]) == units
