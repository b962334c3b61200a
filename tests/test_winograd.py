"""The fast convolutions: each transform, what they compute of the generator, and when they are used."""

import os
import resource

import inputs
import numpy as np
import pytest

from backend import lasagne, native, theano, winograd
from models.model import Model
from models.model_bce import ModelBCE
from models.model_salgan import ModelSALGAN
from tests.conftest import passes_when_compiled, run_python
from tests.helpers.engines import ONEDNN, needs_cpp

T = theano.tensor
get_output, set_all_param_values = lasagne.layers.get_output, lasagne.layers.set_all_param_values

OTHERS = 'OneDNNConvolution' if ONEDNN else 'CorrMM'


def chains(function):
    return [node.op for node in function.maker.fgraph.toposort() if isinstance(node.op, winograd.Chain)]


def generator(width, height, seed, model=ModelBCE):
    built = model(width, height)
    set_all_param_values(built.net['output'], inputs.generator_arrays(seed))
    return built


@needs_cpp
def test_they_run_on_this_cpu():
    """What else could turn them off is a fault of theirs, which every other test here would not see."""
    assert native.usable(winograd.engine)


@needs_cpp
@pytest.mark.parametrize('sanitisers', [[], ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']])
def test_every_transform_against_plain_sums_in_float64(sanitisers, tmp_path):
    """Odd channel counts, sides of 1 to 48, any number of threads and images: tests/winograd_check.cpp."""
    passes_when_compiled('winograd_check.cpp', sanitisers, tmp_path)


IN_FLOAT64 = """
import inputs, numpy as np
from models.model import Model
from lasagne.layers import set_all_param_values
file, width, height, *seeds = sys.argv[1:]
model, maps = Model(int(width), int(height), 1), []
for seed in map(int, seeds):
    set_all_param_values(model.net['output'], [a.astype('float64') for a in inputs.generator_arrays(seed)])
    images, _ = inputs.batch(seed, 2, int(width), int(height))
    maps.append(model.predictFunction(images.astype('float64')))
np.save(file, maps)
"""


@needs_cpp
@pytest.mark.parametrize(
    ('width', 'height', 'seeds'),
    [
        (64, 48, range(5)),
        (16, 16, range(3)),
        (48, 80, range(2)),
        pytest.param(256, 192, range(5), marks=pytest.mark.long),
        pytest.param(640, 480, range(1), marks=pytest.mark.long),
    ],
)
def test_maps_are_those_of_float64(width, height, seeds, tmp_path):
    file = tmp_path / 'maps.npy'
    run_python(IN_FLOAT64, file, width, height, *seeds, THEANO_FLAGS='floatX=float64')
    model = ModelBCE(width, height)
    for seed, expected in zip(seeds, np.load(file)):
        set_all_param_values(model.net['output'], inputs.generator_arrays(seed))
        images, _ = inputs.batch(seed, 2, width, height)
        np.testing.assert_allclose(model.predictFunction(images), expected, rtol=0, atol=1e-5)


@needs_cpp
def test_the_whole_prediction_is_one_chain():
    (chain,) = chains(Model(64, 48, 1).predictFunction)
    kinds = [kind for kind, _ in chain.steps]
    assert [kinds.count(kind) for kind in range(4)] == [22, 4, 4, 1]
    flips = [
        flip for kind, flip in chain.steps if kind in (winograd.CONVOLUTION, winograd.UPSCALED_CONVOLUTION)
    ]
    assert flips == [False] * 13 + [True] * 13  # VGG-16's cross-correlate


@needs_cpp
def test_training_keeps_what_gradients_need():
    """The frozen layers are a chain; the others are not; where no gradient goes through, all are one."""
    model = ModelSALGAN(32, 32)
    (frozen,) = chains(model.G_trainFunction)
    assert [kind for kind, _ in frozen.steps] == [0, 0, 2, 0, 0, 2, 0, 0, 0, 2]
    (whole,) = chains(model.D_trainFunction)
    assert len(whole.steps) == 31


@needs_cpp
def test_the_same_bytes_at_any_number_of_threads_and_images():
    model = generator(64, 48, seed=3)
    images, _ = inputs.batch(1, 65, 64, 48)  # more than are computed at a time
    maps = {}
    for threads in ('1', '2', '3'):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('OMP_NUM_THREADS', threads)
            maps[threads] = model.predictFunction(images)
    alone = np.concatenate([model.predictFunction(images[i : i + 1]) for i in range(len(images))])
    for other in (maps['2'], maps['3'], alone):
        np.testing.assert_array_equal(maps['1'], other)


@needs_cpp
def test_weights_changed_in_place_are_seen():
    model = generator(32, 32, seed=3)
    images, _ = inputs.batch(1, 1, 32, 32)
    before = model.predictFunction(images)
    filters = model.net['uconv3_2'].W
    filters.get_value(borrow=True)[:] *= -1  # as an update of Theano's changes them
    changed = model.predictFunction(images)
    assert not np.array_equal(before, changed)
    fresh = ModelBCE(32, 32)
    arrays = inputs.generator_arrays(3)
    arrays[40] = -arrays[40]
    assert arrays[40].shape == filters.get_value(borrow=True).shape
    set_all_param_values(fresh.net['output'], arrays)
    np.testing.assert_array_equal(fresh.predictFunction(images), changed)


@needs_cpp
def test_a_part_of_the_network():
    model = generator(48, 32, seed=1)
    images, _ = inputs.batch(1, 2, 48, 32)
    for name in ('pool3', 'upool3', 'uconv3_3'):
        layer = get_output(model.net[name], deterministic=True)
        fast = theano.function([model.input_var], layer)
        slow = theano.function(
            [model.input_var], layer, mode=theano.compile.get_default_mode().excluding('winograd')
        )
        assert chains(fast) and not chains(slow)
        expected = slow(images)
        np.testing.assert_allclose(fast(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@needs_cpp
def test_activations_that_are_needed_besides_stay_outside():
    model = generator(48, 32, seed=1)
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


@pytest.mark.parametrize(
    'environment', [{'SALGAN_CONV': 'corrmm'}, {'THEANO_FLAGS': 'floatX=float64'}, {'NO_AVX2': '1'}]
)
def test_others_do_it_where_chains_cannot_or_shall_not(environment):
    code = """
import os
from backend import native, winograd
if 'NO_AVX2' in os.environ:
    native.cpu_features = lambda: frozenset({'sse2'})
from models.model import Model
function = Model(32, 32, 1).predictFunction
print(sorted({type(node.op).__name__ for node in function.maker.fgraph.toposort()}))
"""
    ops = run_python(code, **environment)
    alone = 'NO_AVX2' not in environment  # no float64 for oneDNN
    assert 'Chain' not in ops and ('CorrMM' if alone else OTHERS) in ops


def test_a_compiler_that_refuses_leaves_it_to_others():
    code = """
from backend import native, winograd
native.FLAGS += ('-no-such-flag',)
from models.model import Model
function = Model(32, 32, 1).predictFunction
print(sorted({type(node.op).__name__ for node in function.maker.fgraph.toposort()}))
"""
    ops = run_python(code)
    assert 'Chain' not in ops and OTHERS in ops


@needs_cpp
def test_a_broken_library_is_made_again(tmp_path):
    code = """
from backend import winograd
print(winograd.engine()._name)
"""
    flags = {'THEANO_FLAGS': f'base_compiledir={tmp_path}'}
    path = run_python(code, **flags).strip()
    with open(path, 'rb') as file:
        data = file.read()
    for damaged in (b'', data[:40000], data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]):
        with open(path, 'wb') as file:
            file.write(damaged)
        assert run_python(code, **flags).strip() == path
        assert os.stat(path).st_size == len(data)
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


@needs_cpp
def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path):
    code = """
from backend import winograd
print(winograd.engine()._name)
"""
    flags = {'THEANO_FLAGS': f'base_compiledir={tmp_path / "theano"}', 'TMPDIR': str(tmp_path)}
    path = run_python(code, **flags).strip()
    os.chmod(os.path.dirname(path), 0o777)
    other = run_python(code, **flags).strip()
    assert os.path.dirname(os.path.dirname(other)) == str(tmp_path)


@needs_cpp
def test_arrays_that_do_not_fit_are_refused():
    model = ModelBCE(32, 32)
    predict = model.predictFunction
    model.net['conv3_2'].W.set_value(np.zeros((256, 128, 3, 3), np.float32))
    with pytest.raises(ValueError, match='256, 128'):
        predict(np.zeros((1, 3, 32, 32), np.float32))


def test_no_images_no_maps():
    assert ModelBCE(32, 32).predictFunction(np.zeros((0, 3, 32, 32), np.float32)).shape == (0, 1, 32, 32)


@needs_cpp
@pytest.mark.long
def test_ten_thousand_predictions_do_not_grow_the_memory():
    predict = generator(16, 16, seed=0).predictFunction
    rng = np.random.RandomState(0)

    def some(n):
        for _ in range(n):
            predict(rng.rand(rng.randint(1, 4), 3, 16, 16).astype(np.float32))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = some(300)
    assert some(10000) - before < 4096  # kilobytes
