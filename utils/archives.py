"""Archives of maps for benchmarks: HDF5 and zip files, written completely or not at all.

An HDF5 file has a two-dimensional data set for each image, named like the image's file: `i1.jpg`,
`Action/101.jpg`. A zip file has the maps' own files, `i1.png`, `Action/101.npy`.
"""

import errno
import io
import json
import os
import posixpath
import re
import zipfile
import zlib
from typing import Callable, NamedTuple

import numpy as np

from utils.errors import CouldNotStart, HadToStop, Unreadable
from utils.files import atomic_write, read_bytes, size_of

HDF5, ZIP = ('.hdf5', '.h5'), ('.zip',)
EXTENSIONS = HDF5 + ZIP
IN_ZIP = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.npy', '.mat')  # of maps in a zip file
OF_COCO = re.compile(r'\d{12}\.\w+')
NOT_THE_SAME = 'does not hold what was written to it; is the disk sound?'
PROVENANCE = 'provenance'  # the attribute for it in an HDF5 file; in a zip file it is the comment

LARGEST = 2**29  # bytes of a map: 2^26 pixels in float64
PLAUSIBLE = 2**24, 200  # no map of more bytes is compressed by more than this factor, only bombs are
DEEPEST = 16  # folders in folders


class Member(NamedTuple):
    """A map in an archive.

    Attributes
    ----------
    path : str
        For messages: the archive and the name in it.
    name : str
        In the archive, with its extension.
    read : function
        Returns an array from an HDF5 file, checked only for its size, or the bytes of a file in a zip file;
        raises `Unreadable`.
    """

    path: str
    name: str
    read: Callable


def is_archive(path):
    """Whether the name is that of an archive."""
    return os.path.splitext(os.fspath(path))[1].lower() in EXTENSIONS


def check(path):
    """Raises CouldNotStart for a name under which no archive can be written."""
    if not is_archive(path):
        raise CouldNotStart(f"{path}: an archive's name must end in {', '.join(EXTENSIONS)}")
    if os.path.isdir(path):
        raise CouldNotStart(f'{path}: is a folder; name a file')
    if _is_hdf5(path):
        _h5py(path)


def keys(names):
    """The names of images in an archive, without folders that all of them share or that mean nothing.

    Parameters
    ----------
    names : list of str
        The images' files, with extensions, relative to the named folder.

    Returns
    -------
    list of str, in the same order

    Raises
    ------
    CouldNotStart
        If a name is impossible in an archive, or two are the same.
    """
    split = [os.path.normpath(name).split(os.sep) for name in names]
    shared = os.path.commonprefix([parts[:-1] for parts in split])
    found = ['/'.join(parts[len(shared) :]) for parts in split]
    base = [parts[-1] for parts in split]
    if len(set(base)) == len(base) and all(map(OF_COCO.fullmatch, base)):
        found = base  # COCO-Freeview's folders are tasks of COCO-Search18, not part of a name
    for name, key in zip(names, found):
        try:
            key.encode()
        except UnicodeEncodeError:
            raise CouldNotStart(
                f'{name}: no archive can hold this name, which is not UTF-8; rename it'
            ) from None
    folders = {parent for key in found for parent in _parents(key)}
    taken = set()
    for key in found:
        if key in taken or key in folders:
            raise CouldNotStart(f'{key}: two images would have this name in the archive; rename one of them')
        taken.add(key)
    return found


def _parents(key):
    while key := posixpath.dirname(key):
        yield key


# --- writing ---


def write(path, maps, provenance):
    """Writes an archive and reads it back before moving it into place; if killed, the previous one stays.

    Parameters
    ----------
    path : path
        `.hdf5`, `.h5` or `.zip`
    maps : dict of str -> path
        Each image's name in the archive (see `keys`) -> the file of its map. In a zip file the file's own
        extension replaces the image's.
    provenance : dict
        Stored with the maps; see `utils.evaluation.provenance`.

    Raises
    ------
    HadToStop
        If a map's file is broken.
    OSError
        If the archive cannot be written, or differs from what was written when it is read back.
    """
    pack = _write_hdf5 if _is_hdf5(path) else _write_zip
    try:
        with atomic_write(path, 'w+b', durable=True) as file:
            pack(file, maps, json.dumps(provenance, sort_keys=True))
    except Unreadable as error:
        raise HadToStop(f'{error}; {path} was not written') from None


def _write_zip(file, maps, provenance):
    sums = {}
    with zipfile.ZipFile(file, 'w') as archive:
        archive.comment = provenance.encode()
        for key, path in maps.items():
            extension = os.path.splitext(path)[1].lower()
            data = read_bytes(path)
            entry = zipfile.ZipInfo(os.path.splitext(key)[0] + extension)  # dated 1980: same maps, same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED if extension == '.npy' else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
            sums[entry.filename] = len(data), zlib.crc32(data)
    file.flush()
    with zipfile.ZipFile(file) as archive:
        if archive.testzip() or {e.filename: (e.file_size, e.CRC) for e in archive.infolist()} != sums:
            raise OSError(errno.EIO, NOT_THE_SAME)


def _write_hdf5(file, maps, provenance):
    h5py = _h5py(file.name)
    disk = _Disk(file)
    with h5py.File(disk, 'w') as archive:
        archive.attrs[PROVENANCE] = provenance
        for key, path in maps.items():
            packed = {'compression': 'gzip', 'compression_opts': 4, 'shuffle': True}
            archive.create_dataset(key, data=_array(path), track_times=False, **packed)
            if disk.error:
                break
    if disk.error:
        raise disk.error
    with h5py.File(file, 'r') as archive:
        for key, path in maps.items():
            wanted, found = _array(path), archive[key]
            if found.dtype != wanted.dtype or not np.array_equal(found[()], wanted):
                raise OSError(errno.EIO, NOT_THE_SAME)


class _Disk:
    """The file that h5py writes to. `error`: the first error, None if there was none.

    HDF5 cannot be told to give up: it tries again at every close, and prints each failure. So errors are
    hidden from it, and everything after the first failure is dropped.
    """

    def __init__(self, file):
        self.file, self.error = file, None

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self._unless_full(self.file.write, data)
        return len(data)

    def flush(self):
        self._unless_full(self.file.flush)

    def truncate(self, size):
        self._unless_full(self.file.truncate, size)

    def _unless_full(self, function, *arguments):
        try:
            if not self.error:
                function(*arguments)
        except OSError as error:
            self.error = error


def _array(path):
    """The array of a map that 03 wrote: uint8 from a picture, float32 from a `.npy`."""
    if path.endswith('.npy'):
        try:
            return np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
        except _BROKEN:
            raise Unreadable(f'{path}: not a whole .npy file; remove it, and it is made again') from None
    from utils.images import read_grey

    return read_grey(path)


# --- reading ---


def members(path):
    """The maps in an archive: the name without its extension -> Member. Everything else is left out.

    Nothing is unpacked to disk. Links and references out of the file are not followed.

    Raises
    ------
    CouldNotStart
        If it is missing, broken or encrypted, or has two maps of one name or a path outside itself.
    """
    size_of(path)
    found = _in_hdf5(path) if _is_hdf5(path) else list(_in_zip(path))
    named: dict = {}
    for member in found:
        name = member.name.replace('\\', '/')
        if name.startswith('/') or name[1:2] == ':' or '..' in name.split('/'):
            raise CouldNotStart(f'{member.path}: a name that leads out of the archive; nothing of it is read')
        stem = posixpath.splitext(posixpath.normpath(name))[0]
        if stem in named:
            raise CouldNotStart(f'{path}: {named[stem].name} and {member.name} are both the map of {stem}')
        named[stem] = member
    if not named:
        raise CouldNotStart(f'{path}: no maps in it')
    return named


def provenance(path):
    """The origin of the maps as stored by `write`, as text; None if there is none."""
    try:
        if not _is_hdf5(path):
            with zipfile.ZipFile(path) as archive:
                return archive.comment.decode('utf-8', 'replace') or None
        with _h5py(path).File(path, 'r', locking=False) as archive:
            text = archive.attrs.get(PROVENANCE)
            return text if isinstance(text, str) else None
    except _BROKEN:
        return None


_BROKEN = (OSError, RuntimeError, ValueError, KeyError, TypeError, NotImplementedError, EOFError,
           zipfile.BadZipFile, zlib.error)  # fmt: skip


def _in_zip(path):
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise Unreadable(f'{path}: not a whole zip: {error}') from None
    for entry in archive.infolist():
        parts = entry.filename.replace('\\', '/').split('/')
        if parts[0] == '__MACOSX' or parts[-1].startswith('.') or not parts[-1].lower().endswith(IN_ZIP):
            continue
        where = f'{path}: {entry.filename}'
        if entry.flag_bits & 1:
            raise Unreadable(f'{where}: encrypted; pack it without a password')
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # the others cannot be unpacked up to a given size
            raise Unreadable(f'{where}: packed in a rare way; pack it by deflate, as `zip` does')
        yield Member(where, entry.filename, _zip_reader(archive, entry, where))


def _zip_reader(archive, entry, where):
    def read():
        _check_size(entry.file_size, entry.compress_size, where)
        try:
            with archive.open(entry) as file:
                return file.read(entry.file_size)  # no more, whatever is packed there
        except _BROKEN as error:
            raise Unreadable(f'{where}: broken: {error}') from None

    return read


def _in_hdf5(path):
    h5py = _h5py(path)
    try:
        archive = h5py.File(path, 'r', locking=False)
    except _BROKEN as error:
        raise Unreadable(f'{path}: not a whole HDF5 file: {_first_line(error)}') from None
    waiting, seen, found = [('', archive)], set(), []
    try:
        while waiting:
            name, group = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen or name.count('/') > DEEPEST:
                raise Unreadable(f'{path}: {name[:100]}: groups within themselves, or too deep ones')
            seen.add(address)
            for inner in group:
                inside = f'{name}/{inner}' if name else inner
                if not isinstance(group.get(inner, getlink=True), h5py.HardLink):
                    continue
                item = group[inner]
                if isinstance(item, h5py.Group):
                    waiting.append((inside, item))
                elif isinstance(item, h5py.Dataset) and item.ndim == 2 and item.dtype.kind in 'fui':
                    where = f'{path}: {inside}'
                    found.append(Member(where, inside, _hdf5_reader(item, where)))
    except _BROKEN as error:
        raise Unreadable(f'{path}: broken: {_first_line(error)}') from None
    return found


def _hdf5_reader(dataset, where):
    def read():
        try:
            if dataset.is_virtual or dataset.external:
                raise Unreadable(f'{where}: kept in another file, which is not opened')
            chunk = np.prod(dataset.chunks or dataset.shape, dtype=object) * dataset.dtype.itemsize
            size = dataset.size * dataset.dtype.itemsize
            _check_size(max(size, int(chunk)), dataset.id.get_storage_size(), where)
            return dataset[()]
        except _BROKEN as error:
            raise Unreadable(f'{where}: broken: {_first_line(error)}') from None

    return read


def _check_size(size, packed, where):
    """Raises Unreadable for data larger than any map, or implausibly larger than their packed form."""
    plausible, times = PLAUSIBLE
    if size > LARGEST or (size > plausible and size > packed * times):
        raise Unreadable(f'{where}: {packed} bytes that would be {size} when unpacked: no map is that large')


def _first_line(error):
    return str(error).split('\n')[0]


def _is_hdf5(path):
    return os.path.splitext(os.fspath(path))[1].lower() in HDF5


def _h5py(path):
    try:
        import h5py
    except ModuleNotFoundError:
        raise CouldNotStart(f'{path}: HDF5 needs h5py, which is not installed: pip install h5py') from None
    return h5py
