"""Work on dask workers: the same files and scores as on one machine, whatever happens to them."""

import argparse
import contextlib
import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from argparse import Namespace
from unittest import mock

import cv2
import inputs
import numpy as np
import pytest

from tests.conftest import ROOT, script
from tests.helpers import cluster_work, evaluation_data, layouts
from tests.helpers.layouts import maps_of, tree
from tests.helpers.training import seeded_samples, write_pickle
from utils import files, image_sources, outputs, weights
from utils.cluster import connection, options, predicting, processes, tasks, version, work
from utils.errors import CouldNotStart, HadToStop
from utils.predicting import write_all

WORK = 'tests.helpers.cluster_work'


# --- a scheduler and two workers, started by hand as docs/cluster.md says ---


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('cluster')


@pytest.fixture(scope='module')
def tls(folder):
    """The files that all of them need, in one certificate of its own authority, as options."""
    new = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=salgan']
    files = ['-keyout', str(folder / 'key.pem'), '-out', str(folder / 'cert.pem')]
    subprocess.run([*new, *files], check=True, capture_output=True)
    names = zip(options.TLS, ('cert.pem', 'cert.pem', 'key.pem'))
    return {name: str(folder / file) for name, file in names}


@pytest.fixture(scope='module')
def address(folder, tls):
    """The scheduler's; a worker's death counts for its task at once, so that these tests are quick."""
    compiled = folder / 'compiled'
    compiled.mkdir()
    environment = {
        **os.environ,
        'DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES': '0',
        'SALGAN_TEST_COMPILE': str(compiled),
    }
    file = folder / 'scheduler.json'
    dask = [sys.executable, '-m', 'distributed.cli.dask_scheduler', '--no-dashboard']
    shared = ['--scheduler-file', str(file), *spelt(tls)]
    scheduler = [*dask, '--host', '127.0.0.1', '--port', '0', *shared]
    worker = [sys.executable, '-m', 'utils.cluster.worker', *shared, '--workers', '2']
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(folder / 'log', 'wb'))
        # the scheduler elsewhere, where it cannot import the project
        for where, command in ((folder, scheduler), (ROOT, [*worker, '--local-directory', str(folder)])):
            process = subprocess.Popen(command, cwd=where, stdout=log, stderr=log, env=environment)
            stack.callback(end, process)
        while not file.exists():
            time.sleep(0.05)
        yield json.loads(file.read_text())['address']


def end(process):
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:  # dask waits for connections that nobody answers any more
        process.kill()
        process.wait()


def spelt(tls):
    return [word for name, path in tls.items() for word in ('--' + name.replace('_', '-'), path)]


def asked(address, tls=None, **more):
    """The options of a script that names the scheduler."""
    none = dict.fromkeys(('scheduler_file', *options.TLS))
    return Namespace(**{**none, **(tls or {}), 'scheduler': address, **more})


def refused(why):
    return pytest.raises(CouldNotStart, match=why)


@pytest.fixture
def cluster(address, tls):
    with connection.connected(asked(address, tls)) as cluster:
        yield cluster


def spread(cluster, function, settings, items, size, shared=None):
    found = work.spread(cluster, f'{WORK}.{function}', settings, items, size, shared)
    return sorted(found, key=lambda pair: pair[0])


def test_all_is_done_once_and_what_is_shared_arrives(cluster):
    taken = iter(range(101))
    found = spread(cluster, 'squares', None, taken, 4, pickle.dumps(7))
    assert [number for chunk, _ in found for number in chunk] == list(range(101))
    assert [square for _, squares in found for square in squares] == [n**2 + 7 for n in range(101)]


def test_items_are_taken_as_they_are_needed(cluster):
    """A list of a million is never handed to the scheduler at once."""
    taken: list = []

    def items():
        for number in range(10**6):
            taken.append(number)
            yield number

    found = work.spread(cluster, f'{WORK}.squares', None, items(), 1)
    for _, _ in zip(found, range(20)):
        pass
    found.close()
    assert len(taken) < 20 + 3 * work.AHEAD * 2


def test_a_chunk_whose_worker_dies_is_done_by_another(cluster, tmp_path):
    for number in (3, 17):
        (tmp_path / str(number)).touch()
    found = spread(cluster, 'die_once', str(tmp_path), range(20), 2)
    assert [square for _, squares in found for square in squares] == [n**2 for n in range(20)]
    assert not list(tmp_path.iterdir())


def test_what_workers_die_of_is_found_and_named(cluster):
    found = spread(cluster, 'die_of', 5, range(8), 4)
    assert [chunk for chunk, squares in found if squares is None] == [[5]]
    squares = {n: s for chunk, squares in found for n, s in zip(chunk, squares or [None])}
    assert squares == {n: None if n == 5 else n**2 for n in range(8)}


@pytest.mark.parametrize(
    ('error', 'raised', 'says'),
    [
        (HadToStop('makes no finite map'), HadToStop, 'makes no finite map'),
        (OSError(28, 'No space left', '/there/a.png'), OSError, '/there/a.png'),
        (MemoryError(), HadToStop, 'out of memory; .* fewer workers'),
        (ModuleNotFoundError("No module named 'theano'"), HadToStop, 'theano.*make demo'),
    ],
)
def test_what_stops_one_machine_stops_all(cluster, error, raised, says):
    with pytest.raises(raised, match=says):
        spread(cluster, 'fail', error, range(50), 1)


def test_a_job_that_is_given_up_stops_before_the_next_image(cluster, tmp_path):
    """As a Ctrl-C gives it up: nothing is written after the command has ended."""
    found = work.spread(cluster, f'{WORK}.slowly', str(tmp_path / 'done'), range(100), 10)
    next(found)
    found.close()
    done = (tmp_path / 'done').read_text()
    time.sleep(0.3)
    assert (tmp_path / 'done').read_text() == done
    assert 10 <= len(done.split()) < 40


def test_chunks_are_many_for_few_items_and_whole_batches():
    assert [work.chunk_size(n, 3) for n in (1, 23, 24, 48, 300, 10**6)] == [1, 1, 1, 2, 12, 32]
    assert [work.chunk_size(10**6, 100, batch) for batch in (1, 5, 32, 100)] == [32, 30, 32, 100]
    assert [len(chunk) for chunk in work.chunks(range(7), 3)] == [3, 3, 1]


# --- who may work ---


def test_workers_of_another_version_are_refused(address, tls, capsys):
    ours = version.resource()
    assert version.refusal('tcp://a:1', {ours: 1.0}) is None
    assert 'runs version 0.9.0-abc, and this is 1.' in version.refusal('tcp://a:1', {'salgan-0.9.0-abc': 1.0})
    assert 'python -m utils.cluster.worker' in version.refusal('tcp://a:1', {})

    other = [sys.executable, '-m', 'distributed.cli.dask_worker', address, '--no-nanny', '--no-dashboard']
    other += ['--resources', 'salgan-0.9.0-abc=1', *spelt(tls)]
    process = subprocess.Popen(other, stderr=subprocess.DEVNULL)
    try:
        with connection.connected(asked(address, tls)) as cluster:
            while len(cluster.client.scheduler_info(n_workers=-1)['workers']) < 3:
                time.sleep(0.05)
            assert spread(cluster, 'squares', None, range(9), 1)
            assert len(connection.workers(cluster)) == 2
        assert capsys.readouterr().err.count('gets no work: it runs version 0.9.0-abc') == 1
    finally:
        process.terminate()
        process.wait()


def test_a_version_is_the_code_and_its_libraries(monkeypatch):
    def resource():
        version.resource.cache_clear()
        return version.resource()

    ours = resource()
    assert ours == resource() and ours.startswith('salgan-1.')
    with monkeypatch.context() as patch:
        patch.setattr(version.importlib.metadata, 'version', lambda name: '9')
        assert resource() != ours
    with monkeypatch.context() as patch:
        patch.setattr(version, 'PACKAGES', ('utils',))
        assert resource() != ours
    assert resource() == ours


def test_where_nobody_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, 'CONNECT', 1)
    monkeypatch.setattr(connection, 'PATIENCE', 0)
    with (
        refused('no scheduler answers at tcp://127.0.0.1:9'),
        connection.connected(asked('tcp://127.0.0.1:9')),
    ):
        pass
    for content, why in ((None, 'there is none'), ('[]', 'not the file of a scheduler')):
        path = tmp_path / 'scheduler.json'
        if content:
            path.write_text(content)
        with refused(why), connection.connected(asked(None, scheduler_file=str(path))):
            pass


def test_workers_must_see_the_same_files(tmp_path):
    (tmp_path / 'here').write_bytes(b'weights')
    sha256 = files.sha256_of(tmp_path / 'here')
    here = os.getcwd()
    try:
        assert tasks.look(tmp_path, ['here'], ('here', sha256)) is None
        with files.probe(tmp_path) as probe:
            assert tasks.look(tmp_path, probe=probe) is None
        for what, why in (
            ({'folder': tmp_path / 'gone'}, 'gone: No such file'),
            ({'folder': tmp_path, 'paths': ['gone']}, 'gone: no such file; the workers need the same disks'),
            ({'folder': tmp_path, 'weights': ('gone', sha256)}, 'gone: No such file'),
            ({'folder': tmp_path, 'weights': ('here', 'f00d')}, 'here has other weights there, of sha256'),
            ({'folder': tmp_path, 'probe': tmp_path / 'b' / 'probe'}, 'b: another folder there'),
        ):
            assert why in tasks.look(**what)
    finally:
        os.chdir(here)


# --- the options ---


def test_options_that_do_not_go_together(monkeypatch):
    def given(**what):
        nothing = dict.fromkeys(('scheduler', 'scheduler_file', *options.TLS, 'snapshots'))
        return Namespace(**{**nothing, **what})

    tls = {'tls_ca_file': 'ca', 'tls_cert': 'cert', 'tls_key': 'key'}
    options.check(given())
    options.check(given(scheduler='local:3'))
    options.check(given(scheduler='tls://host:1', **tls))
    options.check(given(scheduler_file='file', **tls))
    for what, why in (
        ({'scheduler': 'local', 'scheduler_file': 'file'}, 'give one of them'),
        ({'tls_cert': 'cert'}, '--tls-cert is for a scheduler'),
        ({'scheduler_file': 'file', 'tls_cert': 'cert'}, 'three files: --tls-ca-file, --tls-cert, --tls-key'),
        (dict(scheduler='local:2', **tls), 'and not for local:2'),
        ({'scheduler': 'tls://host:1'}, 'three files'),
        ({'scheduler': 'local', 'snapshots': 'folder'}, '--snapshots does not go with a scheduler: reason'),
    ):
        with refused(why):
            options.check(given(**what), snapshots='reason')
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    options.check(given())
    with refused('make cluster'):
        options.check(given(scheduler='local'))


@pytest.mark.parametrize('text', ['', 'local:0', 'local:x', 'host:8786', 'tcp://host', 'http://host:1'])
def test_what_is_no_scheduler(text):
    with pytest.raises(argparse.ArgumentTypeError, match='tcp://HOST:PORT'):
        options.scheduler(text)


def test_without_a_scheduler_dask_stays_away():
    for name in ('01-data-preprocessing.py', '03-predict.py', '04-evaluate.py'):
        code = f"""
import runpy, sys
sys.argv = [{name!r}, '--images', 'none', '--maps', 'none', '--fixations', 'none']
try:
    runpy.run_path({str(ROOT / name)!r}, run_name='__main__')
except SystemExit as end:
    print(end.code, {{'dask', 'distributed', 'theano'}} & sys.modules.keys())
"""
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
        assert done.stdout in ('2 set()\n',), done.stderr


def test_threads_are_the_cores_divided(monkeypatch):
    monkeypatch.setattr(processes, 'cores', lambda: 8)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    assert [processes.environment(n)['OMP_NUM_THREADS'] for n in (1, 3, 8, 9)] == ['8', '2', '1', '1']
    monkeypatch.setenv('OMP_NUM_THREADS', '5')
    assert processes.environment(3)['OMP_NUM_THREADS'] == '5'


# --- 03, 04 and 01 ---


@pytest.fixture
def images(tmp_path):
    """Forty small images, one of them broken, and one in a pickle of 01."""
    random, where = np.random.RandomState(0), tmp_path / 'images'
    (where / 'below').mkdir(parents=True)
    for number in range(40):
        name = f'{"below/" if number % 2 else ""}photograph {number}.png'
        cv2.imwrite(str(where / name), random.randint(0, 256, (20 + number, 30, 3)).astype(np.uint8))
    whole = (where / 'photograph 8.png').read_bytes()
    (where / 'photograph 8.png').write_bytes(whole[:-9])
    write_pickle(tmp_path / 'samples.pickle', seeded_samples(1, 3, 32, 32))
    return [str(where), str(tmp_path / 'samples.pickle')]


def test_maps_are_those_of_one_machine_and_a_node_compiles_once(address, tls, folder, images, tmp_path):
    weights_file = tmp_path / 'weights.npz'
    weights.save(weights_file, inputs.generator_arrays(1))
    sources, _ = image_sources.find(images)
    formats = ['jpg', 'npy', 'overlay']
    found = {}
    for where in ('here', 'there'):
        targets = outputs.plan(sources, tmp_path / where, formats)
        outputs.make_folders(targets, tmp_path / where)
        if where == 'here':
            done = write_all(sources, targets, cluster_work.Network(48, 32), 'w.npz', 3)
        else:
            given = asked(address, tls, weights=str(weights_file), output=str(tmp_path / where))
            given.size, given.batch_size = (48, 32), 3
            done = predicting.predict(sources, targets, given, WORK)
        found[where] = {source.path: why for source, why in done}
    assert found['here'] == found['there'] and len(found['here']) == 43
    assert [path for path, why in found['there'].items() if why] == [
        str(tmp_path / 'images' / 'photograph 8.png')
    ]
    assert tree(tmp_path / 'here') == tree(tmp_path / 'there')
    compiled = (folder / 'compiled' / 'log').read_text().split()
    assert len(compiled) == 1  # the other worker waited and found it there


def test_03_on_workers(address, tls, images, seeded_weights, tmp_path):
    """The real network, relative names, an image that is broken, and maps that are there already."""
    command = [*images, '--weights', seeded_weights, '--size', '32x32', '--batch-size', '2']
    for output, *where in (['here'], ['there', '--scheduler', address, *spelt(tls)]):
        done = script('03-predict.py', *command, '--output', output, *where, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert 'skipped ' in done.stderr and 'photograph 8.png: the PNG is cut short' in done.stderr
        assert done.stderr.endswith(f'42 of 43 images predicted, maps in {output}\n')
    assert maps_of(tmp_path / 'here') == maps_of(tmp_path / 'there')

    (tmp_path / 'there' / 'photograph 0.jpg').unlink()
    again = [*command, '--output', 'there', '--scheduler', address, *spelt(tls), '--skip-existing']
    done = script('03-predict.py', *again, cwd=tmp_path)
    assert done.returncode == 1 and 'maps exist of 41 of 43 images' in done.stderr
    assert maps_of(tmp_path / 'here') == maps_of(tmp_path / 'there')


def test_03_is_interrupted_in_order(address, tls, tmp_path, seeded_weights):
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images' / '0.jpg'), np.zeros((400, 600, 3), np.uint8))
    for number in range(1, 400):
        os.link(tmp_path / 'images' / '0.jpg', tmp_path / 'images' / f'{number}.jpg')
    command = ['images', '--weights', seeded_weights, '--scheduler', address, *spelt(tls), '--size', '64x64']
    process = subprocess.Popen(
        [sys.executable, ROOT / '03-predict.py', *map(str, command)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    output = tmp_path / 'saliency'
    while not (output.exists() and len(list(output.glob('*.jpg'))) > 5):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert (process.returncode, said) == (130, '03-predict.py: interrupted; what was finished is kept\n')
    finished = os.listdir(output)
    time.sleep(0.5)
    assert sorted(os.listdir(output)) == sorted(finished) and len(finished) < 400
    assert not list(output.glob('.*'))


@pytest.mark.parametrize('local', [False, True])
def test_04_on_workers(address, tls, tmp_path, local):
    """Byte for byte, with one map that is broken."""
    evaluation_data.write_fixation_maps(tmp_path / 'fixations')
    evaluation_data.write_maps(tmp_path / 'maps')
    broken = sorted((tmp_path / 'maps').iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:-9])
    command = ['--maps', 'maps', '--fixations', 'fixations', *(['--protocol', 'salicon'] if local else [])]
    workers = ['--scheduler', 'local:2'] if local else ['--scheduler', address, *spelt(tls)]
    for output, *where in (['here.json'], ['there.json', *workers]):
        done = script('04-evaluate.py', *command, '--output', output, *where, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert f'maps/{broken.name}: the PNG is cut short' in done.stderr
    assert (tmp_path / 'here.json').read_bytes() == (tmp_path / 'there.json').read_bytes()


def test_01_on_workers(address, tls, tmp_path):
    layouts.write_gaze_set(tmp_path / 'salicon', {'train': 9, 'val': 3, 'test': 2})
    next((tmp_path / 'salicon' / 'maps').rglob('*.png')).write_bytes(b'')
    for output, *where in (['here'], ['there', '--scheduler', address, *spelt(tls)]):
        command = ['--salicon', 'salicon', '--output', output, '--size', '64x48', *where]
        done = script('01-data-preprocessing.py', *command, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert 'the file is empty' in done.stderr
    assert tree(tmp_path / 'here') == tree(tmp_path / 'there')


def test_local_workers_cannot_be_reached_from_elsewhere():
    environment = mock.patch.dict(os.environ)  # dask leaves variables in it
    with environment, connection.connected(asked('local:1')) as cluster:
        addresses = [cluster.client.scheduler.address, *connection.workers(cluster)]
        assert len(addresses) == 2
        assert all(address.startswith('tcp://127.0.0.1:') for address in addresses)
