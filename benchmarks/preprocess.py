"""01-data-preprocessing.py compared with the OpenCV calls that it needs: images per second, and memory.

Makes a gaze-layout data set of synthetic photographs, then runs, in turn and with as many threads, the bare
calls (decode, resize, encode every image and map) and the script with either kind of pickle.

    python benchmarks/preprocess.py --images 2000
"""

import argparse
import os
import shutil
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
from utils.samples import ImageContainer, Target  # noqa: E402

OBSERVERS, SAMPLES, FIXATIONS = 60, 115, 5  # per image of SALICON's train split


def make_data_set(folder, count):
    """A gaze-layout data set of `count` images of 640 x 480 with what SALICON provides for each."""
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
        blurred = cv2.GaussianBlur(saliency, (0, 0), 19)
        cv2.imwrite(
            str(folder / 'maps' / f'{name}.png'), cv2.convertScaleAbs(blurred, alpha=255 / blurred.max())
        )


def _scene(rng):
    """Noise of every scale, which takes as many bytes in a JPEG as a photograph."""
    scene = np.zeros((480, 640, 3))
    for scale in (2, 8, 32, 128):
        noise = rng.normal(0, 4 * scale**0.5, (480 // scale + 1, 640 // scale + 1, 3))
        scene += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    return np.clip(scene + 120, 0, 255).astype(np.uint8)


def bare_calls(folder, workers):
    """Wall-clock and CPU seconds that OpenCV needs to decode, resize and encode the whole data set."""

    def work(path):
        for kind, extension, flags in (
            ('images', '.jpg', cv2.IMREAD_COLOR),
            ('maps', '.png', cv2.IMREAD_GRAYSCALE),
        ):
            image = cv2.imread(str(folder / kind / path) + extension, flags)
            cv2.imencode('.png', cv2.resize(image, (256, 192), interpolation=cv2.INTER_AREA))

    cv2.setNumThreads(1)
    paths = [path.relative_to(folder / 'images').with_suffix('') for path in folder.glob('images/*/*.jpg')]
    start, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, paths))
    return time.perf_counter() - start, time.process_time() - cpu


def script(folder, output, workers, *options):
    """Wall-clock and CPU seconds of the whole command, and its peak memory in MB."""
    command = [sys.executable, ROOT / '01-data-preprocessing.py', '--salicon', folder, '--output', output]
    start = time.perf_counter()
    process = subprocess.Popen([*command, '--workers', str(workers), *options], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f'{command} ended with {status}')
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    option = parser.add_argument
    option('--images', type=int, default=2000, help='how many are preprocessed (default: %(default)s)')
    option('--samples', type=int, default=10_000, help='how many are opened (default: %(default)s)')
    option('--workers', type=int, default=os.cpu_count(), help='threads (default: %(default)s)')
    option('--repeats', type=int, default=3, help='runs of each command, in turn (default: %(default)s)')
    option('--folder', help='where the data set and the results go (default: a temporary folder)')
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        make_data_set(folder / 'salicon', options.images)
        report_speed(folder, options)
        shutil.rmtree(folder)
        folder.mkdir()
        report_opening(folder, options.samples)


def report_speed(folder, options):
    """Runs the bare calls and the script in turn, and prints the table."""
    salicon, workers = folder / 'salicon', options.workers
    runs: dict = {'bare OpenCV calls': [], '01, list': [], '01, stream': [], '01, list, run again': []}
    # Nothing is deleted between the runs: ext4 creates files slowly after others have been deleted.
    for repeat in range(options.repeats):
        runs['bare OpenCV calls'].append(bare_calls(salicon, workers))
        runs['01, list'].append(script(salicon, folder / f'list{repeat}', workers))
        runs['01, stream'].append(script(salicon, folder / f'stream{repeat}', workers, '--stream'))
    runs['bare OpenCV calls'].append(bare_calls(salicon, workers))
    runs['01, list, run again'].append(script(salicon, folder / 'list0', workers))
    print(f'{options.images} images of 640 x 480, {workers} threads, OpenCV {cv2.__version__}; medians')
    print(f'{"":22} {"images/s":>9} {"ratio":>6} {"CPU ms/image":>13} {"ratio":>6} {"peak MB":>8}')
    middle = {name: [median(column) for column in zip(*results)] for name, results in runs.items()}
    reference = middle['bare OpenCV calls']
    for name, (seconds, cpu, *memory) in middle.items():
        print(
            f'{name:22} {options.images / seconds:9.0f} {reference[0] / seconds:6.2f}'
            f' {1e3 * cpu / options.images:13.1f} {reference[1] / cpu:6.2f}',
            *(f'{peak:8.0f}' for peak in memory),
        )


OPENING = """
import pickle, resource, sys, time
import numpy as np
from utils import samples
how, path = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
if how == 'pickle.load':
    with open(path, 'rb') as file:
        read = pickle.load(file)
else:
    read = samples.read(path)
if how == 'every sample, shuffled':
    for i in np.random.default_rng(0).permutation(len(read)):
        read[i]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f'{time.perf_counter() - start:9.2f} {(peak - before) / 1e3:8.0f}')
"""


def report_opening(folder, count):
    """Time and memory for opening `count` samples of the usual size."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (192, 256, 3), np.uint8)
    points = (np.sort(rng.integers(0, 480, 317)), rng.integers(0, 640, 317))
    print(f'\n{count} samples{"":14} {"seconds":>9} {"MB":>8}')
    for form, ways in (
        ('list', ['pickle.load', 'samples.read']),
        ('stream', ['samples.read', 'every sample, shuffled']),
    ):
        path = folder / form
        with samples.writer(path, form == 'stream') as add:
            for i in range(count):
                parts = ((image, 0), (image[:, :, 0].copy(), 1), (points, 3))
                add(Target(*(ImageContainer(data, f'{i}.png', kind) for data, kind in parts)))
        for how in ways:
            command = [sys.executable, '-c', OPENING, how, path]
            found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            print(f'{form + ", " + how:31}', found.stdout.strip('\n'))
        path.unlink()


if __name__ == '__main__':
    main()
