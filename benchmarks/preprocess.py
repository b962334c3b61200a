"""01-data-preprocessing.py beside the OpenCV calls that it cannot do without: images a second, and memory.

Makes a gaze-layout data set of synthetic photographs, then runs, in turn and in as many threads, the bare
calls (decode, resize, encode of every image and map) and the script with either kind of pickle.

    python benchmarks/preprocess.py --images 2000
"""

import argparse
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import scipy.io

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from utils import samples  # noqa: E402

OBSERVERS, SAMPLES, FIXATIONS = 60, 115, 5  # of an image of SALICON's train split


def make_data_set(folder, count):
    """A gaze-layout data set of `count` images of 640 x 480 with what SALICON has of each."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('images', 'maps', 'fixations'):
            (folder / kind / split).mkdir(parents=True)
    scenes = [_scene(rng) for _ in range(16)]
    for i in range(count):
        split = 'train' if i % 3 else 'val'
        name = f'{split}/COCO_{split}2014_{i:012d}'
        scene = np.roll(scenes[i % 16], (17 * i % 480, 29 * i % 640), (0, 1))
        cv2.imwrite(str(folder / 'images' / f'{name}.jpg'), scene)
        gaze = np.zeros(OBSERVERS, [('location', 'O'), ('timestamp', 'O'), ('fixations', 'O')])
        for observer in gaze:
            observer['location'] = rng.integers(1, (641, 481), (SAMPLES, 2)).astype(np.uint16)
            observer['timestamp'] = np.arange(SAMPLES, dtype=np.uint16)[:, None]
            observer['fixations'] = rng.integers(1, (641, 481), (FIXATIONS, 2)).astype(np.uint16)
        mat = {'image': f'{name}.jpg', 'resolution': [480, 640], 'gaze': gaze}
        scipy.io.savemat(folder / 'fixations' / f'{name}.mat', mat, do_compression=True)
        points = np.concatenate(gaze['fixations']) - 1
        saliency = np.zeros((480, 640), np.float32)
        saliency[points[:, 1], points[:, 0]] = 1
        saliency = cv2.GaussianBlur(saliency, (0, 0), 19)
        cv2.imwrite(str(folder / 'maps' / f'{name}.png'), (saliency / saliency.max() * 255).astype(np.uint8))


def _scene(rng):
    """Noise of every scale, which takes a JPEG's bytes as a photograph does."""
    scene = np.zeros((480, 640, 3))
    for scale in (2, 8, 32, 128):
        noise = rng.normal(0, 4 * scale**0.5, (480 // scale + 1, 640 // scale + 1, 3))
        scene += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    return np.clip(scene + 120, 0, 255).astype(np.uint8)


def bare_calls(folder, workers):
    """Seconds that OpenCV takes to decode, resize and encode the whole data set."""

    def work(path):
        for kind, extension, flags in (
            ('images', '.jpg', cv2.IMREAD_COLOR),
            ('maps', '.png', cv2.IMREAD_GRAYSCALE),
        ):
            image = cv2.imread(str(folder / kind / path) + extension, flags)
            cv2.imencode('.png', cv2.resize(image, (256, 192), interpolation=cv2.INTER_AREA))

    cv2.setNumThreads(1)
    paths = [path.relative_to(folder / 'images').with_suffix('') for path in folder.glob('images/*/*.jpg')]
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, paths))
    return time.perf_counter() - start


def script(folder, output, workers, *options):
    """Seconds of the whole command, and its peak memory in MB."""
    command = [sys.executable, ROOT / '01-data-preprocessing.py', '--salicon', folder, '--output', output]
    start = time.perf_counter()
    process = subprocess.Popen([*command, '--workers', str(workers), *options], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f'{command} ended with {status}')
    return time.perf_counter() - start, usage.ru_maxrss / 1e3


def opening(function):
    """Seconds that a call takes, and how far it raises this process's peak memory, in MB."""
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    function()
    return time.perf_counter() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    option = parser.add_argument
    option('--images', type=int, default=2000, help='how many (default: %(default)s)')
    option('--workers', type=int, default=os.cpu_count(), help='threads (default: %(default)s)')
    option('--repeats', type=int, default=3, help='runs of each, in turn (default: %(default)s)')
    option('--folder', help='where the data set and the results go (default: a temporary folder)')
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder, kinds = Path(temporary) / 'salicon', {'list': [], 'stream': ['--stream']}
        make_data_set(folder, options.images)
        bare, runs = [], {kind: [] for kind in kinds}
        for repeat in range(options.repeats):
            bare.append(bare_calls(folder, options.workers))
            for kind, flags in kinds.items():
                output = Path(temporary) / f'{kind}{repeat}'
                runs[kind].append(script(folder, output, options.workers, *flags))
        bare.append(bare_calls(folder, options.workers))
        reference = options.images / median(bare)
        print(f'{options.images} images of 640 x 480, {options.workers} threads, OpenCV {cv2.__version__}')
        print(f'{"":24} {"images/s":>9} {"ratio":>6} {"peak MB":>8}')
        print(f'{"bare OpenCV calls":24} {reference:9.0f} {1:6.2f}')
        for kind, results in runs.items():
            speed, memory = options.images / median(s for s, _ in results), max(m for _, m in results)
            print(f'{"01, " + kind:24} {speed:9.0f} {speed / reference:6.2f} {memory:8.0f}')
        again, memory = script(folder, Path(temporary) / 'list0', options.workers)
        speed = options.images / again
        print(f'{"01, run again":24} {speed:9.0f} {speed / reference:6.2f} {memory:8.0f}')
        report_opening(Path(temporary))


def report_opening(folder):
    """How long it takes to open what was written, and what that holds in memory."""
    listed, streamed = folder / 'list0' / 'trainData.pickle', folder / 'stream0' / 'trainData.pickle'

    def walk():
        stream = samples.read(streamed)
        for i in np.random.default_rng(0).permutation(len(stream)):
            stream[i]

    def load():
        with open(listed, 'rb') as file:
            return pickle.load(file)

    print(f'{"trainData.pickle":24} {"seconds":>9} {"MB":>15}')
    for name, function in (
        ('stream, all, shuffled', walk),
        ('list, pickle.load', load),
        ('list, samples.read', lambda: samples.read(listed)),
    ):
        seconds, memory = opening(function)
        print(f'{name:24} {seconds:9.2f} {memory:15.0f}')


if __name__ == '__main__':
    main()
