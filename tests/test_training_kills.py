"""kill -9 while a run trains and writes: it goes on to the same bytes as an undisturbed one."""

import os
import re
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import script
from tests.helpers.training import arrays_of, forked, seeded_samples, start_02, wait_for_line, write_pickle
from utils import architecture, weights
from utils.training import checkpoint, history

KILLS = 20


def arguments(data, mode, output, *more):
    files = ['--train', data / 'train.pickle', '--validation', data / 'validation.pickle']
    return [mode, *files, '--output', output, '--size', '32x32', '--batch-size', '2', *more]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_pickle(folder / 'train.pickle', seeded_samples(1, 7, 32, 32))
    write_pickle(folder / 'validation.pickle', seeded_samples(2, 2, 32, 32))
    return folder


# --- every file operation of a run, with networks that cost nothing ---


def before_changes(output, call):
    """Calls `call(operation, path)` before every change to files in the folder `output` from now on.

    The operations are 'open' (to write), 'os.rename', 'os.remove' and 'os.mkdir'.
    """

    def hook(event, details):
        if event == 'open' and not details[2] & (os.O_WRONLY | os.O_RDWR):
            return
        changes = event in ('open', 'os.rename', 'os.remove', 'os.mkdir')
        if changes and str(details[0]).startswith(str(output)):
            call(event, details[0])

    sys.addaudithook(hook)


def changes_of(arguments, output, log):
    """Runs 02 to its end: its changes to files, in order, as (operation, bytes written after it)."""
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY)

    def note(operation, path):
        size = os.path.getsize(path) if operation == 'os.rename' else 0
        os.write(descriptor, f'{operation} {size}\n'.encode())

    assert forked(arguments, prepare=lambda: before_changes(output, note)) == 0
    lines = [line.split() for line in log.read_text().splitlines()]
    # what is opened is written and then moved into place, of which the size is known
    return [(operation, int(size)) for (operation, _), (_, size) in zip(lines, [*lines[1:], ['none', '0']])]


def kill_at(number, size):
    """For `before_changes`: kills the process before its change `number`; or, with a `size`, when it has
    written so many bytes after that change."""
    count = iter(range(10**6))

    def before(operation, path):
        if next(count) != number:
            return
        if size is None:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel's, in the middle of a write
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return before


def test_a_kill_before_or_within_any_change_to_files_changes_nothing(data, tmp_path):
    """In bce, which is the bootstrap, and in salgan."""
    more = ['--encoder', 'random', '--epochs', '3', '--snapshot-every', '2', '--keep', '1']
    more += ['--bootstrap-epochs', '1']
    undisturbed = tmp_path / 'undisturbed'
    changes = changes_of(arguments(data, 'salgan', undisturbed, *more), undisturbed, tmp_path / 'log')
    kills = [(number, None) for number, (operation, _) in enumerate(changes) if operation != 'os.rename']
    kills += [(number, size // 2) for number, (operation, size) in enumerate(changes) if operation == 'open']
    assert len(kills) > 40
    for number, size in kills:
        output = tmp_path / f'{number}-{size}'
        command = arguments(data, 'salgan', output, *more, '--resume')
        killed = forked(command, prepare=lambda: before_changes(output, kill_at(number, size)))  # noqa: B023
        assert killed == -(signal.SIGKILL if size is None else signal.SIGXFSZ), (number, size)
        assert forked(command) == 0, (number, size)
        assert_same(undisturbed, output)
        shutil.rmtree(output)


def assert_same(undisturbed, output):
    """The same files, arrays and histories, but for times."""
    files = [{path.relative_to(run) for path in run.rglob('*')} for run in (undisturbed, output)]
    assert files[0] == files[1]
    expected, found = arrays_of(undisturbed), arrays_of(output)
    assert expected.keys() == found.keys()
    for key, array in expected.items():
        assert array.tobytes() == found[key].tobytes(), key
    for path in undisturbed.rglob('*.png'):
        assert path.read_bytes() == (output / path.relative_to(undisturbed)).read_bytes(), path
    states = [checkpoint.newest(run)[0] for run in (undisturbed, output)]
    histories = [history.read(run) for run in (undisturbed, output)]
    for key in ('epoch', 'updates', 'batches', 'order', 'random', 'sums'):
        assert states[0][key] == states[1][key], key
    for column in {*histories[0]} - {'seconds', 'images_per_second'}:
        np.testing.assert_array_equal(histories[0][column], histories[1][column])


# --- the real networks ---


def run(*arguments, **keywords):
    done = script('02-train.py', *arguments, OMP_NUM_THREADS='1', timeout=7200, **keywords)
    assert done.returncode == 0, done.stderr


@pytest.mark.nightly
@pytest.mark.timeout(14400)
@pytest.mark.parametrize('mode', ['bce', 'salgan'])
def test_twenty_kills_change_nothing(data, tmp_path, mode):
    more = ['--encoder', 'random', '--snapshot-every', '2', '--keep', '2']
    output, rng, in_a_write = tmp_path / 'killed', np.random.RandomState({'bce': 1, 'salgan': 2}[mode]), 0
    endless = arguments(data, mode, output, *more, '--resume', '--epochs', '99999')  # so none comes too late
    for i in range(5 * KILLS):
        if i >= KILLS and in_a_write >= 3:  # on a busy machine a write may be over before it is seen
            break
        process = start_02(*endless, cwd=data, OMP_NUM_THREADS='1')
        took = seconds_of_an_epoch(process)
        if i % 2:
            time.sleep(rng.rand() * 2 * took)  # anywhere
        else:
            wait_for_half_a_file(process, output, size=rng.randint(1, 250_000_000))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        in_a_write += bool(list(output.glob('.*.part')))
    assert in_a_write >= 3
    epochs = checkpoint.newest(output)[0]['epoch'] + 3
    for folder in (output, tmp_path / 'undisturbed'):
        run(*arguments(data, mode, folder, *more, '--epochs', str(epochs), '--resume'))
    assert_same(tmp_path / 'undisturbed', output)
    shutil.rmtree(tmp_path)


def seconds_of_an_epoch(process):
    """Waits until a first epoch is over; gives how long it took, from what 02 says."""
    return float(wait_for_line(process, 'epoch').split('seconds ')[1].split(',')[0])


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
    encoder = [rng.randn(*shape).astype('float32') * 0.02 for _, _, shape in architecture.encoder_layout()]
    layout = architecture.discriminator_layout(32, 32, 60)
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
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(('presses', 'says'), [(1, '--resume continues'), (2, 'stopped at once')])
def test_one_ctrl_c_ends_with_a_checkpoint_and_two_at_once(tmp_path, presses, says):
    for name in ('train', 'validation'):  # an update of theirs takes long enough to press twice
        write_pickle(tmp_path / f'{name}.pickle', seeded_samples(1, 8, 128, 96))
    more = ['--size', '128x96', '--batch-size', '8', '--validation-images', '1', '--snapshot-every', '500']
    command = arguments(tmp_path, 'bce', tmp_path / 'run', '--encoder', 'random', *more)
    process = start_02(*command, cwd=tmp_path, OMP_NUM_THREADS='1')
    wait_for_line(process, 'epoch 0')
    while not checkpoint.paths(tmp_path / 'run'):  # that of the first epoch
        time.sleep(0.01)
    time.sleep(0.3)  # until the next update is under way
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        said = wait_for_line(process, '')
    said += process.communicate()[1]
    assert process.returncode == 130
    assert says in said
    interrupted = re.findall(r'interrupted after update (\d+)', said)
    assert len(interrupted) == 2 - presses
    # beside that of the first epoch, which is the same where no other update had begun
    expected = {1, *map(int, interrupted)}
    assert {int(Path(path).stem[-8:]) for path in checkpoint.paths(tmp_path / 'run')} == expected
