"""The stand-in weights: their layout, what the network makes of simple images, and of ten real ones."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from models.parameters import set_values
from tests.conftest import script
from utils.architecture import generator_layout
from utils.images import read_grey, shrink
from utils.metrics import auc_judd, auc_shuffled
from utils.weights import read_generator

WIDTH, HEIGHT = 256, 192


@pytest.fixture(scope='module')
def standin(tmp_path_factory):
    path = tmp_path_factory.mktemp('standin') / 'standin.npz'
    process = script('weights/make_standin.py', '--output', path)
    assert process.returncode == 0, process.stderr
    assert "a stand-in: not SalGAN's weights, for trying the pipeline" in process.stderr
    return path


@pytest.fixture(scope='module')
def predict(standin):
    """RGB images (rows, columns, 3) -> saliency maps (batch, rows, columns)."""
    from models.model_bce import ModelBCE

    model = ModelBCE(WIDTH, HEIGHT, batch_size=1)
    set_values(model.net['output'], read_generator(standin))

    def predict(*images):
        batches = (np.moveaxis(image, 2, 0)[None].astype('float32') for image in images)
        return np.array([model.predictFunction(batch)[0, 0] for batch in batches])

    return predict


def flat(*colour):
    return np.full((HEIGHT, WIDTH, 3), colour, 'uint8')


# --- the file ---


def test_layout(standin):
    arrays = read_generator(standin)  # names, types, finite values
    assert [array.shape for array in arrays] == [shape for _, _, shape in generator_layout()]
    assert all(W.any() for W in arrays[::2])  # no layer is cut off


def test_the_same_bytes_every_time(standin, tmp_path):
    again = tmp_path / 'new folder' / 'standin_again.npz'
    assert script('weights/make_standin.py', '--output', again, cwd=tmp_path).returncode == 0
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (standin, again)]
    assert digests[0] == digests[1]


def test_is_never_called_by_the_name_of_the_released_file(tmp_path):
    process = script('weights/make_standin.py', '--output', 'gen_modelWeights0090.npz', cwd=tmp_path)
    assert process.returncode == 2
    assert 'gen_modelWeights0090.npz: call it standin' in process.stderr
    assert not list(tmp_path.iterdir())


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / 'file').write_text('')
    process = script('weights/make_standin.py', '--output', tmp_path / 'file' / 'standin.npz')
    assert process.returncode == 2
    assert 'cannot write to the folder' in process.stderr
    assert 'Traceback' not in process.stderr


# --- simple images ---


def test_flat_images_have_the_centre_bias_alone(predict):
    maps = predict(flat(0, 0, 0), flat(255, 255, 255), flat(255, 0, 0), flat(10, 200, 90))
    assert np.ptp(maps, axis=0).max() < 1e-3  # the zeros outside are no contrast, whatever the colour
    one = maps[0]
    np.testing.assert_allclose(one, one[::-1], atol=1e-5)
    np.testing.assert_allclose(one, one[:, ::-1], atol=1e-5)
    assert one[HEIGHT // 2, WIDTH // 2] == pytest.approx(one.max(), abs=1e-5)
    assert one[0].max() < 0.01 < 0.1 < one.max() < 0.2


@pytest.mark.parametrize(
    'ground, spot',
    [((255, 255, 255), (0, 0, 0)), ((0, 0, 0), (255, 255, 255)), ((90, 90, 90), (120, 80, 70))],
)
def test_a_spot_is_salient(predict, ground, spot):
    image = flat(*ground)
    image[60:76, 176:192] = spot
    (saliency_map,) = predict(image)
    row, column = np.unravel_index(saliency_map.argmax(), saliency_map.shape)
    assert abs(row - 68) <= 16 and abs(column - 184) <= 16  # a place of the coarsest layers
    assert saliency_map.max() > 0.5 > 0.1 > np.median(saliency_map)


def test_dull_images_have_maps_too(predict):
    rng = np.random.RandomState(0)
    image = shrink(rng.randint(0, 256, (12, 16, 3)).astype('uint8'), WIDTH, HEIGHT)
    maps = predict(image, (image * 0.1 + 110).astype('uint8'))
    for saliency_map in maps:
        assert 0.4 < saliency_map.max() < 0.995  # a sigmoid that is not at its end


# --- real images ---


def test_beats_chance_on_ten_real_images(standin, reference_data, tmp_path):
    folder = reference_data / 'salicon10'
    process = script(
        '03-predict.py', folder / 'images', '--weights', standin, '--output', tmp_path, '--format', 'png'
    )
    assert process.returncode == 0, process.stderr
    fixated = fixation_maps(folder / 'fixations_train2014examples.json')
    assert len(fixated) == 10

    judd, shuffled = [], []
    for name, fixation_map in fixated.items():
        saliency_map = read_grey(tmp_path / f'{name}.png') / 255
        assert 0.5 < saliency_map.max() < 1 and saliency_map.mean() < 0.5
        others = sum(other for other_name, other in fixated.items() if other_name != name)
        judd.append(auc_judd(saliency_map, fixation_map))
        shuffled.append(auc_shuffled(saliency_map, fixation_map, others))
    print(f'AUC-Judd {np.mean(judd):.4f}, sAUC {np.mean(shuffled):.4f}')
    assert np.mean(judd) >= 0.75
    assert np.mean(shuffled) > 0.52


def fixation_maps(path):
    """Stem -> int array, 1 where fixations of all observers were recorded at least twice."""
    contents = json.loads(path.read_text())
    maps = {}
    for image in contents['images']:
        counts = np.zeros((image['height'], image['width']), int)
        for annotation in contents['annotations']:
            if annotation['image_id'] == image['id']:
                np.add.at(counts, tuple(np.array(annotation['fixations']).T - 1), 1)
        maps[Path(image['file_name']).stem] = (counts >= 2).astype(int)
    return maps
