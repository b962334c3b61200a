"""What the tests of training share: 02 as a module, seeded samples, small runs."""

import os
import runpy
import subprocess
import sys
from types import SimpleNamespace

import numpy as np

from tests.conftest import ROOT
from utils import samples


def load_02():
    """What 02-train.py defines: its name is no identifier, so that it cannot be imported."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / '02-train.py'), run_name='train_02'))


def sample(image, saliency, name='a.png', fixations=((3, 5), (8, 2))):
    """A sample of uint8 arrays (rows, columns, 3) and (rows, columns), of an image of that size."""
    kind = samples.InputType
    return samples.Target(
        samples.ImageContainer(image, name, kind.image),
        samples.ImageContainer(saliency, name, kind.imageGrayscale),
        samples.ImageContainer(tuple(map(np.array, fixations)), name, kind.fixationMapMatlab),
        image.shape[:2],
    )


def seeded_samples(seed, count, width, height):
    """The samples that `inputs.batch(seed, count, width, height)` is made of."""
    import inputs

    images, maps = inputs.batch(seed, count, width, height)
    return [
        sample(
            image.transpose(1, 2, 0).astype('uint8'), np.round(255 * saliency[0]).astype('uint8'), f'{i}.png'
        )
        for i, (image, saliency) in enumerate(zip(images, maps))
    ]


def write_pickle(path, of, stream=False):
    with samples.writer(path, stream) as add:
        for each in of:
            add(each)
    return path


def start_02(*arguments, cwd, **environment):
    """02 as a running process, stderr as text."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / '02-train.py'), *map(os.fspath, arguments)],
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def wait_for_line(process, start):
    """Waits until 02 says something that begins so; gives that line."""
    for line in process.stderr:
        if line.startswith(start):
            return line
    raise AssertionError(f'no line {start!r}')


def arrays_of(folder):
    """Every array of every snapshot and checkpoint in `folder`, by file and name, without the histories."""
    found = {}
    for path in sorted(folder.rglob('*.npz')):
        with np.load(path) as archive:
            found.update(
                {
                    (str(path.relative_to(folder)), name): archive[name]
                    for name in archive.files
                    if name != 'state'
                }
            )
    return found
