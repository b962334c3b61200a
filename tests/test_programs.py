"""The programs beside the four scripts: each runs to its end, at the smallest sizes."""

import os
import sys

import pytest

from benchmarks import cpu
from tests.conftest import GOLDEN, script, with_flags
from utils import weights
from utils.images import read_rgb


def run(name, *arguments, **environment):
    """What the program has printed."""
    done = script(name, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr
    return done.stdout


def test_random_weights(tmp_path):
    for seed, name in ((0, 'a'), (0, 'b'), (1, 'c')):
        run('weights/make_random.py', '--output', tmp_path / 'new' / name, '--seed', seed)
    a, b, c = ((tmp_path / 'new' / name).read_bytes() for name in 'abc')
    assert a == b != c
    arrays = weights.read_generator(tmp_path / 'new' / 'a')
    assert all(array.any() for array in arrays if array.ndim == 4)


@pytest.mark.long
def test_the_pictures_of_the_documentation(seeded_weights, tmp_path):
    run('docs/picture.py', seeded_weights, tmp_path / 'picture.jpg')
    assert read_rgb(tmp_path / 'picture.jpg').shape == (600, 1200, 3)


@pytest.mark.long
def test_what_the_images_of_docker_compile(seeded_weights, tmp_path):
    """docker/warm.py: what it compiles is all that a prediction needs."""
    folder = {'THEANO_FLAGS': with_flags(f'base_compiledir={tmp_path / "theano"}')}
    run('docker/warm.py', **folder)
    modules = {*tmp_path.glob('theano/*/*/*.so')}
    assert len(modules) > 20
    image = GOLDEN / 'network' / 'predict_small.png'
    command = ('03-predict.py', image, '--weights', seeded_weights, '--output', tmp_path / 'maps')
    run(*command, '--size', '32x32', **folder)
    assert {*tmp_path.glob('theano/*/*/*.so')} == modules


@pytest.mark.long
@pytest.mark.parametrize(
    ('name', 'arguments', 'rows'),
    [
        ('metrics', ['--repeats', '1'], ['NSS', 'sAUC']),
        ('read_weights', ['--runs', '1'], ['numpy.load']),
        ('preprocess', ['--images', '4', '--samples', '4', '--repeats', '1'], ['images/s']),
        ('training', ['--size', '32x32', '--batch-size', '2'], ['bce', 'salgan']),
        ('predict', ['--photographs', '2', '--runs', '1'], ['photograph']),
    ],
)
def test_benchmarks(name, arguments, rows, seeded_weights):
    if name == 'predict':
        arguments = [*arguments, '--weights', seeded_weights]
    printed = run(f'benchmarks/{name}.py', *arguments)
    for row in rows:
        assert row in printed


@pytest.mark.long
def test_the_benchmark_of_the_cpu(tmp_path):
    """With an environment of `make test-converters` in place of the one that it would install."""
    if not os.environ.get('SALGAN_TEST_CONVERTERS'):
        pytest.skip('in an environment of its own: make test-converters')
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python').write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / 'bin' / 'python').chmod(0o700)
    (tmp_path / 'installed').write_text(str(cpu.REQUIREMENTS))
    small = ['--only', 'predict', 'bce', '--batches', '1', '--size', '32x32', '--runs', '1']
    engines = ['theano', 'torch', 'onnxruntime']
    printed = run('benchmarks/cpu.py', *small, '--engines', *engines, '--environment', tmp_path)
    for engine in engines:
        assert cpu.NAMES[engine] in printed
