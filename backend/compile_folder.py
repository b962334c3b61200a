"""Where Theano keeps the modules that it compiles: a folder for each user, Python and kind of machine."""

import contextlib
import mmap
import os
import platform
import sys
import tempfile

from backend import flags
from backend.errors import CannotRun

ANOTHER = 'name another folder by THEANO_FLAGS=base_compiledir=/path/to/folder'
_OURS = 'compiledir_own'  # prefix of the names made here


def prepare():
    """Names the folder to Theano, creates it, and tests whether it works.

    Theano's own name for it contains the kernel's release, so each update of the kernel and each kind of
    cluster node would recompile, but not the user, so two users who share a `base_compiledir` would share a
    folder. Code compiled for another CPU has a different key in Theano.
    """
    given = flags.value('compiledir')
    name = flags.value('compiledir_format', _OURS)
    if given is not None:
        _serves(_expanded(given), _expanded(given), 'compiledir')
        return
    folder = base()
    if not name.startswith(_OURS):
        _serves(folder, folder, 'base_compiledir')
        return
    name = own_name()
    _serves(os.path.join(folder, name), folder, 'base_compiledir')
    flags.add({'base_compiledir': folder, 'compiledir_format': name})


def own_name():
    """The name of this user's folder for this Python on this kind of machine."""
    parts = [_OURS, sys.platform, platform.machine(), platform.python_version(), str(os.geteuid())]
    return '-'.join(parts)


def base():
    """The user's `compiledir` or `base_compiledir`, or .theano in the user's home."""
    for flag in ('compiledir', 'base_compiledir'):
        if flags.value(flag) is not None:
            return _expanded(flags.value(flag))
    home = os.environ.get('HOME') or os.path.expanduser('~')
    if not os.path.isabs(home):
        raise CannotRun(
            f'there is no home folder to keep compiled modules in (HOME is not set, and user {os.geteuid()} '
            f'is not in the list of users): {ANOTHER}'
        )
    return os.path.join(home, '.theano')


def _expanded(path):
    path = os.path.expanduser(os.path.expandvars(path))
    if path.startswith('~'):
        raise CannotRun(f'Theano cannot keep its compiled modules in {path} (whose home is that?): {ANOTHER}')
    return os.path.abspath(path)


def _serves(folder, named, flag):
    """Creates `folder`, in which files must be kept, executable and safe from other users.

    Parameters
    ----------
    folder, named : str
        Theano's folder, and the one that contains it, which the user knows.
    flag : str
        The setting that names another folder.
    """
    another = ANOTHER.replace('base_compiledir', flag)
    try:
        os.makedirs(named, exist_ok=True)
        if folder != named:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            status = os.stat(folder)
            if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                raise CannotRun(
                    f'{folder} belongs to another user or can be written to by others, and what is compiled '
                    f'there is run: delete it, or {another}'
                )
        executable = _tried(folder)
    except OSError as error:
        raise CannotRun(
            f'Theano cannot keep its compiled modules in {named} ({error.strerror}): make it writable, or '
            f'{another}'
        ) from None
    if not executable:
        raise CannotRun(
            f'what is compiled in {named} could not be run (its file system is mounted noexec): {another}'
        )


def _tried(folder):
    """Writes a file there and returns whether it can be run: permissions do not reveal a read-only file
    system, a full disk or `noexec`."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(mmap.PAGESIZE))
        file.flush()
        try:
            mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_EXEC).close()
        except PermissionError:
            return False
    return True
