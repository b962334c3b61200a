"""A small set in each layout, seeded: images that people look at in two places, and maps that know one."""

import json
import struct

import cv2
import numpy as np

SIZE = (96, 128)
STEMS = [f'COCO_val2014_{number:012d}' for number in range(1, 13)]


def points(number, count=60):
    """Fixations of an image: around its own place and around the centre; (row, column), 0-based."""
    random = np.random.RandomState(number)
    own = random.uniform(0.2, 0.8, 2) * SIZE
    near = np.where(random.random_sample((count, 1)) < 0.6, own, np.divide(SIZE, 2))
    return np.clip(np.rint(near + random.randn(count, 2) * (5, 8)), 0, np.subtract(SIZE, 1)).astype(int)


def fixation_map(number):
    fixated = np.zeros(SIZE, np.uint8)
    fixated[tuple(points(number).T)] = 255
    return fixated


def saliency_map(number):
    """uint8: some way between the image's fixations, blurred, and a centre bias."""
    blurred = cv2.GaussianBlur(fixation_map(number).astype(float), (0, 0), 8)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    centre = np.exp(-((rows / SIZE[0] - 0.5) ** 2 + (columns / SIZE[1] - 0.5) ** 2) * 8)
    both = blurred / blurred.max() + 0.5 * centre
    return (both / both.max() * 255).astype(np.uint8)


def write_maps(folder, stems=STEMS, extension='.png', size=None):
    folder.mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(STEMS):
        if stem in stems:
            array = saliency_map(number)
            array = cv2.resize(array, size) if size else array
            assert cv2.imwrite(str(folder / (stem + extension)), array)
    return folder


def write_fixation_maps(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(STEMS):
        assert cv2.imwrite(str(folder / f'{stem}.png'), fixation_map(number))
    return folder


def write_json(path, change=lambda point: point):
    """The 2015 JSON: two observers an image; every location of the first is the second's too."""
    images = [
        {'id': number, 'file_name': f'{stem}.jpg', 'height': SIZE[0], 'width': SIZE[1]}
        for number, stem in enumerate(STEMS)
    ]
    annotations = []
    for number in range(len(STEMS)):
        pairs = (points(number) + 1).tolist()
        for worker, taken in enumerate((pairs, pairs[: len(pairs) // 2])):
            annotations.append(
                {'image_id': number, 'worker_id': worker, 'fixations': [change(pair) for pair in taken]}
            )
    path.write_text(json.dumps({'images': images, 'annotations': annotations}))
    return path


def write_mat(path, array):
    """The variable I of a .mat of version 5: doubles, uncompressed."""

    def element(kind, data):
        return struct.pack('<II', kind, len(data)) + data + bytes(-len(data) % 8)

    body = element(6, struct.pack('<II', 6, 0)) + element(5, struct.pack('<ii', *array.shape))
    body += element(1, b'I') + element(9, np.asarray(array, '<f8').tobytes('F'))
    path.write_bytes(
        b'MATLAB 5.0 MAT-file'.ljust(124) + struct.pack('<H2s', 0x100, b'IM') + element(14, body)
    )
