"""The downloader, as a whole command, against a server on this machine."""

import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, script
from utils import architecture, weights
from utils.files import LOCK

SCRIPT = ROOT / 'weights' / 'fetch.py'
NAME = 'discrim_modelWeights0090.npz'


@pytest.fixture(scope='session')
def good(tmp_path_factory):
    """The bytes of a sound discriminator, as small as one may be (its fc4 has one unit)."""
    path = tmp_path_factory.mktemp('good') / 'a.npz'
    rng = np.random.RandomState(0)
    weights.save(path, [rng.rand(*shape) for _, _, shape in architecture.discriminator_layout(fc4_units=1)])
    return path.read_bytes()


@pytest.fixture
def server():
    """A server on this machine: `.pages` has what it answers, `.asked` what it was asked for.

    A page is bytes, a status, or a function that is given the request handler.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            served.asked.append(self.path)
            page = served.pages.get(self.path, 404)
            if callable(page):
                page(self)
            elif isinstance(page, int):
                self.send_error(page)
            else:
                send(self, page)

        def log_message(self, *_):
            pass

    served: Any = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    served.pages, served.asked = {}, []
    served.url = f'http://127.0.0.1:{served.server_port}'
    thread = threading.Thread(target=served.serve_forever, kwargs={'poll_interval': 0.05})
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def send(handler, data, length=None):
    handler.send_response(200)
    if length != 'none':
        handler.send_header('Content-Length', length or len(data))
    handler.end_headers()
    handler.wfile.write(data)


def visible(folder):
    return sorted(path.name for path in folder.glob('*') if path.name != LOCK)


class Folder:
    """A folder to fetch into, and a manifest of one file."""

    def __init__(self, path, server):
        self.path, self.server = path, server
        self.file, self.manifest = path / 'weights' / NAME, path / 'manifest.json'

    def write_manifest(self, *addresses, **more):
        """`addresses`: pages of the server, or (page,) for an archive."""
        urls: list = [self.server.url + ''.join(address) for address in addresses]
        for i, address in enumerate(addresses):
            if isinstance(address, tuple):
                urls[i] = {'archive': urls[i], 'largest': 10**8}
        entry = {'layout': 'discriminator', 'published_size': '3.4 MB', 'largest': 10**7, 'addresses': urls}
        entry.update(more)
        self.manifest.write_text(json.dumps({NAME: {k: v for k, v in entry.items() if v is not None}}))

    def command(self, *arguments):
        return ['--manifest', self.manifest, '--output', self.file.parent, *arguments]

    def fetch(self, *arguments, **environment):
        environment = {'no_proxy': '127.0.0.1', **environment}
        process = script('weights/fetch.py', *self.command(*arguments), timeout=60, **environment)
        assert process.stdout == ''
        assert 'Traceback' not in process.stderr
        assert not list(self.file.parent.glob('.salgan-*'))
        return process

    def fetched(self, *arguments):
        process = self.fetch(*arguments)
        assert process.returncode == 0, process.stderr
        return process.stderr

    def refused(self, *arguments):
        """What a fetch says that gets nothing; nothing is left behind."""
        before = self.names
        process = self.fetch(*arguments)
        assert process.returncode == 2, process.stderr
        assert self.names == before
        return process.stderr

    @property
    def names(self):
        return visible(self.file.parent)

    @property
    def record(self):
        return json.loads((self.file.parent / 'recorded.json').read_text())


@pytest.fixture
def folder(tmp_path, server):
    return Folder(tmp_path, server)


def test_a_good_file_is_fetched_once(folder, server, good):
    server.pages['/a'] = good
    folder.write_manifest('/a')
    said = folder.fetched()
    sha256 = hashlib.sha256(good).hexdigest()
    assert f'{folder.file}: fetched from {server.url}/a, {len(good):,} bytes, sha256 {sha256}\n' == said
    assert folder.file.read_bytes() == good
    assert folder.record == {NAME: {'sha256': sha256, 'from': f'{server.url}/a'}}
    assert folder.fetched() == f'{folder.file}: already there and sound\n'
    assert server.asked == ['/a']


def test_what_is_there_needs_no_network(folder, good):
    folder.write_manifest('/a')
    folder.file.parent.mkdir()
    folder.file.write_bytes(good)
    folder.server.server_close()
    assert folder.fetched() == f'{folder.file}: already there and sound\n'
    assert folder.record[NAME] == {'sha256': hashlib.sha256(good).hexdigest(), 'from': 'put there by hand'}


def test_the_next_address_is_tried(folder, server, good):
    server.pages.update({'/b': 503, '/c': b'<!DOCTYPE html><html>moved</html>', '/d': good})
    folder.write_manifest('/a', '/b', '/c', '/d', '/e')
    lines = folder.fetched().splitlines()
    assert lines[0].startswith(f'{NAME}: {server.url}/a: HTTP 404')
    assert lines[1].startswith(f'{NAME}: {server.url}/b: HTTP 503')
    assert lines[2].startswith(f'{NAME}: {server.url}/c: not a .npz file but an HTML page')
    assert lines[3].startswith(f'{folder.file}: fetched from {server.url}/d')
    assert server.asked == ['/a', '/b', '/c', '/d']
    assert folder.file.read_bytes() == good


def test_nothing_answers(folder, server):
    folder.write_manifest('/a', ('/model.zip',), what='the discriminator')
    said = folder.refused()
    assert f'fetch.py: could not fetch {NAME}' in said
    assert 'By hand: ' in said
    assert f'\n  {folder.file} (3.4 MB): the discriminator\n' in said
    assert 'run the same command again' in said


def test_nobody_is_there(folder, server):
    folder.write_manifest('/a')
    server.server_close()
    assert f'{NAME}: {server.url}/a: cannot be reached\n' in folder.refused()


def test_a_host_without_a_name(folder):
    folder.write_manifest(
        addresses=['http://nobody.invalid/a', 'https://nobody.invalid/a', 'http://', 'gopher://a']
    )
    said = folder.refused()
    assert 'http://nobody.invalid/a: cannot be reached' in said
    assert said.count('cannot be reached') == 2


def test_broken_transfers(folder, server, good):
    """One try more where the transfer had begun; then the next address."""

    def cut(handler):
        send(handler, good[: len(good) // 2], len(good))

    def cut_without_length(handler):
        send(handler, good[: len(good) // 2], 'none')

    def cut_at_first(handler):
        send(handler, good if server.asked.count('/c') == 2 else good[:70000], len(good))

    server.pages.update({'/a': cut, '/b': cut_without_length, '/c': cut_at_first})
    folder.write_manifest('/a', '/b', '/c')
    said = folder.fetched()
    whole_pieces = len(good) // 2 // 65536 * 65536
    assert f'/a: broke off after {whole_pieces:,} bytes' in said
    assert '/b: truncated or damaged' in said
    assert server.asked == ['/a', '/a', '/b', '/c', '/c']
    assert folder.file.read_bytes() == good


def test_answers_that_make_no_sense(folder, server, good):
    def loop(handler):
        handler.send_response(302)
        handler.send_header('Location', '/loop')
        handler.end_headers()

    def page(handler):
        handler.send_response(302)
        handler.send_header('Location', '/login')
        handler.end_headers()

    server.pages.update(
        {
            '/loop': loop,
            '/page': page,
            '/login': b'<html>Please log in</html>',
            '/empty': b'',
            '/length': lambda handler: send(handler, good, 'many'),
            '/noise': lambda handler: handler.wfile.write(b'\0\1\2 nonsense\r\n\r\n'),
            '/shut': lambda handler: handler.connection.close(),
            '/other': good.replace(b'arr_3.npy', b'arr_x.npy'),
        }
    )
    folder.write_manifest('/loop', '/page', '/empty', '/length', '/noise', '/shut', '/other')
    said = folder.refused()
    assert '/loop: TooManyRedirects' in said
    assert '/page: not a .npz file but an HTML page' in said
    assert '/empty: the file is empty (0 bytes)' in said
    assert '/noise: cannot be reached' in said
    assert "/other: holds 'arr_x.npy'" in said
    assert len(said.splitlines()) == 7 + 3


def test_a_file_without_end(folder, server, good):
    def endless(handler):
        send(handler, good, 'none')
        try:
            for _ in range(1000):
                handler.wfile.write(bytes(10**6))
        except OSError:
            pass

    server.pages['/a'] = endless
    folder.write_manifest('/a')
    assert '/a: more than 10,000,000 bytes, so it cannot be the file' in folder.refused()


def test_silence(folder, server):
    released = threading.Event()
    server.pages['/a'] = lambda handler: released.wait(20)
    folder.write_manifest('/a')
    start = time.monotonic()
    try:
        assert '/a: no answer in time' in folder.refused('--timeout', '1')
    finally:
        released.set()
    assert time.monotonic() - start < 15


def test_published_checksums(folder, server, good):
    server.pages.update({'/a': good[:-1] + b'\1', '/b': b'<html>', '/c': good})
    for algorithm in 'md5', 'sha256':
        right = hashlib.new(algorithm, good).hexdigest()
        folder.write_manifest('/a', '/b', '/c', layout=None, **{algorithm: right.upper()})
        said = folder.fetched()
        found = hashlib.new(algorithm, good[:-1] + b'\1').hexdigest()
        assert f'/a: its {algorithm} is {found}, not {right} as published' in said
        assert 'as published; it looks like an HTML page' in said
        assert folder.file.read_bytes() == good
        folder.file.write_bytes(good[:-1])
        said = folder.refused()
        assert f'{folder.file}: its {algorithm} is ' in said
        assert 'Nothing was fetched: move the file away and run this again' in said
        folder.file.unlink()
        (folder.file.parent / 'recorded.json').unlink()


def test_a_file_that_changed(folder, server, good, tmp_path):
    server.pages['/a'] = good
    folder.write_manifest('/a')
    folder.fetched()
    other = tmp_path / 'other.npz'
    weights.save(other, [np.ones(shape) for _, _, shape in architecture.discriminator_layout(fc4_units=1)])
    folder.file.write_bytes(other.read_bytes())
    said = folder.refused()
    new, old = (hashlib.sha256(data).hexdigest() for data in (other.read_bytes(), good))
    assert f'{folder.file}: it has changed: its sha256 is {new}, not {old} as recorded' in said
    assert 'if that is meant, delete its entry in recorded.json' in said
    assert folder.file.read_bytes() == other.read_bytes()
    # nor does an address get away with another file
    folder.file.unlink()
    server.pages['/a'] = other.read_bytes()
    assert '/a: it has changed' in folder.refused()
    # and what is meant is taken
    (folder.file.parent / 'recorded.json').write_text('{}')
    folder.fetched()
    assert folder.record[NAME]['sha256'] == new


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'the file is empty'),
        (b'<html>', 'not a .npz file but an HTML page'),
        ('half', 'truncated or damaged'),
    ],
)
def test_an_unsound_file_is_left_as_it_is(folder, server, good, content, message):
    server.pages['/a'] = good
    folder.write_manifest('/a')
    folder.file.parent.mkdir()
    content = good[: len(good) // 2] if content == 'half' else content
    folder.file.write_bytes(content)
    said = folder.refused()
    assert f'{folder.file}: {message}' in said
    assert 'Nothing was fetched: move the file away and run this again' in said
    assert folder.file.read_bytes() == content
    assert server.asked == []
    folder.file.unlink()
    folder.file.mkdir()
    assert f'{folder.file}: not a regular file; move it away' in folder.refused()
    folder.file.rmdir()
    folder.file.symlink_to('nowhere')
    assert f'{folder.file}: not a regular file; move it away' in folder.refused()


# --- archives ---


def archive(*members, compress=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compress) as members_of:
        for name, data in members:
            members_of.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize('place', ['', 'SalGAN/', 'a/b/c d/', 'model\\'])
def test_from_an_archive_wherever_it_lies(folder, server, good, place):
    others = [
        ('SalGAN/vgg16.pkl', b'no'),
        ('__MACOSX/._' + NAME, b'no'),
        ('x' + NAME, b'no'),
        (f'{NAME}/x', b'no'),
    ]
    server.pages['/model.zip'] = archive(*others, (place + NAME, good))
    folder.write_manifest('/a', ('/model.zip',))
    assert f'{folder.file}: fetched from {server.url}/model.zip' in folder.fetched()
    assert folder.file.read_bytes() == good
    assert folder.names == [NAME, 'recorded.json']


def test_an_archive_is_downloaded_once_for_all_that_is_in_it(folder, server, good):
    names = ['one.npz', 'two.npz', 'three.pkl']
    server.pages['/model.zip'] = archive(*[(f'SalGAN/{name}', good) for name in names])
    folder.write_manifest(('/model.zip',))
    entry = json.loads(folder.manifest.read_text())[NAME]
    manifest = {name: dict(entry) for name in names}
    manifest['three.pkl'].update(only_when_named=True, layout='discriminator')
    folder.manifest.write_text(json.dumps(manifest))
    folder.fetched()
    assert folder.names == [
        'one.npz',
        'recorded.json',
        'two.npz',
    ]
    assert server.asked == ['/model.zip']
    folder.fetched('three.pkl', 'three.pkl')
    assert (folder.file.parent / 'three.pkl').read_bytes() == good
    assert server.asked == ['/model.zip'] * 2
    assert sorted(folder.record) == ['one.npz', 'three.pkl', 'two.npz']


def test_a_bad_archive_is_asked_for_once(folder, server):
    folder.write_manifest(('/model.zip',))
    entry = json.loads(folder.manifest.read_text())[NAME]
    folder.manifest.write_text(json.dumps({'one.npz': entry, 'two.npz': entry}))
    said = folder.refused()
    assert said.count('/model.zip: HTTP 404') == 2
    assert 'could not fetch one.npz, two.npz' in said
    assert server.asked == ['/model.zip']


def test_archives_with_names_that_lead_elsewhere(folder, server, good):
    names = [f'../{NAME}', f'a/../../{NAME}', f'..\\{NAME}', f'/{NAME}', f'{NAME}/', 'elsewhere.npz']
    for i, name in enumerate(names):
        server.pages[f'/{i}'] = archive((name, good))
    folder.write_manifest(*[(page,) for page in server.pages])
    before = sorted(folder.path.rglob('*'))
    said = folder.refused()
    assert said.count(f': the archive does not hold {NAME}\n') == len(names)
    left = {path for path in folder.path.rglob('*') if path.name != LOCK}
    assert sorted(left - {folder.file.parent}) == before
    assert not os.path.lexists(f'/{NAME}')
    decoys = [(name, b'decoy') for name in names]
    server.pages['/model.zip'] = archive(*decoys, ('SalGAN/' + NAME, good))
    folder.write_manifest(('/model.zip',))
    folder.fetched()
    assert folder.file.read_bytes() == good


def test_hostile_archives(folder, server, good):
    encrypted = bytearray(archive((NAME, good)))
    encrypted[6] |= 1
    encrypted[encrypted.rindex(b'PK\1\2') + 8] |= 1
    whole = archive((NAME, good))
    server.pages.update(
        {
            '/bomb': archive((NAME, bytes(10**7 + 1))),
            '/odd': archive((NAME, good), compress=zipfile.ZIP_LZMA),
            '/encrypted': bytes(encrypted),
            '/half': whole[: len(whole) // 2],
            '/page': b'<html>',
            '/crc': whole.replace(whole[1000:1010], bytes(10)),
            '/nothing': archive(),
        }
    )
    folder.write_manifest(*[(page,) for page in server.pages])
    said = folder.refused()
    assert f'/bomb: {NAME} would unpack to 10,000,001 bytes' in said
    assert f'/odd: {NAME} is compressed in an unusual way' in said
    assert '/encrypted: not a sound archive (' in said
    assert '/half: not a sound archive (' in said
    assert '/page: not a sound archive (an HTML page' in said
    assert '/crc: not a sound archive (' in said
    assert f'/nothing: the archive does not hold {NAME}' in said


# --- killed, interrupted, side by side, without room ---


@pytest.fixture
def halting(server, good):
    """A page that sends half of the file and waits for the event."""
    halfway = threading.Event()

    def half(handler):
        handler.send_response(200)
        handler.send_header('Content-Length', len(good))
        handler.end_headers()
        handler.wfile.write(good[: len(good) // 2])
        handler.wfile.flush()
        halfway.wait(30)
        handler.wfile.write(good[len(good) // 2 :])

    server.pages['/a'] = half
    yield halfway
    halfway.set()


def start(folder):
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, folder.command())],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'no_proxy': '127.0.0.1'},
    )
    while not any(file.stat().st_size for file in folder.file.parent.glob('.salgan-*')):
        assert process.poll() is None
        time.sleep(0.02)
    return process


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_and_run_again(folder, server, good, halting, how):
    folder.write_manifest('/a')
    process = start(folder)
    process.send_signal(how)
    said = process.communicate()[1]
    assert not folder.file.exists()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert said == 'fetch.py: interrupted; what was finished is kept\n'
        assert folder.names == []
    halting.set()
    folder.fetched()
    assert folder.file.read_bytes() == good
    assert folder.names == [NAME, 'recorded.json']


def test_two_at_once(folder, server, good, halting):
    """The second waits for the first, and finds the file there."""
    folder.write_manifest('/a')
    first = start(folder)
    second = subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, folder.command())], stderr=subprocess.PIPE, text=True
    )
    waits = f'another fetch is running in {folder.file.parent}; waiting for it to end\n'
    assert second.stderr and second.stderr.readline() == waits
    halting.set()
    first.communicate()
    assert second.communicate()[1] == f'{folder.file}: already there and sound\n'
    assert (first.returncode, second.returncode) == (0, 0)
    assert server.asked == ['/a']


def test_a_full_disk(folder, server, good, small_disk):
    big = small_disk.parent / 'big.npz'
    weights.save(big, [np.ones(shape) for _, _, shape in architecture.discriminator_layout(fc4_units=20)])
    folder.file = small_disk / NAME
    server.pages.update({'/a': big.read_bytes(), '/model.zip': archive((NAME, big.read_bytes()), compress=0)})
    for address in '/a', ('/model.zip',):
        folder.write_manifest(address, '/b')
        process = folder.fetch()
        assert process.returncode == 3
        assert process.stderr == (
            f'fetch.py: {folder.file}: the disk is full; free some space and run the same command again\n'
        )
        assert visible(small_disk) == []
    assert '/b' not in server.asked


def test_a_folder_that_cannot_be_made(folder):
    folder.write_manifest('/a')
    folder.file.parent.write_text('a file')
    process = folder.fetch()
    assert process.returncode == 2
    assert f'cannot write to the folder {folder.file.parent}: ' in process.stderr


# --- the command line and its files ---


def test_the_real_manifest():
    manifest = json.loads((ROOT / 'weights' / 'manifest.json').read_text())
    assert list(manifest) == ['gen_modelWeights0090.npz', 'discrim_modelWeights0090.npz', 'vgg16.pkl']
    layouts = {
        'generator': architecture.generator_layout(),
        'discriminator': architecture.discriminator_layout(fc4_units=60),
    }
    for entry in manifest.values():
        if 'layout' in entry:
            layout = layouts[entry['layout']]
            assert entry['arrays'] == len(layout)
            assert entry['array_bytes'] == sum(4 * int(np.prod(shape)) for _, _, shape in layout)
            assert entry['largest'] > entry['array_bytes']
    assert manifest['vgg16.pkl']['md5'] == '57858ec9bb7435e99c78a0520e6c5d3e'
    assert manifest['vgg16.pkl']['only_when_named']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'not JSON'),
        ('[]', 'not a JSON object'),
        ('{"a": 1}', "the entry 'a' is not what weights/README.md describes"),
        ('{"../a": {"addresses": [], "largest": 1}}', "the entry '../a' is not"),
        ('{"a": {"addresses": [], "largest": 1, "layout": "x"}}', "the entry 'a' is not"),
    ],
)
def test_damaged_manifests_and_records(folder, good, content, message):
    folder.manifest.write_text(content)
    assert f'{folder.manifest}: {message}' in folder.refused()
    folder.write_manifest('/a')
    folder.file.parent.mkdir(exist_ok=True)
    folder.file.write_bytes(good)
    (folder.file.parent / 'recorded.json').write_text(content.replace('"a"', f'"{NAME}"'))
    if 'addresses' not in content:
        folder.refused()


def test_unknown_names_and_missing_manifests(folder):
    folder.write_manifest('/a')
    assert f'gen.npz is not in {folder.manifest}, which has {NAME}' in folder.refused('gen.npz')
    folder.manifest.unlink()
    assert f'{folder.manifest}: No such file or directory' in folder.refused()


def test_help():
    process = script('weights/fetch.py', '--help')
    assert process.returncode == 0
    assert process.stdout.count('(default:') == 4
