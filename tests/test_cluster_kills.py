"""Workers that die at any moment, on one machine and on two by network: the same bytes, nothing lost."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import psutil
import pytest

from tests.conftest import ROOT, script
from tests.helpers.layouts import maps_of, photograph

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

IMAGES, KILLS = 300, 10
SMALL = ['--size', '64x64', '--format', 'png,npy']


@pytest.fixture(scope='module')
def made(tmp_path_factory, seeded_weights):
    """A folder with images and the maps that one machine makes of them, and how long that took."""
    folder = tmp_path_factory.mktemp('made')
    (folder / 'images').mkdir()
    large = photograph(0, (1200, 1600))
    for number in range(IMAGES):
        top, left = np.random.RandomState(number).randint(0, 1000, 2)
        cv2.imwrite(str(folder / 'images' / f'{number}.jpg'), large[top : top + 150, left : left + 200])
    shutil.copy(seeded_weights, folder / 'weights.npz')
    done = script('03-predict.py', *command(folder), '--output', 'here', cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def command(folder):
    return [*SMALL, '--weights', 'weights.npz', '--images', 'images']


def workers_of(pid):
    """The worker processes that `pid` has started."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any('spawn_main' in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def maps(folder):
    return len(list(folder.glob('*.npy')))


def killed_at_random(process, above, folder, rng):
    """Kills a worker each time that some more maps are there, KILLS times; returns what was said."""
    moments = sorted(rng.sample(range(1, IMAGES // 2), KILLS))
    for moment in moments:
        while maps(folder) < moment:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        while not (alive := workers_of(above)):  # all of them have just been killed
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        os.kill(rng.choice(alive), signal.SIGKILL)
    return process.communicate()[1]


def test_ten_workers_killed_at_random_moments(made):
    arguments = [*command(made), '--output', 'there', '--scheduler', 'local:3']
    process = start(made, arguments)
    said = killed_at_random(process, process.pid, made / 'there', random.Random(0))
    assert process.returncode == 0, said
    assert maps_of(made / 'here') == maps_of(made / 'there')


def start(folder, arguments):
    return subprocess.Popen(
        [sys.executable, ROOT / '03-predict.py', *arguments], cwd=folder, stderr=subprocess.PIPE, text=True
    )


# --- a scheduler and workers that were started by hand, each in a network of its own ---


@pytest.fixture
def networks():
    """Three network namespaces on one bridge: their names, 10.77.0.1 to 10.77.0.3."""
    names = [f'salgan{number}' for number in (1, 2, 3)]

    def ip(*arguments, check=True):
        return subprocess.run(['ip', *arguments], check=check, capture_output=True)

    if os.geteuid() or ip('netns', 'add', names[0], check=False).returncode:
        pytest.skip('this user may make no network namespaces')
    with contextlib.ExitStack() as stack:
        stack.callback(ip, 'netns', 'del', names[0])
        for name in names[1:]:
            ip('netns', 'add', name)
            stack.callback(ip, 'netns', 'del', name)
        ip('link', 'add', 'salgan-bridge', 'type', 'bridge')
        stack.callback(ip, 'link', 'del', 'salgan-bridge')
        ip('link', 'set', 'salgan-bridge', 'up')
        for number, name in enumerate(names, 1):
            ip('link', 'add', f'{name}-out', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
            ip('link', 'set', f'{name}-out', 'master', 'salgan-bridge', 'up')
            ip('-n', name, 'addr', 'add', f'10.77.0.{number}/24', 'dev', 'eth0')
            ip('-n', name, 'link', 'set', 'eth0', 'up')
            ip('-n', name, 'link', 'set', 'lo', 'up')
        yield names


def test_by_hand_in_networks_of_their_own(made, networks, tmp_path):
    """As docs/cluster.md says: a scheduler, workers on two machines, the command on a third of them."""
    first, second, third = (['ip', 'netns', 'exec', name] for name in networks)
    python, address = sys.executable, 'tcp://10.77.0.1:8786'
    worker = [python, '-m', 'utils.cluster.worker', '--scheduler', address, '--workers', '2']
    whole = (made / 'images' / '0.jpg').read_bytes()
    (made / 'images' / 'broken.jpg').write_bytes(whole[:-9])
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(tmp_path / 'log', 'wb'))
        started = []
        for where, what in (
            (first, [python, '-m', 'distributed.cli.dask_scheduler', '--host', '10.77.0.1']),
            (second, [*worker, '--local-directory', str(tmp_path)]),
            (third, [*worker, '--local-directory', str(tmp_path)]),
        ):
            process = subprocess.Popen([*where, *what], cwd=ROOT, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            started.append(process)
        arguments = [*command(made), '--output', 'by hand', '--scheduler', address]
        run = subprocess.Popen(
            [*first, python, ROOT / '03-predict.py', *arguments],
            cwd=made,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = killed_at_random(run, started[1].pid, made / 'by hand', random.Random(1))
    (made / 'images' / 'broken.jpg').unlink()
    assert run.returncode == 1, said
    assert 'skipped images/broken.jpg: the JPEG is cut short' in said and 'Traceback' not in said
    assert maps_of(made / 'here') == maps_of(made / 'by hand')
