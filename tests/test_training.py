"""02-train.py as a user runs it: what it refuses, what it leaves, and that it goes on where it stopped."""

import json
import shutil
import signal
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from backend import memory
from tests.conftest import script
from tests.helpers.training import (
    arrays_of,
    options_of_02,
    sample,
    seeded_samples,
    start_02,
    times_of,
    train_02,
    wait_for_line,
    write_pickle,
)
from utils.errors import HadToStop
from utils.files import LOCK
from utils.training import checkpoint, history
from utils.training.state import State


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A folder with data/: five training and two validation samples, 16 x 16."""
    folder = tmp_path_factory.mktemp('data')
    (folder / 'data').mkdir()
    write_pickle(folder / 'data' / 'trainData.pickle', seeded_samples(1, 5, 16, 16))
    write_pickle(folder / 'data' / 'validationData.pickle', seeded_samples(2, 2, 16, 16))
    return folder


SMALL = ['--size', '16x16', '--batch-size', '2', '--encoder', 'random', '--snapshot-every', '1']


def train(folder, *arguments, **keywords):
    return script('02-train.py', *arguments, cwd=folder, OMP_NUM_THREADS='1', **keywords)


# --- what it refuses, before any work ---


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], r'weights/vgg16.pkl: no such file.*--vgg16 .* --generator .* --encoder FILE.npz.* random'),
        (['--generator', 'missing.npz'], r'missing\.npz: no such file'),
        (['--encoder', 'missing.npz'], r'missing\.npz: no such file'),
        (['--encoder', 'random', '--train', 'missing.pickle'], r'missing\.pickle'),
        (
            ['--encoder', 'random', '--discriminator', 'data/trainData.pickle'],
            r'trainData\.pickle: not a \.npz',
        ),
        (['--encoder', 'random'], r'5 of 5 samples do not fit --size 256x192: 0\.png \(16x16\)'),
        (['--encoder', 'random', '--size', '16x16'], r'5 training samples, too few for one batch of 32'),
        (['bce', '--bootstrap-epochs', '15'], r'--bootstrap-epochs'),
        (['bce', '--discriminator', 'a.npz'], r'--discriminator'),
        (['--force'], r'--force goes with --resume'),
        (['bce', 'somewhere'], r'somewhere: only plot'),
        (['--learning-rate', '0'], r'--learning-rate'),
        (['--learning-rate', 'nan'], r'--learning-rate'),
        (['--weight-decay', '-1'], r'--weight-decay'),
        (['--downsample', '3'], r'--downsample'),
        (['--size', '100x96'], r'multiples of 16'),
        (['plot', 'missing'], r'missing/history\.csv'),
        (['--output', 'data/trainData.pickle', '--encoder', 'random'], r'trainData\.pickle'),
    ],
)
def test_what_cannot_start_says_why_in_one_sentence(data, arguments, message):
    import re

    done = train(data, *arguments)
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert 'Traceback' not in done.stderr
    shutil.rmtree(data / 'snapshots', ignore_errors=True)


@pytest.mark.parametrize(
    'name', ['run.json', 'gen_modelWeights0003.npz', 'disrim_modelWeights0003.npz', 'checkpoint00000001.npz']
)
def test_a_folder_that_holds_a_run_or_snapshots_is_left_alone(data, tmp_path, name):
    (tmp_path / name).write_bytes(b'mine')
    done = train(data, *SMALL, '--output', tmp_path)
    assert done.returncode == 2
    assert '--resume' in done.stderr
    assert (tmp_path / name).read_bytes() == b'mine'
    assert {path.name for path in tmp_path.iterdir()} == {name, LOCK}


def test_two_runs_do_not_share_a_folder(data, tmp_path):
    process = start_02(*SMALL, '--output', tmp_path / 'run', cwd=data)
    while not (tmp_path / 'run' / 'run.json').exists():  # written once the folder is locked
        assert process.poll() is None
        time.sleep(0.01)
    done = train(data, *SMALL, '--output', tmp_path / 'run', '--resume')
    process.kill()
    process.communicate()
    assert done.returncode == 2
    assert 'under way' in done.stderr


def test_plot_draws_the_curves(tmp_path):
    history.write(tmp_path, [{'epoch': 0, 'updates': 5, 'loss': 0.5, 'validation_content_loss': 0.4}])
    assert script('02-train.py', 'plot', tmp_path).returncode == 0
    assert cv2.imread(str(tmp_path / 'curves.png')).shape[2] == 3


# --- a whole run, and the same one disturbed ---


@pytest.mark.parametrize('mode', ['bce', pytest.param('salgan', marks=pytest.mark.long)])
def test_a_run_that_was_killed_and_interrupted_ends_in_the_same_bytes(data, tmp_path, mode):
    undisturbed, disturbed = tmp_path / 'undisturbed', tmp_path / 'disturbed'
    arguments = [mode, *SMALL, '--keep', '2']
    endless = [*arguments, '--output', disturbed, '--epochs', '99999', '--resume']  # so none comes too late

    # kill -9 while a file is half written
    while not list(disturbed.glob('.*.part')):
        process = start_02(*endless, cwd=data, OMP_NUM_THREADS='1')
        wait_for_line(process, 'epoch')
        while not list(disturbed.glob('.*.part')):
            assert process.poll() is None
        process.kill()
        process.wait()

    # Ctrl-C, with a checkpoint after the update that was under way
    process = start_02(*endless, cwd=data, OMP_NUM_THREADS='1')
    wait_for_line(process, 'epoch')
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    said = process.stderr.read()
    assert 'interrupted after update' in said
    assert 'Traceback' not in said
    assert not list(disturbed.glob('.*.part'))

    # to the end, as the one that nothing disturbs
    epochs = checkpoint.newest(disturbed)[0]['epoch'] + 2
    arguments += ['--epochs', str(epochs)]
    done = train(data, *arguments, '--output', disturbed, '--resume', '--tensorboard')
    assert done.returncode == 0, done.stderr
    done = train(data, *arguments, '--output', undisturbed)
    assert done.returncode == 0, done.stderr
    last_two = {
        f'{network}_modelWeights{epoch:04d}.npz'
        for network in (['gen', 'discrim'] if mode == 'salgan' else ['gen'])
        for epoch in (epochs - 2, epochs - 1)
    }
    assert {path.name for path in undisturbed.iterdir()} == (
        last_two
        | {f'checkpoint{2 * epoch:08d}.npz' for epoch in (epochs - 1, epochs)}
        | {f'validationRandomSaliencyPred_{epoch:04d}.png' for epoch in range(epochs)}
        | {'validationRandomImage.png', 'validationRandomSaliencyGT.png', 'run.json', 'history.csv', LOCK}
    )
    assert list((disturbed / 'tensorboard').iterdir())
    expected, found = arrays_of(undisturbed), arrays_of(disturbed)
    assert expected.keys() == found.keys()
    for key in expected:
        assert expected[key].tobytes() == found[key].tobytes(), key
    for name in last_two:
        assert (undisturbed / name).read_bytes() == (disturbed / name).read_bytes()
    for column in {*history.read(undisturbed)} - {'seconds', 'images_per_second'}:
        np.testing.assert_array_equal(history.read(undisturbed)[column], history.read(disturbed)[column])

    # a finished run has nothing to do; with other settings, or no --resume, nothing is touched
    before = times_of(disturbed)
    done = train(data, *arguments, '--output', disturbed, '--resume')
    assert (done.returncode, 'nothing to do' in done.stderr) == (0, True)
    done = train(data, *arguments, '--output', disturbed)
    assert (done.returncode, '--resume' in done.stderr) == (2, True)
    other = ['--epochs', str(epochs + 1), '--resume', '--output', disturbed]
    done = train(data, *arguments, *other, '--learning-rate', '0.5', '--seed', '3')
    assert done.returncode == 2
    assert 'learning-rate was' in done.stderr
    assert 'seed was 0 and is 3' in done.stderr
    done = train(data, *arguments, *other, '--train', 'data/validationData.pickle')
    assert done.returncode == 2
    assert 'training data was' in done.stderr
    assert before == times_of(disturbed)


# --- the loop, with a model that costs nothing ---


def toy_model(costs, parameters=(1.0,)):
    """What 02's loop asks of a model: its costs are those given, one an update, and it has one parameter,
    which takes the values given."""
    from backend import lasagne

    layer = lasagne.layers.DenseLayer(lasagne.layers.InputLayer((1, 1)), 1, b=None)
    costs, parameters = iter(costs), iter(parameters)
    calls = []

    def function(name):
        def call(images, maps):
            calls.append((name, images[:, 0, 0, 0].tolist()))
            layer.W.set_value(np.full((1, 1), next(parameters, 1.0), layer.W.dtype))
            return next(costs)

        return call

    return SimpleNamespace(
        networks=lambda: {'generator': (layer, {}), 'discriminator': (layer, {})},
        G_trainFunction=function('G'),
        D_trainFunction=function('D'),
        predictFunction=lambda images: images[:, :1] / 255,
        calls=calls,
    )


def numbered_samples(count):
    """Samples whose image has the value of their number, and their file its name."""
    return [
        sample(np.full((16, 16, 3), i, 'uint8'), np.full((16, 16), i, 'uint8'), f'image{i}.jpg')
        for i in range(count)
    ]


def run_loop(folder, model, samples, orders, state=None, interrupted=None, **changes):
    options = options_of_02('bce', '--output', folder, '--epochs', 2, '--batch-size', 2)
    vars(options).update(changes)
    state = state or State(np.random.RandomState(0))
    interrupted = interrupted or threading.Event()
    training = train_02.Training(options, model, state, samples, [], samples[0])
    status = train_02.train(training, iter(orders), interrupted)
    return status, state


def test_updates_alternate_across_epochs_and_leftovers_are_skipped(tmp_path):
    model = toy_model([[1, 2, 3]] * 6)
    orders = [[6, 5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5, 6]]
    status, state = run_loop(tmp_path, model, numbered_samples(7), orders, mode='salgan')
    fed = [[6, 5], [4, 3], [2, 1], [0, 1], [2, 3], [4, 5]]
    assert model.calls == [(name, pair) for name, pair in zip('DGDGDG', fed)]
    assert (status, state.updates, state.epoch) == (0, 6, 2)


def test_the_epoch_is_the_mean_of_its_costs_in_float64(tmp_path):
    costs = np.random.RandomState(0).rand(4).astype('float32')
    _, state = run_loop(tmp_path, toy_model(costs), numbered_samples(5), [range(5)] * 2)
    means = costs.astype('float64').reshape(2, 2).mean(axis=1)
    np.testing.assert_allclose([row['loss'] for row in state.history], means, rtol=1e-15)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_cost_that_is_not_finite_stops_the_run_and_touches_nothing(tmp_path, bad):
    model = toy_model([1, 1, 1, bad])
    run_loop(tmp_path, model, numbered_samples(4), [[0, 1, 2, 3]], epochs=1, snapshot_every=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    state = State.from_json(json.loads(json.dumps(State(np.random.RandomState(0)).to_json())))
    state.epoch, state.updates = 1, 2
    with pytest.raises(
        HadToStop, match=rf'update 4, in epoch 1: the cost is {bad}. Its batch: image2.jpg, image0'
    ):
        run_loop(tmp_path, model, numbered_samples(4), [[3, 1, 2, 0]], state, snapshot_every=1)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_parameter_that_is_not_finite_stops_the_run_at_that_update(tmp_path):
    model = toy_model([1, 1, 1], [1, float('inf')])
    with pytest.raises(
        HadToStop, match=r'update 2, in epoch 0: it leaves a parameter .* batch: image2.jpg, image3'
    ):
        run_loop(tmp_path, model, numbered_samples(4), [[0, 1, 2, 3]])
    assert not list(tmp_path.iterdir())


def test_the_newest_snapshots_are_kept(tmp_path):
    model = toy_model([1] * 100)
    run_loop(tmp_path, model, numbered_samples(2), [[0, 1]] * 7, epochs=7, snapshot_every=2, keep=2)
    assert {path.name for path in tmp_path.glob('*.npz')} == {
        'gen_modelWeights0004.npz',
        'gen_modelWeights0006.npz',
        'discrim_modelWeights0004.npz',
        'discrim_modelWeights0006.npz',
        'checkpoint00000005.npz',
        'checkpoint00000007.npz',
    }


def test_a_run_that_ends_between_snapshots_has_a_checkpoint_of_its_end(tmp_path):
    run_loop(tmp_path, toy_model([1] * 4), numbered_samples(2), [[0, 1]] * 4, epochs=4, snapshot_every=3)
    assert sorted(path.name for path in tmp_path.glob('*Weights*')) == [
        f'{network}_modelWeights{epoch:04d}.npz' for network in ('discrim', 'gen') for epoch in (0, 3)
    ]
    run_loop(tmp_path, toy_model([1] * 2), numbered_samples(2), [[0, 1]] * 2, epochs=2, snapshot_every=3)
    assert (tmp_path / 'checkpoint00000002.npz').exists()


def test_a_full_disk_stops_the_run_and_leaves_what_was_there(small_disk):
    run_loop(small_disk, toy_model([1]), numbered_samples(2), [[0, 1]], epochs=1, snapshot_every=1)
    before = {path: path.read_bytes() for path in small_disk.iterdir()}
    free = shutil.disk_usage(small_disk).free
    (small_disk / 'filler').write_bytes(bytes(free))
    state = State(np.random.RandomState(0), epoch=1, updates=1)
    with pytest.raises(OSError, match='No space left'):
        run_loop(small_disk, toy_model([1]), numbered_samples(2), [[0, 1]], state, snapshot_every=1)
    (small_disk / 'filler').unlink()
    assert before == {path: path.read_bytes() for path in small_disk.iterdir()}


@pytest.mark.parametrize('fits', [0, 1])
def test_too_little_memory_is_called_so_with_what_fits(fits, tmp_path):
    def fail(images, maps):
        if len(images) > fits:
            raise RuntimeError('CorrMM failed to allocate working memory of 3 x 4')

    model = toy_model([])
    model.G_trainFunction = fail
    with pytest.raises(memory.OutOfMemory) as error:
        run_loop(tmp_path, model, numbered_samples(2), [[0, 1]])
    assert (error.value.size, error.value.fits) == (2, fits)


def test_ctrl_c_ends_after_the_current_update_and_the_epoch_goes_on_from_there(tmp_path):
    interrupted = threading.Event()
    model = toy_model([1, 2, 3, 4, 5, 6])
    train_on = model.G_trainFunction

    def press(images, maps):
        interrupted.set()
        return train_on(images, maps)

    model.G_trainFunction = press
    samples, orders = numbered_samples(6), iter([[5, 4, 3, 2, 1, 0], range(6)])
    status, state = run_loop(tmp_path, model, samples, orders, interrupted=interrupted)
    assert (status, state.updates, state.batches, state.epoch) == (130, 1, 1, 0)
    assert [path.name for path in tmp_path.iterdir()] == ['checkpoint00000001.npz']

    model.G_trainFunction = train_on
    status, state = run_loop(tmp_path, model, samples, orders, state=state)
    assert [pair for _, pair in model.calls[:3]] == [[5, 4], [3, 2], [1, 0]]
    assert [row['loss'] for row in state.history] == [2, 5]
    assert status == 0
