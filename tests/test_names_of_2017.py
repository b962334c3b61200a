"""Scripts and wrappers that were written beside the original's files in 2017 and 2018 run as they are."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

import constants
from tests.conftest import ROOT

# As a third party's wrapper began: the names of `constants` and `utils`, and the steps of 03 by hand.
WRAPPER = """
from utils import *
from constants import *
from models.model_bce import ModelBCE

width, height = INPUT_SIZE
model = ModelBCE(INPUT_SIZE[0], INPUT_SIZE[1], batch_size=8)
load_weights(model.net['output'], path='gen_', epochtoload=90)


def compute_saliency(path):
    image = cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    size = (image.shape[1], image.shape[0])
    if image.shape[:2] != (model.inputHeight, model.inputWidth):
        image = cv2.resize(image, (model.inputWidth, model.inputHeight), interpolation=cv2.INTER_AREA)
    blob = np.zeros((1, 3, model.inputHeight, model.inputWidth), theano.config.floatX)
    blob[0, ...] = image.astype(theano.config.floatX).transpose(2, 0, 1)
    result = np.squeeze(model.predictFunction(blob))
    saliency_map = cv2.resize((result * 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)
    return np.clip(cv2.GaussianBlur(saliency_map, (5, 5), 0), 0, 255)


if __name__ == '__main__':
    cv2.imwrite('by_hand.png', compute_saliency('photograph.png'))
"""

# A script that stood beside the original's 03.
SCRIPT = """
import os
import cv2
from tqdm import tqdm
from utils import *
from constants import *
from models.model_salgan import ModelSALGAN

if __name__ == '__main__':
    model = ModelSALGAN(INPUT_SIZE[0], INPUT_SIZE[1], 1)
    assert lasagne.layers.count_params(model.net['output']) == 31787009
    load_weights(model.net['output'], 'gen_', 90)
    for name in tqdm(['photograph']):
        image = cv2.cvtColor(cv2.imread(name + '.png', cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        predict(model=model, image_stimuli=image, name=name, path_output_maps='maps')
        predict(model, image, num_epoch=12, path_output_maps='snapshots')
    assert os.path.isdir(HOME_DIR) and theano.config.floatX == 'float32'
    for wrong, network in ((91, 'output'), (90, 'conv5_3')):
        try:
            load_weights(model.net[network], 'gen_', wrong)
        except Exception as error:
            print(f'{type(error).__name__}: {error}')
"""

# Both in one process, which imports Theano once, and 03's own way to the same map.
RUN = """
import os, runpy, sys
import constants
constants.HOME_DIR = sys.argv[1]
runpy.run_path('wrapper.py', run_name='__main__')
runpy.run_path('script.py', run_name='__main__')
from models.prediction import Predictor
from utils import images, saliency_maps, weights
image = images.read_rgb('photograph.png')
path = os.path.join(sys.argv[1], 'weights', 'gen_modelWeights0090.npz')
predictor = Predictor(weights.read_generator(path))
finished = saliency_maps.finish(predictor(images.shrink(image, 256, 192)[None])[0], *image.shape[:2])
images.write_image('by_03.png', finished)
images.write_image('by_03.jpg', finished)
"""


@pytest.fixture(scope='module')
def done(seeded_weights, tmp_path_factory):
    """The folder in which both programs have run, and what they printed."""
    folder = tmp_path_factory.mktemp('2017')
    (folder / 'home' / 'weights').mkdir(parents=True)
    (folder / 'home' / 'weights' / 'gen_modelWeights0090.npz').symlink_to(seeded_weights)
    image = np.random.RandomState(0).randint(0, 256, (90, 120, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / 'photograph.png'), cv2.GaussianBlur(image, (9, 9), 0))
    for name, code in (('wrapper', WRAPPER), ('script', SCRIPT)):
        (folder / f'{name}.py').write_text(code)
    result = subprocess.run(
        [sys.executable, '-c', RUN, str(folder / 'home')],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_a_wrapper_does_the_steps_of_03_by_hand(done):
    folder, _ = done
    by_hand, ours = (
        cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for name in ('by_hand.png', 'by_03.png')
    )
    assert by_hand.shape == (90, 120) and by_hand.std() > 0
    np.testing.assert_array_equal(by_hand, ours)


def test_a_script_of_2017_predicts_as_03_does(done):
    folder, printed = done
    assert (folder / 'maps' / 'photograph.jpg').read_bytes() == (folder / 'by_03.jpg').read_bytes()
    snapshot = folder / 'snapshots' / 'validationRandomSaliencyPred_0012.png'
    assert snapshot.read_bytes() == (folder / 'by_03.png').read_bytes()
    missing, another = printed.splitlines()
    assert missing.startswith('WeightsError') and 'gen_modelWeights0091.npz: no such file' in missing
    assert another.startswith('WeightsError') and 'arr_26 does not belong there' in another


def test_the_names_are_there_only_when_they_are_asked_for():
    code = (
        'import sys, json, utils; from utils import files, errors\n'
        "heavy = {'theano', 'lasagne', 'numpy', 'cv2', 'models', 'backend'} & sys.modules.keys()\n"
        "print(json.dumps([sorted(heavy), hasattr(utils, 'nothing'), sorted(utils.__all__)]))"
    )
    output = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = ['cv2', 'lasagne', 'load_weights', 'np', 'os', 'predict', 'theano']
    assert json.loads(output.stdout) == [[], False, names]


def test_the_constants():
    assert constants.INPUT_SIZE == (256, 192)
    assert os.path.samefile(constants.HOME_DIR, ROOT)
    assert os.path.join(constants.HOME_DIR, 'weights') == constants.HOME_DIR + 'weights'
