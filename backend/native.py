"""The project's own C++: compiled once per machine, kept beside Theano's modules, loaded with ctypes."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from backend import compile_lock, notices

FLAGS = ('-O3', '-std=c++14', '-ffp-contract=fast', '-fopenmp', '-fPIC', '-shared')
# the CPU features needed, as the kernel names them; the name of the vectors; the compiler's flags for them
VECTORS = (
    ({'avx512f', 'avx2', 'fma'}, 'AVX-512', ('-mavx512f', '-mavx2', '-mfma')),
    ({'avx2', 'fma'}, 'AVX2 and FMA', ('-mavx2', '-mfma')),
    ({'asimd'}, 'NEON', ()),  # every arm64 has it
)
_DIGEST = hashlib.sha256().digest_size


def cpu_features():
    """The kernel's names for this CPU's features; only those that all have if it does not list them."""
    # an emulator of arm64 may show the list of the x86 CPU that it runs on
    name, always = ('Features', {'asimd'}) if platform.machine() == 'aarch64' else ('flags', set())
    try:
        with open('/proc/cpuinfo', encoding='ascii', errors='replace') as file:
            for line in file:
                if line.startswith(name):
                    return frozenset(line.partition(':')[2].split())
    except OSError:
        pass
    return frozenset(always)


def threads():
    """OMP_NUM_THREADS, or the number of cores that this process may use."""
    wanted = os.environ.get('OMP_NUM_THREADS', '').partition(',')[0].strip()
    if wanted.isdecimal() and int(wanted):
        return min(int(wanted), 1024)
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def vectors():
    """(name, compiler flags) of the vectors that the C++ uses on this CPU; None if it has none of them.

    AVX-512 is only used with SALGAN_CONV=avx512.
    """
    features = cpu_features()
    for needed, name, flags in VECTORS:
        if needed <= features and (name != 'AVX-512' or os.environ.get('SALGAN_CONV') == 'avx512'):
            return name, flags
    return None


def wanted():
    """Whether to run C++ convolutions: not turned off, and on a CPU with suitable vectors."""
    import theano

    turned_off = os.environ.get('SALGAN_CONV') in ('corrmm', 'onednn')
    return not turned_off and theano.config.device == 'cpu' and vectors() is not None


def code_path():
    """Which code computes the convolutions, in words, for the records of maps."""
    import theano

    if wanted():
        how = f"the project's C++ with {vectors()[0]}"
    else:
        choice = os.environ.get('SALGAN_CONV')
        elsewhere = 'onednn' if theano.config.device == 'cpu' else "the card's"
        how = choice if choice in ('corrmm', 'onednn') else elsewhere
    return f'{theano.config.device}, {theano.config.floatX}, {how}'


def usable(load):
    """Whether C++ convolutions are wanted and compile; if they do not compile, prints the reason.

    `load` is a function without arguments that loads them with `loaded`.
    """
    if not wanted():
        return False
    try:
        load()
    except OSError as error:
        print(f'falling back to convolutions that are several times slower: {error}', file=sys.stderr)
        return False
    return True


def loaded(source, *flags):
    """The shared library of one C++ file, from the user's compile folder or compiled into it.

    Parameters
    ----------
    source : path
        May include headers from its folder.
    flags : str
        For the compiler, in addition to FLAGS.

    Returns
    -------
    ctypes.CDLL; its functions run without Python's lock

    Raises
    ------
    OSError
        If it cannot be compiled, kept or loaded.
    """
    import theano

    code = [path.read_bytes() for path in (Path(source), *sorted(Path(source).parent.glob('*.h')))]
    version = subprocess.run(
        [theano.config.cxx, '--version'], capture_output=True, stdin=subprocess.DEVNULL, check=False
    ).stdout
    key = [*code, version, *(flag.encode() for flag in (theano.config.cxx, *FLAGS, *flags))]
    key.append(' '.join(sorted(cpu_features())).encode())
    digest = hashlib.sha256(b'\0'.join(hashlib.sha256(part).digest() for part in key)).hexdigest()
    name = f'{os.path.splitext(os.path.basename(source))[0]}-{digest[:24]}.so'
    path = os.path.join(folder(), name)
    if whole(path) is None:  # a truncated one would kill the process when loaded
        with compile_lock.lock_ctx():
            if whole(path) is None:  # another process may have compiled it meanwhile
                _compile(theano.config.cxx, source, flags, path)
    return ctypes.CDLL(path)


def folder():
    """A folder inside Theano's that belongs to this user and that nobody else can write to.

    Code is loaded from it, so if it is not private a temporary folder is used instead.
    """
    import theano

    path = os.path.join(theano.config.compiledir, 'salgan')
    for private in (path, f'{path}-{os.geteuid()}'):  # the second if users share a `compiledir`
        with contextlib.suppress(FileExistsError):
            os.mkdir(private, 0o700)
        status = os.lstat(private)
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022 and stat.S_ISDIR(status.st_mode):
            return private
    return _temporary(path).name


@functools.cache
def _temporary(instead_of):
    """A folder that is removed when this process ends."""
    print(f'{instead_of} is not private, so compiled code is not kept: delete it', file=sys.stderr)
    return tempfile.TemporaryDirectory(prefix='salgan-')


def whole(path):
    """The bytes of a file written by `keep`; None if it is missing, truncated or changed."""
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError:
        return None
    good = len(data) > _DIGEST and hashlib.sha256(data[:-_DIGEST]).digest() == data[-_DIGEST:]
    return data[:-_DIGEST] if good else None


def keep(path, data):
    """Writes `data` and their checksum to a temporary name and moves it to `path`.

    Neither dlopen nor pickle reads past the end, so a trailing checksum is harmless.
    """
    handle, temporary = tempfile.mkstemp(suffix='.part', dir=os.path.dirname(path))
    try:
        with open(handle, 'wb') as file:
            file.write(data + hashlib.sha256(data).digest())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _compile(compiler, source, flags, path):
    notices.compiling()
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as scratch:
        output = os.path.join(scratch, 'library.so')
        result = subprocess.run(
            [compiler, *FLAGS, *flags, os.fspath(source), '-o', output],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors='replace',
            check=False,
        )
        if result.returncode:
            lines = result.stderr.strip().splitlines() or [f'exit status {result.returncode}']
            raise OSError(f'{compiler}: {next((line for line in lines if "error" in line), lines[0])}')
        with open(output, 'rb') as file:
            keep(path, file.read())
