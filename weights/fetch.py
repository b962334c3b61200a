"""Fetches the released weights into this folder, as listed in `manifest.json`; `make weights` runs it.

A file is either complete and verified or absent. A published checksum is enforced. If there is none, the
names, shapes, types and values of the arrays are checked, and the sha256 of the first file that passes is
recorded in `recorded.json` and enforced from then on.
"""

import contextlib
import json
import os
import re
import sys
import tempfile
import types
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from utils import command_line  # noqa: E402
from utils.command_line import say  # noqa: E402
from utils.errors import CouldNotStart  # noqa: E402

HERE = os.path.join(ROOT, 'weights')
TRIES = 2  # at an address whose transfer breaks off; one that does not answer is tried once


class Failed(Exception):
    """An address that did not give the file: why, in a few words."""


def main():
    arguments = parser().parse_args()
    manifest = read_manifest(arguments.manifest)
    names = arguments.names or [name for name in manifest if not manifest[name].get('only_when_named')]
    unknown = [name for name in names if name not in manifest]
    if unknown:
        raise CouldNotStart(f'{unknown[0]} is not in {arguments.manifest}, which has {", ".join(manifest)}')

    from utils.files import make_folder

    folder = arguments.output
    if not os.path.isdir(folder):
        make_folder(folder)
    with locked(folder):
        missing = [name for name in dict.fromkeys(names) if not is_there(folder, name, manifest[name])]
        if missing:
            make_folder(folder)  # is it writable? also removes what a killed run left
            fetch_all(folder, missing, manifest, arguments.timeout)


def parser():
    parser = command_line.argument_parser(
        'Fetches the released weights, checks them, and says what to do by hand if no address answers.'
    )
    parser.add_argument(
        'names',
        nargs='*',
        metavar='NAME',
        help='files to fetch, by their names in the manifest (default: the two .npz, without vgg16.pkl)',
    )
    parser.add_argument(
        '--manifest',
        metavar='FILE',
        default=os.path.join(HERE, 'manifest.json'),
        help='list of the files to fetch',
    )
    parser.add_argument('--output', metavar='DIR', default=HERE, help='where the files go')
    parser.add_argument(
        '--timeout',
        metavar='SECONDS',
        type=command_line.positive,
        default=30,
        help='give up on an address that is silent for this long',
    )
    return parser


def read_manifest(path):
    manifest = read_json(path)
    for name, entry in manifest.items():
        sound = isinstance(entry, dict) and {'addresses', 'largest'} <= set(entry) and '/' not in name
        if not sound or entry.get('layout', 'generator') not in ('generator', 'discriminator'):
            raise CouldNotStart(f'{path}: the entry {name!r} is not what weights/README.md describes')
    return manifest


# --- existing files ---


def is_there(folder, name, entry):
    """Whether a valid `name` is in `folder`; an invalid one is an error and stays as it is."""
    path = os.path.join(folder, name)
    if not os.path.lexists(path):
        return False
    if not os.path.isfile(path):
        raise CouldNotStart(f'{path}: not a regular file; move it away and run this again')
    record = recorded(folder, name)
    try:
        sha256 = verify(path, path, entry, record)
    except CouldNotStart as error:
        raise CouldNotStart(f'{error}. Nothing was fetched: move the file away and run this again') from None
    except OSError as error:
        raise CouldNotStart(command_line.describe(error)) from None
    say(f'{path}: already there and sound')
    if not record:
        with contextlib.suppress(OSError):  # a read-only folder, as in a container
            write_record(folder, name, sha256, 'put there by hand')
    return True


def verify(path, name, entry, record):
    """Checks the file `path`, which the messages call `name`; returns its sha256.

    Raises
    ------
    CouldNotStart
        If its arrays do not match the layout, or its checksum the published or recorded one.
    """
    import pooch

    from utils import weights

    read = {'generator': weights.read_generator, 'discriminator': weights.read_discriminator}
    if entry.get('layout'):
        try:
            read[entry['layout']](path)
        except weights.WeightsError as error:
            raise weights.WeightsError(name, error.reason) from None
    for algorithm, expected in published(entry).items():
        found = pooch.file_hash(path, alg=algorithm)
        if found != expected:
            with open(path, 'rb') as file:
                looks = weights.what_it_looks_like(file.read(1024))
            raise weights.WeightsError(
                name,
                f'its {algorithm} is {found}, not {expected} as published'
                + (f'; it looks like {looks}' if looks else ''),
            )
    sha256 = pooch.file_hash(path)
    if record and record['sha256'] != sha256:
        raise weights.WeightsError(
            name,
            f'it has changed: its sha256 is {sha256}, not {record["sha256"]} as recorded of the first one '
            f'({record["from"]}); if that is meant, delete its entry in recorded.json',
        )
    return sha256


def published(entry):
    return {algorithm: entry[algorithm].lower() for algorithm in ('md5', 'sha256') if entry.get(algorithm)}


def recorded(folder, name):
    """The entry of `name` in recorded.json: a dict with `sha256` and `from`; None if there is none."""
    path = os.path.join(folder, 'recorded.json')
    record = read_json(path).get(name) if os.path.exists(path) else None
    if record is not None and not (isinstance(record, dict) and {'sha256', 'from'} <= set(record)):
        raise CouldNotStart(f'{path}: the entry of {name} is damaged; delete it')
    return record


def write_record(folder, name, sha256, origin):
    from utils.files import write_bytes

    path = os.path.join(folder, 'recorded.json')
    records = read_json(path) if os.path.exists(path) else {}
    records[name] = {'sha256': sha256, 'from': origin}
    write_bytes(path, (json.dumps(records, indent=2) + '\n').encode(), durable=True)


def read_json(path):
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        if isinstance(content, dict):
            return content
        reason = 'not a JSON object'
    except OSError as error:
        reason = str(error.strerror)
    except (ValueError, RecursionError) as error:
        reason = f'not JSON: {error}'
    raise CouldNotStart(f'{path}: {reason}; restore it or delete it')


@contextlib.contextmanager
def locked(folder):
    """Allows one fetch at a time in a folder; the system releases the lock however a process ends."""
    from utils import files

    try:
        descriptor = files.lock(folder)
    except BlockingIOError:
        say(f'another fetch is at work in {folder}; waiting for it to end')
        descriptor = files.lock(folder, wait=True)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


# --- missing files ---


def fetch_all(folder, names, manifest, timeout):
    archives: dict = {}
    with contextlib.ExitStack() as stack:
        failed = [n for n in names if not fetch(folder, n, manifest[n], archives, stack, timeout)]
    if failed:
        by_hand = ''.join(
            f'\n  {os.path.join(folder, name)} ({manifest[name].get("published_size", "size unknown")}): '
            f'{manifest[name].get("what", "")}'
            for name in failed
        )
        raise CouldNotStart(
            f'could not fetch {", ".join(failed)}: no address gave a sound file. By hand: get it (a browser '
            'may reach one of the addresses above; model.zip holds all the files; somebody may have a copy), '
            f'put it there:{by_hand}\nand run the same command again, which checks it.'
        )


def fetch(folder, name, entry, archives, stack, timeout):
    """Tries the addresses of `name` in turn and reports each result; returns whether one succeeded."""
    from utils.files import atomic_write

    path = os.path.join(folder, name)
    for address in entry['addresses']:
        packed = isinstance(address, dict)
        url = address['archive'] if packed else address
        try:
            with atomic_write(path, durable=True) as file:
                if packed:
                    archive = fetch_archive(folder, address, archives, stack, timeout)
                    file.writelines(unpack(archive, name, entry['largest']))
                else:
                    download(url, file, entry['largest'], timeout)
                file.flush()
                sha256 = verify(file.name, path, entry, recorded(folder, name))
        except Failed as error:
            say(f'{name}: {url}: {error}')
        except CouldNotStart as error:
            say(f'{name}: {url}: {getattr(error, "reason", error)}')
        else:
            write_record(folder, name, sha256, url)
            say(f'{path}: fetched from {url}, {os.path.getsize(path):,} bytes, sha256 {sha256}')
            return True
    return False


def fetch_archive(folder, address, archives, stack, timeout):
    """The archive at an address as an open unnamed file, downloaded once for all its members."""
    url = address['archive']
    if url not in archives:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (stays open for the next name)
        stack.callback(discard, file)
        try:
            download(url, file, address['largest'], timeout)
            archives[url] = file
        except Failed as error:
            archives[url] = error
    if isinstance(archives[url], Failed):
        raise archives[url]
    return archives[url]


def discard(file):
    """Closes `file`; data that could not be written no longer matter."""
    with contextlib.suppress(OSError):
        file.close()


def download(url, file, largest, timeout):
    """Downloads `url` into the open `file`; raises Failed on failure or above `largest` bytes."""
    import pooch
    import requests

    def write(chunk):
        if file.tell() + len(chunk) > largest:
            raise Failed(f'more than {largest:,} bytes, so it cannot be the file')
        file.write(chunk)

    for attempt in range(1, TRIES + 1):
        file.seek(0)
        file.truncate()
        # total: pooch tests the bar's truth, which tqdm defines only with a total; pooch sets the right one
        with command_line.progress(total=1, unit='B', unit_scale=True, desc=os.path.basename(url)) as bar:
            get = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=(min(timeout, 10), timeout))
            try:
                get(url, types.SimpleNamespace(write=write, flush=file.flush), None)
                return
            except (requests.RequestException, ValueError) as error:  # ValueError: a Content-Length of words
                if not file.tell() or attempt == TRIES:
                    raise Failed(reason(error, file.tell())) from None


def reason(error, received):
    """Why a download failed, in words; the exceptions' own texts are long and mention pools."""
    import requests

    if received or isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f'broke off after {received:,} bytes'
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f'HTTP {error.response.status_code} {error.response.reason}'
    if isinstance(error, requests.exceptions.SSLError):
        return 'its certificate is not accepted'
    if isinstance(error, requests.Timeout):
        return 'no answer in time'
    if isinstance(error, requests.exceptions.ProxyError):
        return 'the proxy does not let it through'
    if isinstance(error, requests.ConnectionError):
        return 'cannot be reached'
    return type(error).__name__


def unpack(archive, name, largest):
    """Yields the bytes of the file `name`, in whatever folder of the zip archive it is.

    Nothing is written under a name from the archive. Raises Failed if the file is missing, is larger than
    `largest` bytes, or cannot be unpacked.
    """
    from utils.weights import BoundedFile, what_it_looks_like

    try:
        with BoundedFile(archive.fileno(), closefd=False) as file, zipfile.ZipFile(file) as members:
            for info in members.infolist():
                folders = re.split(r'[/\\]', info.filename)
                if folders[-1] == name and folders[0] and '..' not in folders:
                    break
            else:
                raise Failed(f'the archive does not hold {name}')
            if info.file_size > largest:
                raise Failed(f'{name} would unpack to {info.file_size:,} bytes, so it cannot be the file')
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Failed(f'{name} is compressed in an unusual way; unpack the archive by hand')
            with members.open(info) as member:
                while True:
                    chunk = member.read(2**20)
                    if not chunk:
                        return
                    yield chunk
    except Failed:
        raise
    except Exception as error:  # on a damaged or hostile archive zipfile may raise nearly anything
        archive.seek(0)
        looks = what_it_looks_like(archive.read(1024))
        raise Failed(f'not a sound archive ({looks or error or type(error).__name__})') from None


if __name__ == '__main__':
    command_line.run(main)
