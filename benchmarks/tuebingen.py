"""Times --protocol tuebingen on images of MIT1003's sizes, and the reading of their maps.

    python benchmarks/tuebingen.py [--images N] [--folder DIR]

Makes N maps as 03 writes them (PNG; links to a few files, so that the disk does not matter) and 104 fixations
per image, then runs 04 in a separate process, and reads the same maps by the same function in one thread.
Other work on the machine lengthens times by the clock more than processor time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from utils.parallel import cores  # noqa: E402

FIXATIONS = 104  # per image of MIT1003
SIZES = [(768, 1024)] * 6 + [
    (1024, 768),
    (683, 1024),
    (1024, 681),
    (685, 1024),
    (1024, 683),
    (576, 1024),
    (813, 1024),
]


def make(folder, images):
    """Maps and fixations; about half of the images are 768 x 1024, as in MIT1003."""
    import cv2

    from utils.saliency_maps import finish

    random = np.random.RandomState(0)
    (folder / 'maps').mkdir(parents=True)
    originals = []
    for number, (rows, columns) in enumerate(SIZES):
        peaks = np.zeros((192, 256), np.float32)
        peaks[random.randint(40, 150, 12), random.randint(40, 216, 12)] = 1
        network = cv2.GaussianBlur(peaks, (0, 0), 14) * 60 + random.rand(192, 256).astype(np.float32) * 0.01
        originals.append(folder / f'{number}.png')
        cv2.imwrite(str(originals[-1]), finish(network / network.max(), rows, columns))
    listed, annotations = [], []
    for number in range(images):
        rows, columns = SIZES[number % len(SIZES)]
        os.link(originals[number % len(SIZES)], folder / 'maps' / f'i{number:05d}.png')
        points = random.randn(FIXATIONS, 2) * (rows / 5, columns / 5) + (rows / 2, columns / 2)
        points = np.clip(points, 1, (rows, columns)).astype(int).tolist()
        listed.append({'id': number, 'file_name': f'i{number:05d}.jpg', 'height': rows, 'width': columns})
        annotations.append({'image_id': number, 'worker_id': 1, 'fixations': points})
    (folder / 'fixations.json').write_text(json.dumps({'images': listed, 'annotations': annotations}))


def seconds(command):
    """Seconds by the clock and of processor time of a command that must not fail; its peak memory in MB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return np.array([clock, processor]), after.ru_maxrss / 1024


def reading(folder):
    """Seconds by the clock and of processor time to read the maps with the function that 04 uses."""
    from utils.evaluation.maps import find_maps, read_source
    from utils.images import ready_for_threads

    ready_for_threads()
    maps = find_maps(str(folder / 'maps'))
    start = np.array([time.perf_counter(), time.process_time()])
    for path in maps.values():
        read_source(path)
    return np.array([time.perf_counter(), time.process_time()]) - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=1000, help='(default: %(default)s)')
    parser.add_argument('--folder', type=Path, help='where to make the images (default: a temporary folder)')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)) / 'mit1003'
        if not folder.exists():
            make(folder, options.images)
        inputs = ['--maps', str(folder / 'maps'), '--fixations', str(folder / 'fixations.json')]
        whole, memory = seconds(['04-evaluate.py', '--protocol', 'tuebingen', *inputs])
        read = reading(folder)
    print(f'{options.images} images of the sizes of MIT1003, {FIXATIONS} fixations each; {cores()} cores')
    print(f'{"":28}{"by the clock":>26}{"of processor time":>26}')
    print(f'{"":28}' + 2 * f'{"ms per image":>14}{"to reading":>12}')
    rows = {'reading, in one thread': read, '04 --protocol tuebingen': whole}
    for name, taken in rows.items():
        columns = zip(1000 * taken / options.images, taken / read)
        print(f'{name:28}' + ''.join(f'{ms:14.2f}{ratio:12.2f}' for ms, ratio in columns))
    print(f'peak memory of 04: {memory:.0f} MB')


if __name__ == '__main__':
    main()
