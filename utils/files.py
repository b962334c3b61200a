"""Files on disk: written under a temporary name and moved into place, so that none is ever half there."""

import contextlib
import glob
import itertools
import os
import stat

from utils.command_line import CouldNotStart, describe

_count = itertools.count()


class Unreadable(Exception):
    """A file of a user's that is missing, broken, or not what it should be: one sentence that names it."""


def read_bytes(path, limit=2**30):
    """The bytes of a file of a user's, whole.

    Raises
    ------
    Unreadable
        If it is missing, cannot be read, or holds more than `limit` bytes.
    """
    size = size_of(path)
    if size > limit:
        raise Unreadable(f'{os.fspath(path)}: {size} bytes, more than such a file can need')
    try:
        with open(path, 'rb', buffering=0) as file:
            return file.read(size)
    except OSError as error:
        raise Unreadable(f'{os.fspath(path)}: {error.strerror}') from None


def walk(top):
    """All files below a folder, relative to it, sorted; in linked folders too, but in none inside itself.

    Raises
    ------
    CouldNotStart
        If a folder cannot be read.
    """
    found, waiting = [], [('', ())]  # folders, and those on the way down to each
    while waiting:
        below, above = waiting.pop()
        folder = os.path.join(top, below)
        try:
            status = os.stat(folder)
            names = os.listdir(folder)
        except OSError as error:
            raise CouldNotStart(f'{folder}: {error.strerror}; make it readable, or move it away') from None
        if (status.st_dev, status.st_ino) in above:
            continue
        above = (*above, (status.st_dev, status.st_ino))
        for name in names:
            relative = os.path.join(below, name)
            if os.path.isdir(os.path.join(top, relative)):
                if not name.startswith('.'):
                    waiting.append((relative, above))
            else:
                found.append(relative)
    return sorted(found)


def size_of(path):
    """The bytes that a file of a user's holds.

    Raises
    ------
    Unreadable
        If it is missing, or no file: to open a pipe would wait for ever.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise Unreadable(f'{os.fspath(path)}: {getattr(error, "strerror", error)}') from None
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: 'a directory', stat.S_IFIFO: 'a pipe', stat.S_IFSOCK: 'a socket'}
        what = kinds.get(stat.S_IFMT(status.st_mode), 'a device')
        raise Unreadable(f'{os.fspath(path)}: {what}, not a file')
    return status.st_size


@contextlib.contextmanager
def atomic_write(path, mode='wb', durable=False, **keywords):
    """Opens a temporary file beside `path`; moves it there when the block ends well, else deletes it.

    A process killed at any moment leaves the old bytes under `path` or the new ones, nothing between;
    `durable` waits for the disk too, so that this holds for a power cut. `keywords` go to `open`.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or '.'
    temporary = os.path.join(folder, f'.salgan-{os.getpid()}-{next(_count)}.part')
    try:
        with open(temporary, mode, **keywords) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            error.filename, error.filename2 = path, None  # the name that the user knows
        raise


def is_temporary(name):
    """Whether `atomic_write` gives such names: what a killed process left, or a running one is writing."""
    return name.startswith('.salgan-') and name.endswith('.part')


def write_bytes(path, data, durable=False):
    """Writes `data` to `path`, atomically."""
    with atomic_write(path, durable=durable) as file:
        file.write(data)


def make_folder(path):
    """Makes the folder `path` and its parents, and checks that files can be written there.

    Also removes what processes that no longer run left in it under temporary names.

    Raises
    ------
    CouldNotStart
        If it cannot be made or written to.
    """
    probe = os.path.join(path, f'.salgan-{os.getpid()}-probe.part')
    try:
        os.makedirs(path, exist_ok=True)
        write_bytes(probe, b'probe')
        os.unlink(probe)
    except OSError as error:
        raise CouldNotStart(f'cannot write to the folder {path}: {describe(error)}') from None
    for name in glob.glob(os.path.join(glob.escape(path), '.salgan-*.part')):
        pid = os.path.basename(name).split('-')[1]
        if pid.isdecimal() and not _runs(int(pid)):
            with contextlib.suppress(OSError):
                os.unlink(name)


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, and belongs to somebody else
        return True
    return True
