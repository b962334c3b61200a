"""Twenty times kill -9 while a run trains and writes: it goes on to the same bytes as an undisturbed one."""

import shutil
import signal
import time

import numpy as np
import pytest

from tests.conftest import script
from tests.training import arrays_of, seeded_samples, start_02, write_pickle
from utils import checkpoint, weights

KILLS, EPOCHS = 20, 44


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_pickle(folder / 'train.pickle', seeded_samples(1, 7, 32, 32))
    write_pickle(folder / 'validation.pickle', seeded_samples(2, 2, 32, 32))
    return folder


def arguments(data, mode, output, *more):
    files = ['--train', data / 'train.pickle', '--validation', data / 'validation.pickle']
    return [mode, *files, '--output', output, '--size', '32x32', '--batch-size', '2', *more]


def run(*arguments, **keywords):
    done = script('02-train.py', *arguments, OMP_NUM_THREADS='1', timeout=7200, **keywords)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
@pytest.mark.timeout(14400)
@pytest.mark.parametrize('mode', ['bce', 'salgan'])
def test_twenty_kills_change_nothing(data, tmp_path, mode):
    more = ['--encoder', 'random', '--epochs', str(EPOCHS), '--snapshot-every', '2', '--keep', '2']
    run(*arguments(data, mode, tmp_path / 'undisturbed', *more))

    output, rng, written = tmp_path / 'killed', np.random.RandomState({'bce': 1, 'salgan': 2}[mode]), 0
    for _ in range(KILLS):
        process = start_02(*arguments(data, mode, output, *more, '--resume'), cwd=data, OMP_NUM_THREADS='1')
        took = seconds_of_an_epoch(process)
        if rng.rand() < 0.5:
            time.sleep(rng.rand() * 2 * took)  # anywhere
        else:
            written += wait_for_half_a_file(process, output, size=rng.randint(1, 250_000_000))
        assert process.poll() is None, process.stderr.read()
        process.kill()
        process.communicate()
    assert written >= 3
    run(*arguments(data, mode, output, *more, '--resume'))

    expected, found = arrays_of(tmp_path / 'undisturbed'), arrays_of(output)
    assert expected.keys() == found.keys()
    for key, array in expected.items():
        assert array.tobytes() == found[key].tobytes(), key
    states = [checkpoint.newest(folder)[0] for folder in (tmp_path / 'undisturbed', output)]
    for key in ('epoch', 'updates', 'batches', 'order', 'random', 'sums'):
        assert states[0][key] == states[1][key]
    assert not list(output.glob('.*.part'))
    shutil.rmtree(tmp_path)


def seconds_of_an_epoch(process):
    """Waits until a first epoch is over; gives how long it took, from what 02 says."""
    for line in process.stderr:
        if line.startswith('epoch'):
            return float(line.split('seconds ')[1].split(',')[0])
    raise AssertionError('no epoch came to its end')


def wait_for_half_a_file(process, output, size):
    """Waits until a temporary file has grown to `size`, or is gone again; gives whether one is there."""
    seen = False
    while process.poll() is None:
        parts = [path for path in output.glob('.*.part') if not path.name.endswith('probe.part')]
        sizes = []
        for part in parts:
            try:
                sizes.append(part.stat().st_size)
            except FileNotFoundError:
                continue
        if sizes and max(sizes) >= size:
            return True
        if seen and not sizes:
            return False
        seen = seen or bool(sizes)
        time.sleep(0.002)
    return False


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_bootstrap_is_a_run_of_bce_that_salgan_starts_from(data, tmp_path):
    """By one command, killed in each of its two parts, and by two commands: the same bytes."""
    encoder = ['--encoder', 'random', '--seed', '5']
    run(*arguments(data, 'bce', tmp_path / 'first', *encoder, '--epochs', '1'))
    start = ['--generator', tmp_path / 'first' / 'gen_modelWeights0000.npz', '--seed', '5']
    run(*arguments(data, 'salgan', tmp_path / 'second', *start, '--epochs', '4'))

    both = arguments(data, 'salgan', tmp_path / 'both', *encoder, '--epochs', '4', '--bootstrap-epochs', '1')
    for output in (tmp_path / 'both' / 'bootstrap', tmp_path / 'both'):
        process = start_02(*both, '--resume', cwd=data, OMP_NUM_THREADS='1')
        while not output.is_dir() or not list(output.glob('gen_modelWeights*.npz')):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.kill()
        process.communicate()
    run(*both, '--resume')
    for separate, together in (('first', 'both/bootstrap'), ('second', 'both')):
        for path in (tmp_path / separate).glob('*_modelWeights*.npz'):
            assert path.read_bytes() == (tmp_path / together / path.name).read_bytes()
    shutil.rmtree(tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_the_networks_start_from(data, tmp_path):
    """The frozen arrays come back as they were, and the discriminator has the units of its file."""
    rng = np.random.RandomState(0)
    encoder = [rng.randn(*shape).astype('float32') * 0.02 for _, _, shape in weights.encoder_layout()]
    layout = weights.discriminator_layout(32, 32, 60)
    discriminator = [rng.randn(*shape).astype('float32') * 0.02 for _, _, shape in layout]
    weights.save(tmp_path / 'encoder.npz', encoder)
    weights.save(tmp_path / 'discriminator.npz', discriminator)
    start = ['--encoder', tmp_path / 'encoder.npz', '--discriminator', tmp_path / 'discriminator.npz']
    run(*arguments(data, 'salgan', tmp_path / 'run', *start, '--epochs', '1'))
    run(*arguments(data, 'salgan', tmp_path / 'run', *start, '--epochs', '4', '--resume'))
    generator = weights.read_generator(tmp_path / 'run' / 'gen_modelWeights0003.npz')
    for i, array in enumerate(encoder):
        assert (i < 14) == np.array_equal(generator[i], array)
    trained = weights.read_discriminator(tmp_path / 'run' / 'discrim_modelWeights0003.npz', 32, 32)
    assert trained[14].shape == (256, 60)
    np.testing.assert_array_equal(trained[10], discriminator[10])  # g of the weight normalisation
    assert not np.array_equal(trained[14], discriminator[14])


@pytest.mark.long
def test_one_ctrl_c_ends_with_a_checkpoint_and_two_at_once(data, tmp_path):
    more = ['--encoder', 'random', '--epochs', '500', '--snapshot-every', '500']
    for presses, says in ((1, '--resume goes on'), (2, 'ended at once')):
        output = tmp_path / str(presses)
        process = start_02(*arguments(data, 'bce', output, *more), cwd=data, OMP_NUM_THREADS='1')
        for _ in range(2):  # the first one ends with a snapshot and a checkpoint
            seconds_of_an_epoch(process)
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        _, said = process.communicate()
        assert process.returncode == 130
        assert 'finishing the current update' in said
        assert says in said
        assert len(checkpoint.paths(output)) == 3 - presses  # one is the first epoch's
