"""One process at a time compiles into a compile folder: Theano's lock, kept by the system.

Stands in for theano.gof.compilelock, which makes a folder and looks every five to ten seconds whether it is
gone: eight processes that start at once slept through most of their time, and one that was killed on another
host held up the rest for minutes. The system's lock on a file goes to the next process at once, and goes with
the process that had it.
"""

import contextlib
import os

from backend import notices

NAME = 'compile.lock'


def get_lock(lock_dir=None, **_):
    """Waits for the lock of Theano's compile folder; as often as it is taken it has to be released."""
    import theano

    if _state['n_lock'] == 0:
        _state['descriptor'] = _taken(os.path.join(theano.config.compiledir, NAME))
    _state['n_lock'] += 1


_state = vars(get_lock)  # Theano reads `get_lock.n_lock`
_state.update(n_lock=0, descriptor=None)


def release_lock():
    """Takes one `get_lock` back."""
    assert _state['n_lock'] > 0
    _state['n_lock'] -= 1
    if _state['n_lock'] == 0 and _state['descriptor'] is not None:
        os.close(_state['descriptor'])
        _state['descriptor'] = None


@contextlib.contextmanager
def lock_ctx(lock_dir=None, keep_lock=False, **_):
    """With the lock; it stays taken afterwards if `keep_lock`."""
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
    """Theano's command for removing a dead process's lock: there are none."""


def _taken(path):
    """The descriptor of the locked file; None where there can be none, which is no reason not to compile:
    what is compiled is moved into place. NFS wants a file that is open for writing."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:  # a full disk, say, which will be said
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
    except BaseException:  # Ctrl-C while it waits
        os.close(descriptor)
        raise
    return descriptor
