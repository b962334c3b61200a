"""Training's convolutions: the layer and both gradients, where they are put in, and what falls back."""

import json

import inputs
import numpy as np
import pytest

from backend import convolutions, lasagne, native, theano
from tests.conftest import passes_when_compiled
from tests.helpers import networks
from tests.helpers.engines import needs_cpp

T = theano.tensor


def ops(function):
    return [
        node.op
        for node in function.maker.fgraph.toposort()
        if isinstance(node.op, convolutions.Convolution3x3)
    ]


def layer(filters, flip, upscaled, dtype='float32'):
    """(variables, [output, gradient of the input, gradient of the filters]) as Theano has them."""
    x, e = T.tensor4(dtype=dtype), T.tensor4(dtype=dtype)
    shared = theano.shared(filters.astype(dtype))
    large = x
    for axis in (2, 3) if upscaled else ():
        large = T.extra_ops.repeat(large, 2, axis)
    y = T.nnet.conv2d(large, shared, border_mode=1, filter_flip=flip)
    return [x, e], [y, *theano.grad(None, [x, shared], known_grads={y: e})]


@needs_cpp
def test_they_run_on_this_cpu():
    assert native.usable(convolutions.engine)


@needs_cpp
def test_every_gradient_against_plain_sums_in_float64(tmp_path):
    """Odd channel counts, sides of 1 to 256, any number of threads: tests/convolutions_check.cpp."""
    passes_when_compiled('convolutions_check.cpp', tmp_path)


@needs_cpp
@pytest.mark.parametrize('upscaled', [False, True])
@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize(
    ('n', 'channels', 'filters', 'rows', 'columns'),
    [(2, 16, 16, 8, 8), (3, 20, 33, 10, 6), (1, 17, 16, 1, 1), (5, 128, 64, 12, 16), (0, 16, 16, 4, 4)],
)
def test_a_layer_and_its_gradients_are_those_of_float64(n, channels, filters, rows, columns, flip, upscaled):
    rng = np.random.RandomState(n)
    taps = rng.randn(filters, channels, 3, 3) / np.sqrt(9 * channels)
    grown = 2 if upscaled else 1
    images = rng.randn(n, channels, rows, columns)
    gradient = rng.randn(n, filters, rows * grown, columns * grown)
    fast = theano.function(*layer(taps, flip, upscaled))
    assert {(op.task, op.upscaled, op.flip) for op in ops(fast)} == {
        (task, upscaled, flip) for task in range(3)
    }
    ours = fast(images.astype('float32'), gradient.astype('float32'))
    if n == 0:
        assert [array.shape for array in ours] == [gradient.shape, images.shape, taps.shape]
        assert not ours[2].any()
        return
    for array, expected in zip(
        ours, theano.function(*layer(taps, flip, upscaled, 'float64'))(images, gradient)
    ):
        np.testing.assert_allclose(array, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


@needs_cpp
def test_training_leaves_to_theano_the_last_layer_and_the_discriminators_sums():
    """conv4_1's input is not trained; of the discriminator only the gradients are in float32."""
    bce, salgan = networks.model('bce'), networks.model('salgan')
    for function, forward, to_input, to_filters, upscaled in (
        (bce.G_trainFunction, 19, 18, 19, 12),
        (salgan.G_trainFunction, 19, 18 + 2, 19, 12),
        (salgan.D_trainFunction, 0, 4, 4, 0),
    ):
        tasks = [op.task for op in ops(function)]
        assert [tasks.count(task) for task in range(3)] == [forward, to_input, to_filters]
        assert sum(op.upscaled for op in ops(function)) == upscaled
        for node in function.maker.fgraph.toposort():
            if 'CorrMM' in type(node.op).__name__:
                assert node.outputs[0].dtype == 'float64' or node.op.border_mode == 'valid'


@needs_cpp
def test_an_update_has_the_same_bytes_at_any_number_of_threads():
    after = []
    for threads in ('1', '2', '3'):
        model = networks.model('bce', seed=2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('OMP_NUM_THREADS', threads)
            model.G_trainFunction(*inputs.batch(1, 3, 48, 32))
        after.append(lasagne.layers.get_all_param_values(model.net['output']))
    for other in after[1:]:
        for ours, first in zip(other, after[0]):
            np.testing.assert_array_equal(ours, first)


@needs_cpp
def test_what_is_used_elsewhere_is_still_computed():
    """An upscaled input, or its gradient, that somebody asks for besides."""
    variables, (y, to_input, to_filters) = layer(np.ones((16, 16, 3, 3)), True, True)
    (x, e), large = variables, y.owner.inputs[0]
    to_large = theano.grad(None, large, known_grads={y: e})
    function = theano.function([x, e], [y, to_input, to_filters, large, to_large])
    rng = np.random.RandomState(0)
    images = rng.randn(2, 16, 4, 6).astype('float32')
    gradient = rng.randn(2, 16, 8, 12).astype('float32')
    *_, upscaled, whole = function(images, gradient)
    np.testing.assert_array_equal(upscaled, images.repeat(2, axis=2).repeat(2, axis=3))
    summed = whole.reshape(2, 16, 4, 2, 6, 2).sum(axis=(3, 5))
    np.testing.assert_allclose(function(images, gradient)[1], summed, rtol=0, atol=1e-4)


def test_other_convolutions_are_left_alone():
    x, given = T.tensor4(), T.tensor4('filters')

    def filters(*shape):
        return theano.shared(np.zeros(shape, np.float32))

    for y in (
        T.nnet.conv2d(x, filters(16, 16, 5, 5), border_mode=1),
        T.nnet.conv2d(x, filters(16, 16, 3, 3), border_mode=1, subsample=(2, 2)),
        T.nnet.conv2d(x, filters(16, 16, 3, 3)),
        T.nnet.conv2d(x, filters(16, 16, 3, 3), border_mode=1, filter_dilation=(2, 2)),
        T.nnet.conv2d(x, filters(16, 3, 3, 3), border_mode=1),
        T.nnet.conv2d(x, filters(15, 16, 3, 3), border_mode=1),
        T.nnet.conv2d(x, given, border_mode=1),
    ):
        assert not ops(theano.function([x, given], y, on_unused_input='ignore'))


@needs_cpp
def test_arrays_that_do_not_fit_are_refused():
    variables, outputs = layer(np.ones((16, 16, 3, 3)), True, False)
    function = theano.function(variables, outputs)
    images, gradient = np.zeros((2, 16, 4, 4), 'float32'), np.zeros((2, 16, 4, 5), 'float32')
    with pytest.raises(ValueError, match=r'\(2, 16, 4, 5\)'):
        function(images, gradient)
    with pytest.raises(ValueError, match=r'\(2, 17, 4, 4\)'):
        function(np.zeros((2, 17, 4, 4), 'float32'), gradient)


def test_theano_does_it_where_it_shall(monkeypatch, float64):
    monkeypatch.setenv('SALGAN_CONV', 'corrmm')
    small = networks.names_of_ops(theano.function(*layer(np.ones((16, 16, 3, 3)), True, False)))
    in_float64 = json.loads((float64 / 'ops.json').read_text())['G_trainFunction']
    for names in (small, in_float64):
        assert 'CorrMM' in names and 'CorrMM_gradWeights' in names and 'CorrMM_gradInputs' in names
        assert not {'Convolution3x3', 'OneDNNConvolution', 'Chain'} & {*names}
