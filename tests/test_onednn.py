"""oneDNN's convolutions: the layer and both gradients, which it takes, and what falls back."""

import subprocess

import inputs
import numpy as np
import pytest

from backend import lasagne, onednn, theano
from models.model_bce import ModelBCE
from tests.conftest import run_python
from tests.helpers import networks
from tests.helpers.engines import needs_onednn

T = theano.tensor


def layer(pad, flip, dtype='float32'):
    """(variables, [output, gradient of the input, gradient of the filters]) as Theano has them."""
    x, filters, e = (T.tensor4(dtype=dtype) for _ in range(3))
    y = T.nnet.conv2d(x, filters, border_mode=pad, filter_flip=flip)
    return [x, filters, e], [y, *theano.grad(None, [x, filters], known_grads={y: e})]


def tasks(function):
    nodes = function.maker.fgraph.toposort()
    return sorted(node.op.task for node in nodes if isinstance(node.op, onednn.OneDNNConvolution))


@needs_onednn
def test_it_is_here():
    assert onednn.usable()


@needs_onednn
@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize(
    ('n', 'channels', 'filters', 'rows', 'columns', 'side', 'pad'),
    [
        (2, 16, 16, 8, 8, 3, 1),
        (3, 5, 7, 10, 6, 5, 2),
        (1, 17, 1, 9, 7, 1, 0),
        (2, 4, 3, 6, 4, 3, 0),
        (2, 1, 1, 3, 3, 3, 2),
        (0, 3, 4, 5, 5, 3, 1),
        (5, 64, 32, 80, 60, 3, 1),
    ],
)
def test_a_layer_and_its_gradients_are_those_of_float64(n, channels, filters, rows, columns, side, pad, flip):
    rng = np.random.RandomState(n)
    arrays = [
        rng.randn(n, channels, rows, columns),
        rng.randn(filters, channels, side, side),
        rng.randn(n, filters, rows + 2 * pad - side + 1, columns + 2 * pad - side + 1),
    ]
    fast = theano.function(*layer(pad, flip))
    assert tasks(fast) == [0, 1, 2]
    ours = fast(*(array.astype('float32') for array in arrays))
    if n == 0:
        assert [array.shape for array in ours] == [arrays[i].shape for i in (2, 0, 1)]
        return
    terms = channels * side**2, filters * side**2, arrays[2].size // filters
    for array, expected, n_terms in zip(ours, theano.function(*layer(pad, flip, 'float64'))(*arrays), terms):
        # oneDNN adds up products one after the other: the roundings of so many additions
        error = 2.0**-24 * (8 + 2 * np.sqrt(n_terms))
        np.testing.assert_allclose(array, expected, rtol=0, atol=error * np.abs(expected).max())


@needs_onednn
def test_a_batch_in_pieces_of_bounded_scratch(monkeypatch):
    rng = np.random.RandomState(0)
    arrays = [rng.randn(*shape).astype('float32') for shape in ((7, 8, 9, 9), (8, 8, 3, 3), (7, 8, 9, 9))]
    function = theano.function(*layer(1, True))
    whole = function(*arrays)
    monkeypatch.setattr(onednn, 'SCRATCH', 3 * 4 * 8 * 81)  # three images, so that one is left over
    for array, expected in zip(function(*arrays), whole):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-4)


@needs_onednn
def test_strides_dilations_and_other_types_are_left_to_theano():
    x, filters = T.tensor4(), T.tensor4('filters')
    for y in (
        T.nnet.conv2d(x, filters, border_mode=1, subsample=(2, 2)),
        T.nnet.conv2d(x, filters, border_mode=1, filter_dilation=(2, 2)),
        T.nnet.conv2d(x.astype('float64'), filters.astype('float64'), border_mode=1),
    ):
        assert not tasks(theano.function([x, filters], y))


@needs_onednn
def test_arrays_that_do_not_fit_are_refused():
    variables, outputs = layer(1, False)
    function = theano.function(variables, outputs[0], on_unused_input='ignore')
    images = np.zeros((1, 3, 8, 8), 'float32')
    for shape in ((4, 5, 3, 3), (4, 3, 11, 3)):
        with pytest.raises(ValueError, match='do not fit'):
            function(images, np.zeros(shape, 'float32'), images)


@needs_onednn
def test_the_networks_by_each_of_the_three(monkeypatch):
    """SALGAN_CONV=onednn, corrmm and neither: other Ops, the same maps and cost; without oneDNN, CorrMM."""
    images, maps = inputs.batch(1, 2, 48, 32)
    ops, costs, predictions = {}, {}, {}
    for name, choice in (('neither', ''), ('onednn', 'onednn'), ('corrmm', 'corrmm')):
        with monkeypatch.context() as patch:
            patch.setenv('SALGAN_CONV', choice)
            model = networks.model('bce', 1) if name == 'neither' else ModelBCE(48, 32, 2)
            lasagne.layers.set_all_param_values(model.net['output'], inputs.generator_arrays(1))
            predictions[name] = model.predictFunction(images)
            costs[name] = model.G_trainFunction(images, maps)
            ops[name] = {*networks.names_of_ops(model.predictFunction)}
            ops[name].update(networks.names_of_ops(model.G_trainFunction))
    assert 'OneDNNConvolution' in ops['onednn'] and not {'CorrMM', 'Chain'} & ops['onednn']
    assert 'CorrMM_gradInputs' in ops['corrmm'] and not {'OneDNNConvolution', 'Chain'} & ops['corrmm']
    for name in ('neither', 'onednn'):
        assert costs[name] == pytest.approx(costs['corrmm'], rel=1e-4)
        np.testing.assert_allclose(predictions[name], predictions['corrmm'], rtol=0, atol=2e-5)


def test_without_it_theano_computes(monkeypatch):
    monkeypatch.setenv('SALGAN_CONV', 'onednn')
    monkeypatch.setattr(onednn, '_library', lambda: None)
    assert 'CorrMM' in networks.names_of_ops(theano.function(*layer(1, True), on_unused_input='ignore'))


def test_an_unknown_choice_is_refused():
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run_python('import backend', SALGAN_CONV='cudnn')
    assert raised.value.returncode == 2
    assert (
        raised.value.stderr.startswith('SALGAN_CONV=cudnn is unknown: ')
        and 'Traceback' not in raised.value.stderr
    )
