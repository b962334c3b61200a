"""Films: each frame's map is the one of that frame as an image, whatever happens on the way."""

import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT, script
from utils import saliency_maps, video
from utils.errors import HadToStop, Unreadable
from utils.images import shrink
from utils.outputs import FILMS

CODECS = {'.avi': 'MJPG', '.mkv': 'FFV1', '.mp4': 'mp4v', '.mov': 'mp4v', '.webm': 'VP90'}


class Predictor:
    """Predicts the red channel; counts the images, and stops before `stop` of them."""

    width, height = 48, 32

    def __init__(self, stop=None):
        self.images, self.stop = 0, stop

    def __call__(self, images):
        if self.stop is not None and self.images + len(images) > self.stop:
            raise KeyboardInterrupt
        self.images += len(images)
        return images[..., 0].astype(np.float32) / 255


def write_film(path, frames=12, size=(64, 48), rate=25):
    """A film of smooth noise that moves; size is width, height."""
    noise = np.random.default_rng(3).integers(0, 256, (size[1] + frames, size[0], 3)).astype(np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 3)
    with video._silent():
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODECS[path.suffix]), rate, size
        )
    for i in range(frames):
        writer.write(picture[i : i + size[1]])
    writer.release()
    return str(path)


def frames_of(path):
    """All frames as OpenCV decodes them, in RGB."""
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while True:
        read, frame = capture.read()
        if not read:
            return frames
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def maps_of(path, every=1):
    """The finished maps of a film's frames, each predicted as an image."""
    predict = Predictor()
    return [
        saliency_maps.finish(predict(shrink(frame, 48, 32)[None])[0], *frame.shape[:2])
        for frame in frames_of(path)[::every]
    ]


def paths(folder, *formats, name='film'):
    return {each: str(folder / (f'{name}.{each}' if each in FILMS else name)) for each in formats}


def assert_lossless(path, maps):
    found = frames_of(path)
    assert len(found) == len(maps)
    for frame, saliency_map in zip(found, maps):
        np.testing.assert_array_equal(frame, saliency_map[..., None].repeat(3, axis=2))


@pytest.mark.parametrize('ending', list(CODECS))
def test_the_maps_are_those_of_the_frames(tmp_path, ending):
    film = video.probe(write_film(tmp_path / f'film{ending}'))
    assert (film.rows, film.columns, film.rate, film.frames) == (48, 64, 25, 12)
    out = tmp_path / 'out'
    done: list = []
    count, short = video.predict(film, paths(out, 'mkv'), Predictor(), 'w', batch_size=5, done=done.append)
    assert (count, short, sum(done)) == (12, None, 12)
    assert_lossless(out / 'film.mkv', maps_of(film.path))
    made = video.probe(str(out / 'film.mkv'))
    assert (made.rows, made.columns, made.rate) == (48, 64, 25)
    assert os.listdir(out) == ['film.mkv']


def test_overlays_and_images(tmp_path):
    film = video.probe(write_film(tmp_path / 'film.avi', frames=5))
    video.predict(film, paths(tmp_path, 'webm', 'png', 'npy'), Predictor(), 'w')
    maps, frames = maps_of(film.path), frames_of(film.path)
    for number, saliency_map in enumerate(maps, 1):
        found = cv2.imread(str(tmp_path / 'film' / f'{number:06d}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found, saliency_map)
        assert np.load(tmp_path / 'film' / f'{number:06d}.npy').shape == (48, 64)
    shown = frames_of(tmp_path / 'film.webm')
    assert len(shown) == 5
    for overlay, frame, saliency_map in zip(shown, frames, maps):
        expected = saliency_maps.overlay(frame, saliency_map)
        assert np.abs(overlay.astype(int) - expected).mean() < 12  # VP9 is lossy, in colours most of all
        assert np.abs(overlay.astype(int) - expected).mean() < np.abs(expected.astype(int) - frame).mean() / 2


def test_every_third_frame_at_a_third_of_the_rate(tmp_path):
    film = video.probe(write_film(tmp_path / 'film.avi', frames=11))
    count, short = video.predict(film, paths(tmp_path, 'mkv', 'png'), Predictor(), 'w', every=3)
    assert (count, short) == (4, None)
    assert_lossless(tmp_path / 'film.mkv', maps_of(film.path, every=3))
    assert video.probe(str(tmp_path / 'film.mkv')).rate == pytest.approx(25 / 3, abs=1e-3)
    assert sorted(os.listdir(tmp_path / 'film')) == [f'{number:06d}.png' for number in (1, 4, 7, 10)]


def test_a_film_of_odd_size_keeps_every_pixel(tmp_path, monkeypatch):
    """OpenCV writes none, so frames are cut after they are read."""
    retrieve = video._Frames.next
    monkeypatch.setattr(video._Frames, 'next', lambda self, decode=True: _odd(retrieve(self, decode)))
    film = video.probe(write_film(tmp_path / 'film.avi', frames=3))._replace(rows=47, columns=63)
    video.predict(film, paths(tmp_path, 'mkv', 'png'), Predictor(), 'w')
    for number, frame in enumerate(frames_of(tmp_path / 'film.mkv'), 1):
        image = cv2.imread(str(tmp_path / 'film' / f'{number:06d}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(frame[:47, :63, 0], image)
        np.testing.assert_array_equal(frame[47, :63], frame[46, :63])


def _odd(frame):
    return frame[:47, :63] if isinstance(frame, np.ndarray) else frame


@pytest.mark.parametrize('damage', ['none', 'half a record', 'a record changed', 'noise'])
def test_a_stopped_run_resumes_and_predicts_no_kept_frame_again(tmp_path, damage):
    film = video.probe(write_film(tmp_path / 'film.avi'))
    wanted = paths(tmp_path, 'mkv', 'webm', 'png')
    first = Predictor(stop=7)
    with pytest.raises(KeyboardInterrupt):
        video.predict(film, wanted, first, 'w', made_with={'weights': 1})
    assert first.images == 7
    kept = tmp_path / '.salgan-film.avi.frames'
    data = kept.read_bytes()
    lost = {'none': 0, 'noise': 0}.get(damage, 1)
    kept.write_bytes(
        {
            'none': data,
            'half a record': data[:-20],
            'a record changed': data[:-20] + bytes(20),
            'noise': data + os.urandom(50),
        }[damage]
    )
    assert not (tmp_path / 'film.mkv').exists()
    second = Predictor()
    count, short = video.predict(film, wanted, second, 'w', made_with={'weights': 1})
    assert (count, short) == (12, None)
    assert second.images == 5 + lost
    assert_lossless(tmp_path / 'film.mkv', maps_of(film.path))
    assert len(frames_of(tmp_path / 'film.webm')) == 12
    assert len(os.listdir(tmp_path / 'film')) == 12
    assert not list(tmp_path.glob('.salgan*'))


def test_a_killed_process_leaves_no_half_film(tmp_path):
    film = write_film(tmp_path / 'film.avi')
    code = (
        'import os, sys; from tests.test_video import Predictor, paths; from utils import video; '
        'from pathlib import Path\n'
        'class Dies(Predictor):\n'
        '    def __call__(self, images):\n'
        '        if self.images == 6: os.kill(os.getpid(), 9)\n'
        '        return super().__call__(images)\n'
        'video.predict(video.probe(sys.argv[1]), paths(Path(sys.argv[2]), "mkv", "webm"), Dies(), "w")'
    )
    died = subprocess.run([sys.executable, '-c', code, film, str(tmp_path)], cwd=ROOT, check=False)
    assert died.returncode == -9
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith('.')} == {'film.avi'}
    second = Predictor()
    video.predict(video.probe(film), paths(tmp_path, 'mkv', 'webm'), second, 'w')
    assert 6 <= second.images <= 9  # those that were predicted when it died were not all kept
    assert_lossless(tmp_path / 'film.mkv', maps_of(film))


def test_maps_of_other_weights_are_not_used(tmp_path):
    film = video.probe(write_film(tmp_path / 'film.avi'))
    with pytest.raises(KeyboardInterrupt):
        video.predict(film, paths(tmp_path, 'mkv'), Predictor(stop=7), 'w', made_with={'weights': 1})
    second = Predictor()
    video.predict(film, paths(tmp_path, 'mkv'), second, 'w', made_with={'weights': 2})
    assert second.images == 12


@pytest.mark.parametrize('ending', ['.avi', '.mkv', '.webm'])
def test_a_cut_film_is_named_and_its_frames_are_predicted(tmp_path, ending, capfd):
    write_film(tmp_path / f'whole{ending}', frames=60)
    path = tmp_path / f'cut{ending}'
    data = (tmp_path / f'whole{ending}').read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    count, short = video.predict(video.probe(str(path)), paths(tmp_path / 'out', 'mkv'), Predictor(), 'w')
    assert 20 < count < 60
    assert str(path) in short and f'{count} of the 60' in short
    assert_lossless(tmp_path / 'out' / 'film.mkv', maps_of(path))
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'a text',
        b'#EXTM3U\n#EXTINF:1,\n/etc/passwd\n',
        b'\0\0\0\x18ftypisom' + bytes(99),
        b'RIFF1234AVI ' * 9,
    ],
)
def test_what_is_no_film(tmp_path, content):
    path = tmp_path / 'film.mp4'
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=str(path)):
        video.probe(str(path))
    with pytest.raises(Unreadable, match='No such file'):
        video.probe(str(tmp_path / 'missing.mp4'))


def test_a_map_that_is_not_finite_stops(tmp_path):
    film = video.probe(write_film(tmp_path / 'film.avi', frames=3))

    class Broken(Predictor):
        def __call__(self, images):
            return super().__call__(images) * np.float32('nan')

    with pytest.raises(HadToStop, match='weights.npz: .* frame 1;'):
        video.predict(film, paths(tmp_path, 'mkv'), Broken(), 'weights.npz')


def test_two_processes_do_not_write_the_same_film(tmp_path):
    film = write_film(tmp_path / 'film.avi', frames=3)
    code = (
        'import sys; from utils import video\n'
        'with video._Kept(sys.argv[1], {}, (48, 32)): print("held", flush=True); sys.stdin.read()'
    )
    holder = subprocess.Popen(
        [sys.executable, '-c', code, str(tmp_path / '.salgan-film.avi.frames')],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout and holder.stdin
    assert holder.stdout.readline() == b'held\n'
    with pytest.raises(Unreadable, match='another process'):
        video.predict(video.probe(film), paths(tmp_path, 'mkv'), Predictor(), 'w')
    holder.communicate()
    assert video.predict(video.probe(film), paths(tmp_path, 'mkv'), Predictor(), 'w') == (3, None)


def test_a_full_disk_stops_and_the_next_run_completes(tmp_path, small_disk):
    film = video.probe(write_film(tmp_path / 'film.avi', frames=40, size=(320, 240)))
    filler = small_disk / 'filler'
    filler.write_bytes(bytes(900_000))
    with pytest.raises((HadToStop, OSError)):
        video.predict(film, paths(small_disk, 'mkv'), Predictor(), 'w')
    assert not (small_disk / 'film.mkv').exists()
    filler.unlink()
    assert video.predict(film, paths(small_disk, 'mkv'), Predictor(), 'w')[0] == 40
    assert_lossless(small_disk / 'film.mkv', maps_of(film.path))


def test_memory_does_not_grow_with_the_film(tmp_path):
    code = (
        'import resource, sys; from pathlib import Path; from utils import video\n'
        'from tests.test_video import Predictor, paths, write_film\n'
        'peaks = []\n'
        'for frames in (20, 400):\n'
        '    film = write_film(Path(sys.argv[1]) / f"{frames}.avi", frames, (320, 240))\n'
        '    video.predict(video.probe(film), paths(Path(sys.argv[1]), "mkv"), Predictor(), "w")\n'
        '    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n'
        'print(peaks[1] - peaks[0])'
    )
    result = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert int(result.stdout) < 30_000  # KiB; 380 more frames of 230 kB would be 87 MB


def test_nothing_is_printed(tmp_path, capfd):
    film = video.probe(write_film(tmp_path / 'film.avi', frames=3))
    video.predict(film, paths(tmp_path, 'mkv', 'webm'), Predictor(), 'w')
    assert capfd.readouterr() == ('', '')


# --- 03 ---


def test_films_and_images_in_one_run(tmp_path, seeded_weights):
    """Each has its own default format; frames have the maps of images, to the byte; it resumes."""
    (tmp_path / 'in').mkdir()
    film = write_film(tmp_path / 'in' / 'walk.avi', frames=3)
    cv2.imwrite(str(tmp_path / 'in' / 'a.png'), frames_of(film)[1][..., ::-1])
    (tmp_path / 'in' / 'junk.MOV').write_bytes(b'no film')
    common = ('in', '--weights', seeded_weights, '--output', 'out', '--batch-size', 2)
    result = script('03-predict.py', *common, cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert 'junk.MOV: not a film' in result.stderr
    assert {p.name for p in (tmp_path / 'out').iterdir()} == {'a.jpg', 'walk.mkv', 'maps.json'}
    maps = [frame[..., 0] for frame in frames_of(tmp_path / 'out' / 'walk.mkv')]
    assert len(maps) == 3

    result = script('03-predict.py', *common[:-2], '--format', 'png,webm', cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    for number, saliency_map in enumerate(maps, 1):
        found = cv2.imread(str(tmp_path / 'out' / 'walk' / f'{number:06d}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found, saliency_map)
    image = cv2.imread(str(tmp_path / 'out' / 'a.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(image, maps[1])

    before = (tmp_path / 'out' / 'walk.mkv').stat().st_mtime_ns
    result = script('03-predict.py', *common, '--skip-existing', '--glob', '*.[ap][vn][ig]', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert 'maps exist of 2 of 2' in result.stderr
    assert (tmp_path / 'out' / 'walk.mkv').stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ('files', 'arguments', 'sentence'),
    [
        (['a.png'], ['--format', 'mkv'], '--format mkv is for films'),
        (['a.png'], ['--every', '2'], '--every is for films'),
        (['film.mkv'], ['--output', '.'], 'would replace it'),
        (['film.mp4', 'film.avi'], [], 'would both be written to'),
        (['film.avi'], ['--archive', 'maps.zip', '--format', 'png'], 'images only'),
        (['film.avi'], ['--scheduler', 'local:2'], 'images only'),
    ],
)
def test_what_does_not_go_with_films(tmp_path, files, arguments, sentence):
    for name in files:
        path = tmp_path / name
        write_film(path, frames=2) if path.suffix in CODECS else cv2.imwrite(
            str(path), np.zeros((9, 9), np.uint8)
        )
    before = sorted(p.name for p in tmp_path.iterdir())
    result = script('03-predict.py', *files, *arguments, cwd=tmp_path)
    assert result.returncode == 2 and sentence in result.stderr, result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.long
def test_a_minute_of_film_killed_twice(tmp_path, seeded_weights):
    """60 s at 25 frames a second: 03 is killed twice, and ends with the maps of the frames."""
    write_film(tmp_path / 'walk.avi', frames=1500, size=(160, 120))
    command = [sys.executable, str(ROOT / '03-predict.py'), 'walk.avi', '--weights', str(seeded_weights)]
    command += ['--size', '64x48', '--batch-size', '8']
    kept = tmp_path / 'saliency' / '.salgan-walk.avi.frames'
    sizes = [0]
    for _ in range(2):
        process = subprocess.Popen(command, cwd=tmp_path)
        while process.poll() is None and not (kept.exists() and kept.stat().st_size > sizes[-1] + 500_000):
            time.sleep(0.05)
        process.kill()
        assert process.wait() == -9
        sizes.append(kept.stat().st_size)
        assert [p.name for p in (tmp_path / 'saliency').glob('[!.]*')] == ['maps.json']
    assert sizes[0] < sizes[1] < sizes[2]  # the second went on where the first had ended
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / 'saliency').iterdir()} == {'walk.mkv', 'maps.json'}

    from models.prediction import Predictor
    from utils.weights import read_generator

    predictor = Predictor(read_generator(seeded_weights), 64, 48)
    maps = frames_of(tmp_path / 'saliency' / 'walk.mkv')
    frames = frames_of(tmp_path / 'walk.avi')
    assert len(maps) == len(frames) == 1500
    for i in range(0, 1500, 25):
        (predicted,) = predictor(shrink(frames[i], 64, 48)[None])
        expected = saliency_maps.finish(predicted, 120, 160)
        np.testing.assert_array_equal(maps[i], expected[..., None].repeat(3, axis=2))
