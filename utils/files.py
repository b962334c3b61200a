"""Files on disk: written under a temporary name and moved into place, so that none is ever half-written."""

import contextlib
import errno
import hashlib
import os
import re
import stat

from utils.command_line import describe, say
from utils.errors import CouldNotStart, Unreadable

LOCK = '.salgan.lock'
DAY = 24 * 3600
# where a process runs, its number there, and when it started; see `_owner`
_NOWHERE = '0' * 16
_OWNED = re.compile(r'\.salgan-([0-9a-f]{16})-(\d+)-(\d+)-')


def read_bytes(path, limit=2**30):
    """All bytes of a user's file.

    Raises
    ------
    Unreadable
        If it is missing, cannot be read, or has more than `limit` bytes.
    """
    size = size_of(path)
    if size > limit:
        raise Unreadable(f'{os.fspath(path)}: {size} bytes, more than such a file can need')
    try:
        with open(path, 'rb', buffering=0) as file:
            return file.read(size)
    except OSError as error:
        raise Unreadable(f'{os.fspath(path)}: {error.strerror}') from None


def sha256_of(path):
    """The SHA-256 of a user's file, in hexadecimal.

    Raises
    ------
    Unreadable
        If it is missing or cannot be read.
    """
    size_of(path)
    digest = hashlib.sha256()
    try:
        with open(path, 'rb', buffering=0) as file:
            while part := file.read(2**20):
                digest.update(part)
    except OSError as error:
        raise Unreadable(f'{os.fspath(path)}: {error.strerror}') from None
    return digest.hexdigest()


def walk(top, leave_out=None, hidden=False):
    """All files below a folder, relative to it, sorted; follows links to folders, but not in a circle.

    Parameters
    ----------
    top : path
    leave_out : path, optional
        A folder that is not searched.
    hidden : bool
        Whether hidden folders are searched too.

    Raises
    ------
    CouldNotStart
        If a folder cannot be read.
    """
    found: list = []
    waiting: list = [('', ())]  # folders, and those above each
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
            path = os.path.join(top, relative)
            if os.path.isdir(path):
                if (hidden or not name.startswith('.')) and not (leave_out and _same(path, leave_out)):
                    waiting.append((relative, above))
            else:
                found.append(relative)
    return sorted(found)


def _same(path, other):
    return os.path.exists(other) and os.path.samefile(path, other)


def size_of(path):
    """The size of a user's file, in bytes.

    Raises
    ------
    Unreadable
        If it is missing or not a file: opening a pipe would wait forever.
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
    """Opens a temporary file beside `path`; moves it there if the block succeeds, otherwise deletes it.

    A process killed at any moment leaves either the old or the new bytes under `path`; `durable` also waits
    for the disk, so that this holds for a power cut. `keywords` go to `open`.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or '.'
    temporary = os.path.join(folder, _temporary())
    try:
        with open(temporary, mode.replace('w', 'x'), **keywords) as file:
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
    """Whether `atomic_write` uses such names: for files left by a killed process, or being written."""
    return name.startswith('.salgan-') and name.endswith('.part')


def write_bytes(path, data, durable=False):
    """Writes `data` to `path`, atomically."""
    with atomic_write(path, durable=durable) as file:
        file.write(data)


def make_folder(path):
    """Creates the folder `path` and its parents, and checks that files can be written there.

    Also removes temporary files in it that belong to processes that have ended. Whether a process on another
    host or in another container has ended cannot be determined here, so its files are kept until they have
    not been written to for a day.

    Raises
    ------
    CouldNotStart
        If it cannot be created or written to.
    """
    try:
        os.makedirs(path, exist_ok=True)
        with probe(path) as name:
            now = os.stat(name).st_mtime  # by the file server's clock, like the other files' times
    except OSError as error:
        raise CouldNotStart(f'cannot write to the folder {path}: {describe(error)}') from None
    _clean(path, lambda entry: _is_abandoned(entry, now))


@contextlib.contextmanager
def probe(folder):
    """A small file in `folder` inside the block, which shows another machine that it sees the folder.

    Raises
    ------
    OSError
        If nothing can be written there.
    """
    path = os.path.join(folder, _temporary('-probe'))
    write_bytes(path, b'probe')
    yield path
    os.unlink(path)


def _clean(folder, abandoned):
    """Removes the temporary files of `folder` for which `abandoned(entry)` is true."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_temporary(entry.name):
                with contextlib.suppress(OSError):  # another user's, or removed by another process meanwhile
                    if abandoned(entry):
                        os.unlink(entry.path)


def _is_abandoned(entry, now):
    owner = _OWNED.match(entry.name)
    if owner and owner[1] == _here():
        return not _runs(int(owner[2]), owner[3])
    return now - entry.stat(follow_symlinks=False).st_mtime > DAY


def _temporary(suffix=''):
    """A name that no other process uses, on this host or any other; it identifies the file's owner."""
    return f'.salgan-{_owner()}-{os.urandom(8).hex()}{suffix}.part'


def _owner():
    """This process among all that may ever write to a shared disk: '<where>-<number>-<start time>'."""
    return f'{_here() or _NOWHERE}-{os.getpid()}-{_began("self") or 0}'


def _here():
    """Identifies the processes whose numbers are meaningful to this one; None if that is unknown.

    The host's name and the number are not enough: containers may share the name, and the first process of
    each is 1. Namespaces are distinguished by their inodes, but only within one boot.
    """
    try:
        with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
            boot = file.read().strip()
        namespace = os.readlink('/proc/self/ns/pid')
    except OSError:
        return None
    return hashlib.sha256('\0'.join([os.uname().nodename, boot, namespace]).encode()).hexdigest()[:16]


def _began(process):
    """When a process started, in clock ticks since the boot, as text; None if the system does not say."""
    try:
        with open(f'/proc/{process}/stat', 'rb') as file:
            return file.read().rpartition(b')')[2].split()[19].decode()
    except (OSError, IndexError):
        return None


def _runs(pid, began):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is running, and belongs to another user
        pass
    # Numbers are reused. But /proc, and so its numbers, may belong to another namespace than this process.
    if os.readlink('/proc/self') != str(os.getpid()):
        return True
    return _began(pid) in (None, began)


def lock(folder, wait=False):
    """Keeps other processes that call this out of `folder`, on any host, until this one ends in any way.

    Uses a record lock on the file LOCK in it, which NFS keeps on the server. The lock belongs to the process,
    and is lost when any descriptor of that file is closed. Whoever takes it removes the last holder's
    unfinished files. The file is kept: a removed one could be locked by one process, and its successor by
    another.

    Parameters
    ----------
    wait : bool
        Whether to wait until the process that has the lock releases it.

    Returns
    -------
    int, a descriptor, which `os.close` releases; None if `folder` is not writable, or, with a message, if its
    file system has no locks

    Raises
    ------
    BlockingIOError
        If another process has it, and `wait` is false.
    """
    import fcntl  # not available everywhere, and only needed here

    try:
        descriptor = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise BlockingIOError(error.errno, error.strerror, folder) from None
        _say_unlocked(folder)
        return None
    if _locks_only_here(folder):
        _say_unlocked(folder)
    last = os.read(descriptor, 100).decode('ascii', 'replace')
    if last != _owner() and not last.startswith(_NOWHERE) and _OWNED.match(f'.salgan-{last}-'):
        _clean(folder, lambda entry: entry.name.startswith(f'.salgan-{last}-'))
    with contextlib.suppress(OSError):  # a full disk
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _owner().encode(), 0)
    return descriptor


def _say_unlocked(folder):
    say(f'{folder}: no locks between hosts on this file system; see to it that nothing else runs in it')


def _locks_only_here(folder, mounts='/proc/self/mountinfo'):
    """Whether, judging by its mount, locks in `folder` are invisible to other hosts that share it."""
    device = os.stat(folder).st_dev
    try:
        with open(mounts, encoding='utf-8', errors='replace') as file:
            lines = [line.split() for line in file]
    except OSError:
        return False
    for line in lines:
        if line[2] == f'{os.major(device)}:{os.minor(device)}':
            kind, _, settings = line[line.index('-') + 1 :][:3]
            local = {'nolock', 'local_lock=all', 'local_lock=posix', 'localflock'} & set(settings.split(','))
            return kind == 'fuse.sshfs' or (kind in ('nfs', 'nfs4', 'lustre') and bool(local))
    return False
