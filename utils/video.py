"""Films: predicts frames and writes a film of saliency maps, a film of overlays, or an image per frame.

SalGAN does not model time: each frame is predicted as a separate image, and its map has the same bytes as
that image's map.

Maps are saved as soon as they are predicted, in a progress file beside the output, so that a killed run
resumes after its last frame. The films are encoded from the saved maps, under temporary names.
"""

import array
import contextlib
import fcntl
import itertools
import json
import os
import re
import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np

from utils import saliency_maps
from utils.command_line import progress
from utils.errors import HadToStop, Unreadable
from utils.files import make_folder, size_of
from utils.image_sources import Source
from utils.outputs import FILMS, FORMATS, write_maps
from utils.parallel import in_order
from utils.predicting import predictions

CODECS = {'mkv': 'FFV1', 'webm': 'VP90'}  # of the film formats in --format
MOST_PIXELS = 2**28  # of a frame, as for an image
_RECORD = struct.Struct('<II')  # of the progress file: bytes of the compressed map, their CRC-32
_ESTIMATED = ('.mkv', '.webm')  # containers with a duration, from which the number of frames is estimated


class Film(NamedTuple):
    """A film to predict on.

    Attributes
    ----------
    path : str
    rows, columns : int
        Of its frames, as OpenCV returns them: rotated if the film says so.
    rate : float
        Frames per second; for a film with a variable rate, its mean.
    frames : int
        Number that the container claims.
    """

    path: str
    rows: int
    columns: int
    rate: float
    frames: int


def probe(path):
    """What a film's container says.

    Returns
    -------
    Film

    Raises
    ------
    Unreadable
        If it is missing, not MP4, MOV, AVI, MKV or WebM, or has no frame that can be decoded.
    """
    capture = _open(path)
    try:
        rate, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        columns, rows = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if rows * columns > MOST_PIXELS:
            raise Unreadable(f'{path}: frames of {columns:.0f} x {rows:.0f} pixels, more than are read')
        read, frame = capture.read()
    finally:
        capture.release()
    if not read:
        raise Unreadable(f'{path}: a film in which no frame can be decoded')
    if not 0 < rate < 10000:
        raise Unreadable(f'{path}: a film without a frame rate')
    rows, columns = frame.shape[:2]
    return Film(path, rows, columns, rate, max(0, round(frames)))


def _open(path):
    size_of(path)
    try:
        with open(path, 'rb') as file:
            start = file.read(12)
    except OSError as error:
        raise Unreadable(f'{path}: {error.strerror}') from None
    # FFmpeg follows playlists, which name other files and addresses, whatever their extension
    is_container = (
        start[:4] == b'\x1aE\xdf\xa3'
        or (start[:4] == b'RIFF' and start[8:] == b'AVI ')
        or start[4:8] in (b'ftyp', b'moov', b'mdat', b'wide', b'free', b'skip')
    )
    if not is_container:
        raise Unreadable(f'{path}: not a film: it does not begin as MP4, MOV, AVI, MKV and WebM files do')
    capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture.release()
        raise Unreadable(f'{path}: a broken film, or one in a codec that OpenCV cannot decode')
    return capture


def predict(film, paths, predictor, weights, batch_size=1, every=1, made_with=None, done=lambda frames: None):
    """Predicts the frames of a film and writes the requested formats.

    Parameters
    ----------
    film : Film
    paths : dict
        Format -> path: for mkv and webm the film to write; for image formats the folder in which images are
        written as 000001.png and so on, by their number in the film.
    predictor : models.prediction.Predictor, or anything with the same call
        Also has its `width` and `height`.
    weights : str
        The predictor's file, for messages.
    batch_size : int
        Frames per batch.
    every : int
        Only every `every`-th frame is predicted, beginning with the first.
    made_with : dict
        What the maps depend on besides the film, such as the weights' sha256: saved maps that were made with
        anything else are not used.
    done : function of int
        Called with 1 for every frame that has its map.

    Returns
    -------
    (int, str or None)
        The number of frames with a map, and one sentence if the film ended early.

    Raises
    ------
    Unreadable
        If the film cannot be opened, or another process predicts it into the same folder.
    HadToStop
        If a map is not finite, or a film cannot be written completely.
    """
    size = predictor.width, predictor.height
    about = {'film': _identity(film.path), 'every': every, 'size': size, 'made with': made_with}
    films = {name: path for name, path in paths.items() if name in FILMS}
    images = {name: path for name, path in paths.items() if name not in FILMS}
    folder = os.path.dirname(next(iter(paths.values()))) or '.'
    for path in (folder, *images.values()):
        make_folder(path)
    stem = os.path.join(folder, f'.salgan-{os.path.basename(film.path)}')
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(_Kept(f'{stem}.frames', about, size))
        frames = stack.enter_context(_Frames(film, every))
        writers = {
            name: stack.enter_context(_Writer(path, f'{stem}.encoding{FILMS[name]}', name, film, every))
            for name, path in films.items()
        }

        def add(saliency_map, image):
            finished = saliency_maps.finish_uint8(saliency_map, film.rows, film.columns)
            for name, writer in writers.items():
                writer.add(finished if name == 'mkv' else saliency_maps.overlay(image, finished))
            done(1)

        # - maps predicted by an earlier run: the films are encoded from them again
        for saliency_map in kept.maps():
            add(saliency_map, frames.next(decode='webm' in writers))

        # - predict, while one thread decodes ahead and another encodes behind; each map is saved before the
        # next one is predicted
        decoded = in_order(lambda _: frames.source(), itertools.count(), 1, ahead=batch_size + 2)
        sources = itertools.takewhile(lambda source: source is not None, decoded)

        def keep():
            for source, image, saliency_map in predictions(
                sources, predictor, weights, batch_size, None, keep_originals=True
            ):
                where = {
                    name: os.path.join(path, f'{int(source.name):06d}{FORMATS[name]}')
                    for name, path in images.items()
                }
                why = write_maps(where, saliency_map, image.size, image.original)
                if why:
                    raise HadToStop(why)
                eight_bits = saliency_maps.to_uint8(saliency_map)
                kept.add(eight_bits)
                yield eight_bits, image.original

        for _ in in_order(lambda made: add(*made), keep(), 1, ahead=2):
            pass

        for writer in writers.values():
            writer.finish()
        kept.remove()
    missing = film.frames - frames.number
    if missing > film.path.lower().endswith(_ESTIMATED):
        return kept.count, (
            f'{film.path}: broken or cut: {frames.number} of the {film.frames} frames that it claims can be '
            'decoded, and have their maps'
        )
    return kept.count, None


def write_all(sources, targets, predictor, weights, batch_size=1, every=1, record=None):
    """Predicts the films among the inputs of 03.

    Parameters
    ----------
    sources : list of utils.image_sources.Source
    targets : dict of Source -> dict of format -> path
        See `utils.outputs.plan`.
    predictor, weights, batch_size, every : see `predict`
    record : dict
        Of the maps, see `utils.evaluation.provenance.record`.

    Yields
    ------
    source, None or one sentence on why it has no maps, or not all: once each, in order
    """
    names = ('version', 'weights_sha256', 'settings')
    made_with = {name: record[name] for name in names} if record else None
    for source in sources:
        try:
            film = probe(source.path)
            with progress(total=-(-film.frames // every), unit='frame', desc=source.name) as bar:
                _, why = predict(
                    film, targets[source], predictor, weights, batch_size, every, made_with, bar.update
                )
        except Unreadable as error:
            why = str(error)
        yield source, why


def are_there(source, targets, every=1):
    """Whether all maps of an image or a film exist: for a film as many images as the frames it claims."""
    if not all(os.path.exists(target) for target in targets.values()):
        return False
    images = {name: folder for name, folder in targets.items() if name not in FILMS}
    if source.read or not images:
        return True
    try:
        wanted = -(-probe(source.path).frames // every)
    except Unreadable:
        return False
    for name, folder in images.items():
        frame = re.compile(r'\d{6,}' + re.escape(FORMATS[name]))
        if len([file for file in os.listdir(folder) if frame.fullmatch(file)]) < wanted:
            return False
    return True


def _identity(path):
    status = os.stat(path)
    return [os.path.basename(path), status.st_size, status.st_mtime_ns]


class _Frames:
    """The frames of a film, in order; `number` counts those that were read, including those left out."""

    def __init__(self, film, every):
        self.number = 0
        self._path, self._capture, self._every = film.path, _open(film.path), every

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._capture.release()

    def next(self, decode=True):
        """The next frame, uint8 (rows, columns, 3) RGB; without `decode` only True; None after the last."""
        while self._capture.grab():
            self.number += 1
            if (self.number - 1) % self._every == 0:
                if not decode:
                    return True
                decoded, frame = self._capture.retrieve()
                return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if decoded else None
        return None

    def source(self):
        """The next frame as an image to predict, named by its number; None after the last."""
        image = self.next()
        if image is None:
            return None
        return Source(
            str(self.number), f'{self._path}: frame {self.number}', lambda: (image, image.shape[:2])
        )


class _Kept:
    """The file of the maps predicted so far: a line of JSON that identifies them, then a record per frame.

    Parameters
    ----------
    path : str
    about : dict
        What the maps depend on. A file for anything else is started again.
    size : (int, int)
        Width and height of the maps.

    Raises
    ------
    Unreadable
        If another process predicts the same film into the same folder.
    """

    def __init__(self, path, about, size):
        self.count = 0
        self._path, self._shape = path, size[::-1]
        self._header = json.dumps(about, sort_keys=True).encode() + b'\n'
        self._file = open(path, 'a+b')  # noqa: SIM115  (closed by __exit__)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Unreadable(f'{path}: another process is predicting this film into this folder') from None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def maps(self):
        """The saved maps, uint8; anything after the last complete one, left by a killed run, is cut off."""
        self._file.seek(0)
        end = len(self._header)
        if self._file.read(end) != self._header:
            self._file.truncate(0)
            self._file.write(self._header)
        else:
            while (saliency_map := self._next()) is not None:
                end = self._file.tell()
                self.count += 1
                yield saliency_map
            self._file.truncate(end)
        self._file.flush()

    def _next(self):
        start = self._file.read(_RECORD.size)
        if len(start) < _RECORD.size:
            return None
        length, check = _RECORD.unpack(start)
        data = self._file.read(length)
        if len(data) < length or zlib.crc32(data) != check:
            return None
        return np.frombuffer(zlib.decompress(data), np.uint8).reshape(self._shape)

    def add(self, saliency_map):
        data = zlib.compress(saliency_map.tobytes(), 1)
        self._file.write(_RECORD.pack(len(data), zlib.crc32(data)) + data)
        self._file.flush()
        self.count += 1

    def remove(self):
        os.unlink(self._path)


class _Writer:
    """A film of maps or overlays, written under a temporary name, read back, and moved into place.

    The name need not be random: the writer holds the lock of the progress file beside it.
    """

    def __init__(self, path, temporary, name, film, every):
        self._path, self._temporary, self._lossless = path, temporary, name == 'mkv'
        # OpenCV drops the last row or column of an odd size, so it is repeated
        self._odd = film.rows % 2, film.columns % 2
        size = film.columns + self._odd[1], film.rows + self._odd[0]
        codec = cv2.VideoWriter.fourcc(*CODECS[name])
        with _silent():
            self._writer = cv2.VideoWriter(
                temporary, cv2.CAP_FFMPEG, codec, film.rate / every, size, isColor=not self._lossless
            )
        if not self._writer.isOpened():
            raise HadToStop(f'{path}: this OpenCV cannot write {CODECS[name]}, or not into this folder')
        self._checks = array.array('I')

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._writer.release()

    def add(self, image):
        image = cv2.copyMakeBorder(image, 0, self._odd[0], 0, self._odd[1], cv2.BORDER_REPLICATE)
        self._checks.append(zlib.crc32(image))
        self._writer.write(image if self._lossless else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def finish(self):
        """Reads the film back, since OpenCV does not report a full disk, and moves it into place."""
        self._writer.release()
        try:
            capture = _open(self._temporary)
        except Unreadable:
            raise self._incomplete() from None
        try:
            for check in self._checks:
                read = capture.grab()
                if read and self._lossless:
                    frame = capture.retrieve()[1]
                    read = zlib.crc32(frame[..., 0].tobytes()) == check
                if not read:
                    raise self._incomplete()
        finally:
            capture.release()
        os.replace(self._temporary, self._path)

    def _incomplete(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)
        return HadToStop(
            f'{self._path}: could not be written whole, as on a full disk; the same command encodes it again '
            'without predicting anew'
        )


@contextlib.contextmanager
def _silent():
    """Silences stderr: OpenCV prints a line on VP9's name that cannot be switched off."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
