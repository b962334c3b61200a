"""The fast convolutions: each transform, what they compute of the generator, and when they are used."""

import json
import resource

import inputs
import numpy as np
import pytest

from backend import convolutions, lasagne, native, theano, winograd
from models.model import Model
from models.model_bce import ModelBCE
from tests.conftest import passes_when_compiled
from tests.helpers import networks
from tests.helpers.engines import ONEDNN, needs_cpp
from tests.helpers.float64 import LARGE, MAPS

T = theano.tensor
get_output, set_all_param_values = lasagne.layers.get_output, lasagne.layers.set_all_param_values

OTHERS = 'OneDNNConvolution' if ONEDNN else 'CorrMM'


def chains(function):
    return [node.op for node in function.maker.fgraph.toposort() if isinstance(node.op, winograd.Chain)]


@needs_cpp
def test_they_run_on_this_cpu():
    """What else could turn them off is a fault of theirs, which every other test here would not see."""
    assert native.usable(winograd.engine)


@needs_cpp
def test_every_transform_against_plain_sums_in_float64(tmp_path):
    """Odd channel counts, sides of 1 to 48, any number of threads and images: tests/winograd_check.cpp."""
    passes_when_compiled('winograd_check.cpp', tmp_path)


@needs_cpp
@pytest.mark.skipif('avx512f' not in native.cpu_features(), reason='no AVX-512 here')
def test_avx512_gives_the_bytes_of_avx2(monkeypatch):
    """Every image size has its own mixture of transforms, blocks and remainders."""
    predict = networks.model('bce', 3).predictFunction
    (chain,) = chains(predict)
    maps: dict = {}
    for choice in ('', 'avx512'):
        monkeypatch.setenv('SALGAN_CONV', choice)
        monkeypatch.setattr(winograd, '_loaded', [])
        chain.__setstate__(chain.__getstate__())  # for the other library
        maps[choice] = [predict(inputs.batch(1, n, w, h)[0]) for n, w, h in ((1, 64, 48), (5, 16, 80))]
    chain.__setstate__(chain.__getstate__())
    for one, other in zip(*maps.values()):
        np.testing.assert_array_equal(one, other)


def same_maps_as_in_float64(folder, sizes):
    for (width, height), seeds in sizes.items():
        for seed, expected in zip(range(seeds), np.load(folder / f'maps_{width}x{height}.npy')):
            images, _ = inputs.batch(seed, 2, width, height)
            ours = networks.model('bce', seed).predictFunction(images)
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@needs_cpp
def test_maps_are_those_of_float64(float64):
    same_maps_as_in_float64(float64, MAPS)


@needs_cpp
@pytest.mark.long
def test_large_maps_are_those_of_float64(float64_long):
    same_maps_as_in_float64(float64_long, LARGE)


@needs_cpp
def test_the_whole_prediction_is_one_chain():
    (chain,) = chains(networks.model('bce').predictFunction)
    kinds = [kind for kind, _ in chain.steps]
    assert [kinds.count(kind) for kind in range(4)] == [22, 4, 4, 1]
    flips = [
        flip for kind, flip in chain.steps if kind in (winograd.CONVOLUTION, winograd.UPSCALED_CONVOLUTION)
    ]
    assert flips == [False] * 13 + [True] * 13  # VGG-16's cross-correlate


@needs_cpp
def test_training_keeps_what_gradients_need():
    """The frozen layers are a chain; the others are not; where no gradient goes through, all are one."""
    model = networks.model('salgan')
    (frozen,) = chains(model.G_trainFunction)
    assert [kind for kind, _ in frozen.steps] == [0, 0, 2, 0, 0, 2, 0, 0, 0, 2]
    (whole,) = chains(model.D_trainFunction)
    assert len(whole.steps) == 31


@needs_cpp
def test_the_same_bytes_at_any_number_of_threads_and_images():
    model = networks.model('bce', seed=3)
    images, _ = inputs.batch(1, 65, 64, 48)  # more than are computed at a time
    maps = {}
    for threads in ('1', '2', '3'):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('OMP_NUM_THREADS', threads)
            maps[threads] = model.predictFunction(images)
    for other in (maps['2'], maps['3']):
        np.testing.assert_array_equal(maps['1'], other)
    for i in (0, 31, 63, 64):
        np.testing.assert_array_equal(maps['1'][i], model.predictFunction(images[i : i + 1])[0])


@needs_cpp
def test_weights_changed_in_place_are_seen():
    model = networks.model('bce', seed=3)
    images, _ = inputs.batch(1, 1, 32, 32)
    before = model.predictFunction(images)
    filters = model.net['uconv3_2'].W
    filters.get_value(borrow=True)[:] *= -1  # as an update of Theano's changes them
    changed = model.predictFunction(images)
    assert not np.array_equal(before, changed)
    fresh = Model(32, 32, 1)
    arrays = inputs.generator_arrays(3)
    arrays[40] = -arrays[40]
    assert arrays[40].shape == filters.get_value(borrow=True).shape
    set_all_param_values(fresh.net['output'], arrays)
    np.testing.assert_array_equal(fresh.predictFunction(images), changed)


@needs_cpp
def test_a_part_of_the_network():
    model = networks.model('bce', seed=1)
    images, _ = inputs.batch(1, 2, 48, 32)
    layers = get_output([model.net[name] for name in ('pool3', 'upool3', 'uconv3_3')], deterministic=True)
    without = theano.compile.get_default_mode().excluding('winograd')
    slow = theano.function([model.input_var], layers, mode=without)
    assert not chains(slow)
    for layer, expected in zip(layers, slow(images)):
        fast = theano.function([model.input_var], layer)
        assert chains(fast)
        np.testing.assert_allclose(fast(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@needs_cpp
def test_activations_that_are_needed_besides_stay_outside():
    model = networks.model('bce', seed=1)
    images, _ = inputs.batch(1, 1, 48, 32)
    inner, outer = get_output([model.net['conv3_2'], model.net['conv4_3']])
    both = theano.function([model.input_var], [inner, outer])
    assert [len(chain.steps) for chain in chains(both)] == [8, 5]
    each = [theano.function([model.input_var], variable)(images) for variable in (inner, outer)]
    for together, alone in zip(both(images), each):
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def test_other_convolutions_are_left_alone():
    x, filters = T.tensor4(), theano.shared(np.zeros((4, 3, 5, 5), np.float32))
    bias = theano.shared(np.zeros(4, np.float32)).dimshuffle('x', 0, 'x', 'x')
    small = theano.shared(np.zeros((4, 3, 3, 3), np.float32))

    def rectified(y):
        return 0.5 * (y + bias + abs(y + bias))

    given = T.tensor4('filters')
    for y in (
        rectified(T.nnet.conv2d(x, filters, border_mode=1)),
        rectified(T.nnet.conv2d(x, small, border_mode=1, subsample=(2, 2))),
        rectified(T.nnet.conv2d(x, small)),
        rectified(T.nnet.conv2d(x, small, border_mode=1, filter_dilation=(2, 2))),
        rectified(T.nnet.conv2d(x, given, border_mode=1)),
        T.nnet.conv2d(x, small, border_mode=1) + bias,
        T.nnet.conv2d(x, small, border_mode=1),
    ):
        assert not chains(theano.function([x, given], y, on_unused_input='ignore'))


def ops_of_one_layer():
    """The classes of the Ops of a first layer, compiled with the settings of this moment."""
    x, filters = T.tensor4(), theano.shared(np.zeros((16, 3, 3, 3), np.float32))
    bias = theano.shared(np.zeros(16, np.float32)).dimshuffle('x', 0, 'x', 'x')
    y = lasagne.nonlinearities.rectify(T.nnet.conv2d(x, filters, border_mode=1) + bias)
    return networks.names_of_ops(theano.function([x], y))


def test_others_do_it_where_chains_cannot_or_shall_not(monkeypatch, float64):
    if native.wanted():
        assert 'Chain' in ops_of_one_layer()
    for choice, others in (('onednn', OTHERS), ('corrmm', 'CorrMM')):
        with monkeypatch.context() as patch:
            patch.setenv('SALGAN_CONV', choice)
            ops = ops_of_one_layer()
        assert 'Chain' not in ops and others in ops
    monkeypatch.setattr(native, 'cpu_features', lambda: frozenset({'sse2'}))
    ops = ops_of_one_layer()
    assert 'Chain' not in ops and OTHERS in ops
    ops = json.loads((float64 / 'ops.json').read_text())['predictFunction']
    assert 'Chain' not in ops and 'OneDNNConvolution' not in ops and 'CorrMM' in ops


@needs_cpp
def test_a_compiler_that_refuses_leaves_it_to_others(monkeypatch, capsys):
    monkeypatch.setattr(native, 'FLAGS', (*native.FLAGS, '-no-such-flag'))
    for engine in (winograd, convolutions):
        monkeypatch.setattr(engine, '_loaded', [])
    ops = ops_of_one_layer()
    assert 'Chain' not in ops and OTHERS in ops
    assert 'falling back to convolutions that are several times slower' in capsys.readouterr().err


@needs_cpp
def test_arrays_that_do_not_fit_are_refused():
    model = ModelBCE(32, 32)
    predict = model.predictFunction
    model.net['conv3_2'].W.set_value(np.zeros((256, 128, 3, 3), np.float32))
    with pytest.raises(ValueError, match='256, 128'):
        predict(np.zeros((1, 3, 32, 32), np.float32))


def test_no_images_no_maps():
    predict = networks.model('bce').predictFunction
    assert predict(np.zeros((0, 3, 32, 32), np.float32)).shape == (0, 1, 32, 32)


@needs_cpp
@pytest.mark.long
def test_ten_thousand_predictions_do_not_grow_the_memory():
    predict = networks.model('bce', seed=0).predictFunction
    rng = np.random.RandomState(0)

    def some(n):
        for _ in range(n):
            predict(rng.rand(rng.randint(1, 4), 3, 16, 16).astype(np.float32))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = some(300)
    assert some(10000) - before < 4096  # kilobytes
