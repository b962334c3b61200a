#!/usr/bin/env python3
"""Predicts saliency maps from SalGAN as an ONNX file: for Windows, macOS and machines without a compiler.

    python -m pip install numpy opencv-python onnxruntime
    python predict_onnx.py gen_modelWeights0090.onnx photographs/ --output saliency/

Besides this file only the network is needed, which `weights/convert.py --to onnx` makes from the released
weights on any machine that runs this project. The steps and file names are those of 03-predict.py, and the
maps are within one grey level of its own.
"""

import argparse
import os
import sys

import cv2
import numpy as np

WIDTH, HEIGHT = 256, 192  # the input size for which the weights were made
DONE, SKIPPED, COULD_NOT_START, STOPPED = 0, 1, 2, 3


def parser():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], allow_abbrev=False)
    parser.add_argument('network', help='the .onnx file')
    parser.add_argument('images', nargs='+', help='images, and folders of images')
    parser.add_argument('--output', default='saliency', help='where the maps go (default: saliency)')
    return parser


def main():
    options = parser().parse_args()
    files = dict(images(options.images))
    if not files:
        return fail(f'no images in {", ".join(options.images)}')
    names = {}
    for path, name in files.items():
        target = os.path.join(options.output, name + '.jpg')
        if target in names:
            return fail(f'{names[target]} and {path} would both be written to {target}; rename one of them')
        if os.path.realpath(target) in map(os.path.realpath, files):
            return fail(f'{target} is one of the images; choose another --output')
        names[target] = path

    import onnxruntime

    try:
        network = onnxruntime.InferenceSession(options.network, providers=['CPUExecutionProvider'])
    except Exception as error:  # onnxruntime has many exception classes
        return fail(f'{options.network}: cannot be loaded as ONNX: {str(error).splitlines()[0]}')

    status = DONE
    for target, path in names.items():
        image = read(path)
        if image is None:
            print(f'skipped {path}: not an image, or a broken one', file=sys.stderr)
            status = SKIPPED
            continue
        try:
            write(target, saliency_map(network, image))
        except OSError as error:
            print(f'{target}: {error.strerror}', file=sys.stderr)
            return STOPPED
    return status


def fail(sentence):
    print(f'{os.path.basename(sys.argv[0])}: {sentence}', file=sys.stderr)
    return COULD_NOT_START


def images(paths):
    """Each file and the name of its map: relative to the named folder, without the extension."""
    for path in paths:
        if not os.path.isdir(path):
            yield path, os.path.splitext(os.path.basename(path))[0]
        for folder, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                if not name.startswith('.'):
                    found = os.path.join(folder, name)
                    yield found, os.path.splitext(os.path.relpath(found, path))[0]


def read(path):
    """The image, uint8 (rows, columns, 3) RGB, EXIF orientation applied; None if it cannot be read."""
    try:
        data = np.fromfile(path, np.uint8)  # not cv2.imread: on Windows it only accepts ASCII names
    except OSError:
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def saliency_map(network, image):
    """SalGAN's map of an image: uint8, of the image's rows and columns."""
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    batch = small.transpose(2, 0, 1)[None].astype(np.float32)
    (predicted,) = network.run(None, {'images': batch})
    eight_bits = (predicted[0, 0] * 255).astype(np.uint8)
    resized = cv2.resize(eight_bits, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(resized, (5, 5), 0)


def write(path, image):
    """Writes a JPEG under a temporary name and moves it into place."""
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    _, data = cv2.imencode('.jpg', image)
    data.tofile(path + '.part')
    os.replace(path + '.part', path)


if __name__ == '__main__':
    sys.exit(main())
