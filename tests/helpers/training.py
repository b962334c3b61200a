"""What the tests of training share: 02 as a module, seeded samples, small runs."""

import importlib
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np

import utils.training.start  # noqa: F401  (here, so that no fork imports them anew)
from backend import lasagne, theano
from models.parameters import set_values
from tests.conftest import ROOT
from utils import samples
from utils.command_line import run
from utils.files import LOCK
from utils.training import monitor, run_record  # noqa: F401  (here, so that no fork imports them anew)
from utils.training import options as modes

train_02 = importlib.import_module('02-train')


def options_of_02(*arguments):
    """Its options as it completes them."""
    options = train_02.parser().parse_args(list(map(str, arguments)))
    modes.complete(options)
    return options


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


def small_build(options, start, initial, found):
    """In place of `models.start.build`: an update of these costs nothing and depends on all before."""

    def network():
        layer = lasagne.layers.InputLayer((1, 4))
        for _ in range(27):  # as many arrays as a generator has
            layer = lasagne.layers.DenseLayer(layer, 4, W=initial.randn(4, 4))
        return layer, theano.shared(np.zeros((4, 4), layer.W.dtype))

    def trains(layer, added_up):
        def call(images, maps):
            seen = images.mean(axis=(1, 2, 3)).dot([1, 2]) / 765 * maps.mean()
            gradient = np.tanh(layer.W.get_value() + seen)
            added_up.set_value(added_up.get_value() + gradient**2)
            layer.W.set_value(layer.W.get_value() - 0.01 * gradient)
            return [gradient.mean()] * (3 if options.mode == 'salgan' else 1)

        return call

    G, G_added_up = network()
    if start.get('generator'):
        set_values(G, start['generator'])
    networks = {'generator': (G, {G_added_up: None})}
    model = SimpleNamespace(
        networks=lambda: networks,
        compile=lambda: None,
        G_trainFunction=trains(G, G_added_up),
        predictFunction=lambda images: 1 / (1 + np.exp(G.W.get_value()[0, 0] - images[:, :1] / 255)),
    )
    if options.mode == 'salgan':
        D, D_added_up = network()
        networks['discriminator'] = D, {D_added_up: None}
        model.D_trainFunction = trains(D, D_added_up)
    return model


def forked(arguments, prepare=None, build=small_build, stderr=None):
    """Runs 02 in a fork of this process, with networks that cost nothing, until it ends or is ended.

    Parameters
    ----------
    arguments : list of str or path
    prepare : function, optional
        Called in the fork before the run.
    build : function in place of `models.start.build`
    stderr : descriptor, optional
        Where its messages go (default: nowhere).

    Returns
    -------
    int, the exit status, or less than 0: the signal
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        to = os.open(os.devnull, os.O_WRONLY) if stderr is None else stderr
        sys.stderr = os.fdopen(to, 'w', buffering=1)
        sys.argv = ['02-train.py']
        if prepare:
            prepare()
        run(lambda: train_02.main(list(map(os.fspath, arguments)), build))
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(int(end.code or 0))
    finally:
        os._exit(99)


def times_of(folder):
    """When each file below `folder` was last written to, but for the lock's, which every start takes."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.name != LOCK}


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
