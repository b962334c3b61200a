"""Small data sets in each of SALICON's layouts, for tests to write."""

import json

import cv2
import numpy as np
import scipy.io

from utils.data_sets.data_set import blurred_map
from utils.images import to_uint8

SIZE = (48, 64)


def photograph(seed, size=SIZE):
    """A uint8 image, (rows, columns, 3), with structure at several scales."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3))
    for cells in (2, 5, 13):
        noise = rng.normal(0, 40, (cells, cells, 3))
        image += cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(image + 128, 0, 255).astype(np.uint8)


def observers(seed, size=SIZE, count=4, samples=30, fixations=5):
    """What each observer did: dicts of `location` and `fixations`, N x 2, (row, column), 0-based."""
    rng = np.random.default_rng(seed)
    return [
        {
            'location': rng.integers(0, np.array(size) // 2, (samples, 2)),
            'fixations': rng.integers(0, size, (fixations, 2)),
        }
        for _ in range(count)
    ]


def write_image(folder, name, image):
    path = folder / f'{name}.jpg'
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_gaze(folder, name, saliency, seen, size=SIZE):
    """`maps/NAME.png` (uint8) and `fixations/NAME.mat` of the gaze layout; `seen` as `observers` gives it."""
    gaze = np.zeros((len(seen), 1), [('location', 'O'), ('timestamp', 'O'), ('fixations', 'O')])
    for row, observer in zip(gaze[:, 0], seen):
        for field in ('location', 'fixations'):
            row[field] = (np.asarray(observer[field])[:, ::-1] + 1).astype(np.int16)
        row['timestamp'] = np.arange(len(observer['location']), dtype=np.uint16)[:, None]
    for kind in ('maps', 'fixations'):
        (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / 'maps' / f'{name}.png'), saliency)
    contents = {'image': name, 'resolution': np.array(size), 'gaze': gaze}
    scipy.io.savemat(folder / 'fixations' / f'{name}.mat', contents, do_compression=True)


def write_mat_2015(folder, name, saliency, points, size=SIZE):
    """`saliency/NAME.mat` (0..1) and `fixation/NAME.mat` of the 2015 layout; points are 0-based."""
    for kind, matrix in (('saliency', saliency), ('fixation', fixation_map(points, size))):
        (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(folder / kind / f'{name}.mat', {'I': matrix}, do_compression=True)


def fixation_map(points, size=SIZE):
    fixated = np.zeros(size, np.uint8)
    fixated[points[:, 0], points[:, 1]] = 1
    return fixated


def write_json(path, images, annotations):
    """`images`: (id, file name, (rows, columns)); `annotations`: (image id, N x 2 points, 0-based)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{'id': i, 'file_name': n, 'height': s[0], 'width': s[1], 'license': 1} for i, n, s in images]
    made = [
        {'image_id': i, 'fixations': (np.asarray(points) + 1).tolist(), 'worker_id': k, 'id': k}
        for k, (i, points) in enumerate(annotations)
    ]
    contents = {'info': {'year': 2014}, 'images': listed, 'licenses': [], 'type': 'x', 'annotations': made}
    path.write_text(json.dumps(contents))


def write_gaze_set(folder, counts, size=SIZE):
    """A whole data set of the gaze layout: `counts` maps 'train', 'val' and 'test' to a number of images."""
    seed = 0
    for split, count in counts.items():
        for _ in range(count):
            seed += 1
            name = f'{split}/COCO_{split}2014_{seed:012d}'
            write_image(folder / 'images', name, photograph(seed, size))
            if split != 'test':
                seen = observers(seed, size)
                points = np.concatenate([observer['fixations'] for observer in seen])
                saliency = to_uint8(blurred_map(points, size, sigma=3))
                write_gaze(folder, name, saliency, seen, size)
    return folder


def maps_of(folder):
    """`tree`, but for the record of 03, which has the date."""
    return {name: data for name, data in tree(folder).items() if name != 'maps.json'}


def tree(folder):
    """Relative path -> bytes of every file in a folder, but for 03's maps.json, which holds a date."""
    files = (path for path in sorted(folder.rglob('*')) if path.is_file() and path.name != 'maps.json')
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
