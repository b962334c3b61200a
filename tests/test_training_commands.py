"""02 from its command line to its exit status, with networks that cost nothing."""

import json
import os
import pty
import re
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.training import (
    forked,
    options_of_02,
    sample,
    seeded_samples,
    small_build,
    times_of,
    write_pickle,
)
from utils.files import LOCK
from utils.training import history

# 01 writes them there, and 02 looks for them there
TRAIN, VALIDATION = 'data/trainData.pickle', 'data/validationData.pickle'
SMALL = ['--size', '32x32', '--batch-size', '2', '--encoder', 'random', '--epochs', '2']


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current one, with samples in data/ as 01 leaves them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data').mkdir()
    write_pickle(tmp_path / TRAIN, seeded_samples(1, 7, 32, 32))
    write_pickle(tmp_path / VALIDATION, seeded_samples(2, 3, 32, 32))
    return tmp_path


def run(*arguments, **keywords):
    """The exit status and what was said."""
    with open('said.txt', 'w+') as file:
        status = forked(arguments, stderr=os.dup(file.fileno()), **keywords)
        file.seek(0)
        said = file.read()
    assert 'Traceback' not in said
    return status, said


def settings(folder='snapshots'):
    with open(os.path.join(folder, 'run.json')) as file:
        return json.load(file)['settings']


# --- what is run ---


def parsed(command):
    return vars(options_of_02(*command))


ORIGINALS = {'epochs': 301, 'batch_size': 32, 'loss': 'bce', 'downsample': 4, 'weight_decay': 0.0}


def test_the_defaults_are_the_originals():
    salgan = {'mode': 'salgan', 'learning_rate': 3e-4, 'snapshot_every': 3, 'alpha': 1 / 20, **ORIGINALS}
    for command in ([], ['salgan']):
        assert {**parsed(command), **salgan} == parsed(command)
    bce = {'mode': 'bce', 'learning_rate': 0.001, 'snapshot_every': 5, **ORIGINALS}
    assert {**parsed(['bce']), **bce} == parsed(['bce'])


def test_every_row_of_the_papers_tables_has_its_command():
    rows = re.findall(r'^\| (Table \d, \S+) \| `python 02-train.py (.*)` \|$', DOCUMENT, re.MULTILINE)
    differ: dict = {
        'Table 2, BCE': {'mode': 'bce', 'epochs': 15, 'downsample': 1},
        'Table 2, BCE/2': {'mode': 'bce', 'epochs': 15, 'downsample': 2},
        'Table 2, BCE/4': {'mode': 'bce', 'epochs': 15},
        'Table 2, BCE/8': {'mode': 'bce', 'epochs': 15, 'downsample': 8},
        'Table 3, MSE': {'mode': 'bce', 'loss': 'mse', 'downsample': 1},
        'Table 3, BCE': {'mode': 'bce', 'downsample': 1},
        'Table 3, BCE/4': {'mode': 'bce'},
        'Table 3, GAN/4': {'mode': 'salgan', 'bootstrap_epochs': 15},
        'Table 4, SalGAN': {'mode': 'salgan', 'bootstrap_epochs': 15, 'train': [TRAIN, VALIDATION]},
    }
    assert [name for name, _ in rows] == list(differ)
    for name, command in rows:
        options = parsed(command.split())
        expected = {**ORIGINALS, 'bootstrap_epochs': 0, 'train': [TRAIN], **differ[name]}
        assert {**options, **expected} == options, name


DOCUMENT = (ROOT / 'docs' / 'training.md').read_text()


def test_without_a_mode_it_is_salgan_from_the_files_of_01_and_its_files_are_the_originals(folder):
    assert run(*SMALL)[0] == 0
    assert settings()['mode'] == 'salgan'
    assert {path.name for path in (folder / 'snapshots').iterdir()} == {
        *[
            'gen_modelWeights0000.npz',
            'discrim_modelWeights0000.npz',
            'validationRandomSaliencyPred_0000.png',
        ],
        *['validationRandomImage.png', 'validationRandomSaliencyGT.png'],
        *['run.json', LOCK, 'history.csv', 'checkpoint00000003.npz', 'checkpoint00000006.npz'],
    }
    columns = history.read('snapshots')
    costs = ['G_objective', 'D_objective', 'content_loss']
    watched = [f'validation_{name}' for name in ('content_loss', 'CC', 'NSS')]
    assert list(columns) == ['epoch', 'updates', *costs, 'seconds', 'images_per_second', *watched]
    assert columns['updates'] == [3, 6]
    assert np.isfinite(list(columns.values())).all()


def test_several_files_are_trained_on_as_one():
    assert run('bce', *SMALL, '--train', TRAIN, VALIDATION)[0] == 0
    assert history.read('snapshots')['updates'] == [5, 10]  # seven and three samples, two a batch


def test_the_bootstrap_is_a_run_of_its_own_and_not_counted():
    assert run(*SMALL, '--bootstrap-epochs', '3', '--alpha', '0.1')[0] == 0
    assert history.read('snapshots')['epoch'] == [0, 1]
    assert history.read('snapshots/bootstrap')['epoch'] == [0, 1, 2]
    bootstrap = settings('snapshots/bootstrap')
    assert (bootstrap['mode'], bootstrap['learning_rate'], bootstrap['snapshot_every']) == ('bce', 0.001, 5)


def test_a_stream_of_samples_gives_the_same_run(folder):
    assert run('bce', *SMALL)[0] == 0
    write_pickle(folder / TRAIN, seeded_samples(1, 7, 32, 32), stream=True)
    assert run('bce', *SMALL, '--output', 'streamed')[0] == 0
    with (
        np.load('snapshots/checkpoint00000006.npz') as one,
        np.load('streamed/checkpoint00000006.npz') as two,
    ):
        for name in set(one.files) - {'state'}:
            assert one[name].tobytes() == two[name].tobytes()
    assert run('bce', *SMALL, '--output', 'streamed', '--resume', '--epochs', '3')[0] == 0


# --- what one watches ---


def test_the_bar_shows_epoch_costs_and_time_left():
    ours, terminal = pty.openpty()
    subprocess.run(['stty', 'rows', '50', 'cols', '200'], stdin=terminal, check=True)

    def slow(*arguments):
        model = small_build(*arguments)
        train = model.G_trainFunction

        def update(*batch):
            time.sleep(0.2)
            return train(*batch)

        model.G_trainFunction = update
        return model

    shown = []
    threading.Thread(target=read_all, args=(ours, shown), daemon=True).start()
    assert forked(['bce', *SMALL], stderr=terminal, build=slow) == 0
    wanted = rb'epoch 1: [^\r]* 5/6 \[\d\d:\d\d<\d\d:\d\d[^\r]*update[^\r]*, loss=\d\.\d{4}\]'
    deadline = time.monotonic() + 60
    while not re.search(wanted, b''.join(shown)):
        assert time.monotonic() < deadline, shown
        time.sleep(0.01)


def read_all(terminal, into):
    while True:
        into.append(os.read(terminal, 4096))


def test_tensorboard_gets_every_epochs_row_and_every_snapshots_maps(folder):
    from tensorboardX.proto.event_pb2 import Event

    assert run('bce', *SMALL, '--tensorboard', '--snapshot-every', '1')[0] == 0
    (path,) = (folder / 'snapshots' / 'tensorboard').iterdir()
    data, events = path.read_bytes(), []
    while data:  # each record: length in 8 bytes, checksum in 4, the event, checksum in 4
        length = int.from_bytes(data[:8], 'little')
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    values = [(event.step, value) for event in events for value in event.summary.value]
    scalars = {
        (step, value.tag): value.simple_value for step, value in values if value.HasField('simple_value')
    }
    columns = history.read('snapshots')
    for name in ('loss', 'validation_content_loss', 'validation_CC', 'validation_NSS', 'images_per_second'):
        assert [scalars[epoch, name] for epoch in (0, 1)] == pytest.approx(columns[name], rel=1e-6)
    images = {(step, value.tag): value.image for step, value in values if value.HasField('image')}
    assert images.keys() == {(epoch, name) for epoch in (0, 1) for name in ('image', 'truth', 'prediction')}
    assert {(image.width, image.height) for image in images.values()} == {(32, 32)}


# --- what cannot be, and what stops a run ---


def test_a_finished_run_has_nothing_to_do_and_more_epochs_go_on(folder):
    assert run('bce', *SMALL)[0] == 0
    before = times_of(folder / 'snapshots')
    status, said = run('bce', *SMALL, '--resume')
    assert (status, 'nothing to do' in said) == (0, True)
    status, said = run('bce', *SMALL)
    assert (status, '--resume' in said) == (2, True)
    assert before == times_of(folder / 'snapshots')
    assert run('bce', *SMALL, '--resume', '--epochs', '3')[0] == 0
    assert history.read('snapshots')['epoch'] == [0, 1, 2]


def test_other_convolutions_are_refused_without_force():
    assert run('bce', *SMALL)[0] == 0
    more = [*SMALL, '--epochs', '3', '--resume']
    status, said = run('bce', *more, prepare=lambda: os.environ.update(SALGAN_CONV='corrmm'))
    assert (status, 'SALGAN_CONV was unset and is corrmm' in said) == (2, True)
    assert run('bce', *more)[0] == 0


def going_bad(options, *arguments):
    """Networks of which the fifth update gives a cost that is not finite, at learning rates above 0.001."""
    model = small_build(options, *arguments)
    train, count = model.G_trainFunction, iter(range(1, 10**6))

    def update(images, maps):
        costs = train(images, maps)
        return [np.nan] if next(count) == 5 and options.learning_rate > 0.001 else costs

    model.G_trainFunction = update
    return model


def test_a_run_that_goes_bad_says_where_and_goes_on_with_a_smaller_learning_rate(folder):
    rate = ['--learning-rate', '0.1']
    status, said = run('bce', *SMALL, *rate, build=going_bad)
    assert status == 3
    match = re.search(r'update 5, in epoch 1: the cost is nan\. Its batch: (\d)\.png, (\d)\.png\.', said)
    assert match, said
    assert match[1] != match[2]
    names = {path.name for path in (folder / 'snapshots').glob('*.npz')}
    assert names == {'gen_modelWeights0000.npz', 'checkpoint00000003.npz'}
    status, said = run('bce', *SMALL, '--resume', '--learning-rate', '0.001', build=going_bad)
    assert (status, 'learning-rate was 0.1 and is 0.001' in said) == (2, True)
    assert run('bce', *SMALL, '--resume', '--learning-rate', '0.001', '--force', build=going_bad)[0] == 0
    assert history.read('snapshots')['epoch'] == [0, 1]


def test_a_full_disk_ends_a_run_and_room_lets_it_go_on(small_disk):
    where = ['--output', small_disk / 'run']
    assert run('bce', *SMALL, *where, '--epochs', '1')[0] == 0
    before = {path: path.read_bytes() for path in (small_disk / 'run').iterdir()}
    (small_disk / 'filler').write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))
    status, said = run('bce', *SMALL, *where, '--resume', '--snapshot-every', '1')
    assert (status, 'the disk is full' in said) == (3, True)
    assert before.keys() <= {*(small_disk / 'run').iterdir()}
    assert not list((small_disk / 'run').glob('.*.part'))
    (small_disk / 'filler').unlink()
    assert run('bce', *SMALL, *where, '--resume')[0] == 0
    assert run('bce', *SMALL, '--output', 'elsewhere')[0] == 0
    for name in ('loss', 'validation_CC'):
        assert history.read(small_disk / 'run')[name] == history.read('elsewhere')[name]


def test_a_folder_that_cannot_be_written_to_is_said_at_once(small_disk):
    remount = ['mount', '-o', 'remount,ro', str(small_disk)]
    subprocess.run(remount, check=True)
    status, said = run('bce', *SMALL, '--output', small_disk)
    assert (status, 'read-only; choose another place' in said) == (2, True)


def test_samples_of_another_size_or_without_a_map_are_refused_by_name(folder):
    odd = sample(np.zeros((48, 32, 3), 'uint8'), np.zeros((48, 32), 'uint8'), 'odd.png')
    write_pickle(folder / VALIDATION, [*seeded_samples(2, 3, 32, 32), odd])
    status, said = run('bce', *SMALL)
    assert status == 2
    assert 'validationData.pickle: 1 of 4 samples do not fit --size 32x32: odd.png (32x48)' in said
    assert 'run 01 with that --size' in said


def spoil(path, how):
    """Makes the pickle of samples at `path` what it should not be."""
    data = path.read_bytes()
    path.unlink(missing_ok=True)
    if how == 'a folder':
        path.mkdir()
    elif how == 'a pipe':
        os.mkfifo(path)
    elif how == 'without samples':
        write_pickle(path, [])
    elif how == 'a truncated stream':
        write_pickle(path, seeded_samples(1, 7, 32, 32), stream=True)
        path.write_bytes(path.read_bytes()[:-100])
    elif how != 'missing':
        path.write_bytes({'empty': b'', 'truncated': data[:-100], 'hostile': HOSTILE}[how])


HOSTILE = b'cos\nsystem\n(S"touch harm-was-done"\ntR.'
KINDS = [
    'missing',
    'a folder',
    'a pipe',
    'empty',
    'without samples',
    'truncated',
    'a truncated stream',
    'hostile',
]


@pytest.mark.parametrize('how', KINDS)
@pytest.mark.parametrize('name', [TRAIN, VALIDATION])
def test_what_are_no_samples_is_refused_by_name_and_nothing_runs(folder, name, how):
    spoil(folder / name, how)
    status, said = run('bce', *SMALL)
    assert (status, name in said) == (2, True)
    assert {path.name for path in folder.iterdir()} == {'data', 'said.txt', 'snapshots'}
    assert os.listdir(folder / 'snapshots') == [LOCK]
