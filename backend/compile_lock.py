"""Theano's lock, which lets one process at a time compile into a folder, as an operating-system lock.

Replaces theano.gof.compilelock, which creates a folder and checks every five to ten seconds whether it has
gone: eight processes that started together slept most of the time, and one killed on another host held up the
rest for minutes. The system's file lock passes to the next process at once, and is released when its process
ends.
"""

import contextlib
import os

from backend import notices

NAME = 'compile.lock'


def get_lock(lock_dir=None, **_):
    """Waits for the lock of Theano's compile folder; it must be released as often as it is taken."""
    import theano

    if _state['n_lock'] == 0:
        _state['descriptor'] = _taken(os.path.join(theano.config.compiledir, NAME))
    _state['n_lock'] += 1


_state = vars(get_lock)  # Theano reads `get_lock.n_lock`
_state.update(n_lock=0, descriptor=None)


def release_lock():
    """Undoes one `get_lock`."""
    assert _state['n_lock'] > 0
    _state['n_lock'] -= 1
    if _state['n_lock'] == 0 and _state['descriptor'] is not None:
        os.close(_state['descriptor'])
        _state['descriptor'] = None


def held():
    """Whether this process has the lock of Theano's compile folder."""
    return _state['n_lock'] > 0


@contextlib.contextmanager
def lock_ctx(lock_dir=None, keep_lock=False, **_):
    """Holds the lock, and keeps it afterwards if `keep_lock`."""
    get_lock()
    try:
        yield
    except BaseException:
        release_lock()
        raise
    if not keep_lock:
        release_lock()


@contextlib.contextmanager
def on(path):
    """With a lock of one's own, on the file `path`, for as long."""
    descriptor = _taken(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def force_unlock():
    """Theano's command for removing a dead process's lock; no such locks exist here."""


def _taken(path):
    """The descriptor of the locked file; None if locking fails, which does not prevent compiling, since
    compiled files are moved into place. NFS requires a file that is open for writing."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:  # for example a full disk, which is reported later
        return None
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            notices.waiting()
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except OSError:  # the file system has no locks
        os.close(descriptor)
        return None
    except BaseException:  # Ctrl-C while waiting
        os.close(descriptor)
        raise
    return descriptor
