"""The examples run as they are given: beside a stand-in for the tool that they plug into."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.layouts import photograph

EXAMPLES = ROOT / 'examples'


@pytest.fixture(scope='module')
def ours(seeded_weights, tmp_path_factory):
    """A photograph, the map that the steps of 03 make of it, and the network's own map at its size."""
    from models.prediction import Predictor
    from utils.images import shrink
    from utils.saliency_maps import at_size, finish
    from utils.weights import read_generator

    path = tmp_path_factory.mktemp('photographs') / 'photograph.png'
    image = photograph(5, (120, 150))
    cv2.imwrite(str(path), image[..., ::-1])
    (predicted,) = Predictor(read_generator(seeded_weights))(shrink(image, 256, 192)[None])
    return path, finish(predicted, 120, 150), at_size(predicted, 120, 150)


def run(command, folder, **environment):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': f'{folder}{os.pathsep}{ROOT}', **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_model_for_pysaliency(ours, seeded_weights, tmp_path):
    """Against the interface that pysaliency documents: _saliency_map is called with the stimulus's pixels."""
    path, _, expected = ours
    (tmp_path / 'pysaliency.py').write_text(
        'class SaliencyMapModel:\n'
        '    def __init__(self, cache_location=None, caching=True):\n'
        '        self._cache = {}\n'
        '    def saliency_map(self, stimulus):\n'
        '        return self._saliency_map(stimulus)\n'
    )
    code = (
        'import sys, cv2, numpy as np\n'
        'from examples.pysaliency_model import SalGAN\n'
        'image = cv2.imread(sys.argv[2])[..., ::-1]\n'
        'model = SalGAN(sys.argv[1], caching=False)\n'
        'np.save("map.npy", model.saliency_map(image))\n'
        'np.save("grey.npy", model.saliency_map(image[..., 0]))'
    )
    run(['-c', code, seeded_weights, path], tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / 'map.npy'), expected)
    assert np.load(tmp_path / 'grey.npy').shape == expected.shape


@pytest.mark.parametrize(('smoothing', 'blurred'), [('default', True), ('none', False)])
def test_the_model_folder_for_smiler(ours, seeded_weights, tmp_path, smoothing, blurred):
    """Against what SMILER does: it runs the command of smiler.json and calls back with an image's path."""
    path, finished, raw = ours
    shutil.copytree(EXAMPLES / 'smiler' / 'SalGAN', tmp_path, dirs_exist_ok=True)
    described = json.loads((tmp_path / 'smiler.json').read_text())
    assert described['model_type'] == 'docker' and described['run_command'][0] == 'python'
    (name,) = described['model_files']
    os.symlink(seeded_weights, tmp_path / 'model' / name)
    tools = tmp_path / 'tools' / 'smiler_tools'
    tools.mkdir(parents=True)
    (tools / '__init__.py').touch()
    (tools / 'runner.py').write_text(
        'import os, numpy as np\n'
        'def run_model(compute_saliency):\n'
        '    np.save("map.npy", compute_saliency(os.environ["IMAGE"]))\n'
    )
    run(
        described['run_command'][1:],
        tmp_path / 'model',
        PYTHONPATH=str(tmp_path / 'tools'),
        SALGAN=str(ROOT),
        SMILER_PARAMETER_MAP=json.dumps({'do_smoothing': smoothing}),
        IMAGE=str(path),
    )
    np.testing.assert_array_equal(np.load(tmp_path / 'model' / 'map.npy'), finished if blurred else raw)
