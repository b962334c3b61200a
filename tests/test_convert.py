"""weights/convert.py: PyTorch and ONNX compute our maps from what it writes, and PyTorch's come back."""

import importlib
import os

import inputs
import numpy as np
import pytest

from tests.conftest import script
from utils import weights
from weights import convert

SIZES = ((32, 48), (64, 48))


@pytest.fixture(scope='module')
def npz(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'generator.npz'
    weights.save(path, inputs.generator_arrays(7))
    return path


@pytest.fixture(scope='module')
def maps():
    """Ours, by size: (images, maps)."""
    from models.prediction import Predictor

    found = {}
    for width, height in SIZES:
        images, _ = inputs.batch(4, 2, width, height)
        predictor = Predictor(inputs.generator_arrays(7), width, height)
        found[width, height] = images, predictor(images.transpose(0, 2, 3, 1).astype(np.uint8))
    return found


def converted(*arguments, **environment):
    return script('weights/convert.py', *arguments, **environment)


def installed(name):
    """That module, which `make test-converters` has installed."""
    if not os.environ.get('SALGAN_TEST_CONVERTERS'):
        pytest.skip('in an environment of its own: make test-converters')
    return importlib.import_module(name)


def test_only_the_decoders_filters_are_turned_round():
    arrays = inputs.generator_arrays(7)
    turned = weights.flipped(arrays)
    for i, (before, after) in enumerate(zip(arrays, turned)):
        same = np.array_equal(before, after)
        assert same == (i < 26 or before.ndim == 1 or before.shape[2] == 1)
    for before, after in zip(arrays, weights.flipped(turned)):
        np.testing.assert_array_equal(before, after)


def test_pytorch_computes_our_maps(npz, maps, tmp_path):
    torch = installed('torch')
    from weights.torch_generator import Generator

    result = converted(npz, '--to', 'torch', '--output', tmp_path / 'generator.pt')
    assert result.returncode == 0, result.stderr
    generator = Generator().eval()
    generator.load_state_dict(torch.load(tmp_path / 'generator.pt', weights_only=True))
    for images, ours in maps.values():
        with torch.inference_mode():
            theirs = generator(torch.from_numpy(images)).numpy()[:, 0]
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


def test_onnxruntime_computes_our_maps(npz, maps, tmp_path):
    installed('onnx')
    onnxruntime = installed('onnxruntime')
    result = converted(npz, '--to', 'onnx', '--output', tmp_path / 'generator.onnx')
    assert result.returncode == 0, result.stderr
    session = onnxruntime.InferenceSession(
        str(tmp_path / 'generator.onnx'), providers=['CPUExecutionProvider']
    )
    for images, ours in maps.values():
        (theirs,) = session.run(None, {'images': images})
        np.testing.assert_allclose(theirs[:, 0], ours, rtol=0, atol=1e-5)


def test_there_and_back_gives_the_same_file(npz, tmp_path):
    installed('torch')
    assert converted(npz, '--output', tmp_path / 'a.pt').returncode == 0
    assert converted(tmp_path / 'a.pt', '--to', 'npz', '--output', tmp_path / 'b.npz').returncode == 0
    assert (tmp_path / 'b.npz').read_bytes() == npz.read_bytes()


def test_without_pytorch_it_says_what_to_do(npz, tmp_path):
    (tmp_path / 'modules').mkdir()
    (tmp_path / 'modules' / 'torch.py').write_text('raise ImportError("No module named torch")')
    result = converted(npz, '--output', tmp_path / 'a.pt', PYTHONPATH=str(tmp_path / 'modules'))
    assert result.returncode == 2 and 'pip install' in result.stderr and 'Traceback' not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['modules']


def test_a_file_that_is_no_generator(tmp_path):
    path = tmp_path / 'broken.npz'
    path.write_bytes(b'PK\3\4 and no more')
    result = converted(path, '--output', tmp_path / 'a.pt')
    assert result.returncode == 2 and str(path) in result.stderr and 'Traceback' not in result.stderr
    result = converted(tmp_path / 'nothing.pt', '--to', 'npz', '--output', tmp_path / 'a.npz')
    assert result.returncode == 2 and 'nothing.pt' in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ['broken.npz']


def test_the_weights_are_not_written_over(npz, tmp_path):
    before = npz.read_bytes()
    result = converted(npz, '--to', 'npz', '--output', npz)
    assert result.returncode == 2 and 'replace' in result.stderr
    assert npz.read_bytes() == before


@pytest.mark.parametrize('damage', ['shape', 'name', 'nan', 'truncated', 'pickle', 'integers'])
def test_what_comes_from_pytorch_is_checked(npz, tmp_path, damage):
    torch = installed('torch')
    path = tmp_path / 'a.pt'
    convert.write_torch(path, weights.flipped(weights.read_generator(npz)))
    state = torch.load(path, weights_only=True)
    if damage == 'shape':
        state['conv3_2.weight'] = torch.zeros(2, 3)
    elif damage == 'name':
        del state['conv3_2.weight']
    elif damage == 'nan':
        state['conv3_2.weight'][0, 0, 0, 0] = float('nan')
    elif damage == 'integers':
        state['conv3_2.bias'] = state['conv3_2.bias'].int()
    elif damage == 'pickle':
        state['conv3_2.weight'] = pytest.approx(1)  # of a class that is not PyTorch's
    torch.save(state, path)
    if damage == 'truncated':
        path.write_bytes(path.read_bytes()[:1000000])
    result = converted(path, '--to', 'npz', '--output', tmp_path / 'b.npz')
    assert result.returncode == 2 and str(path) in result.stderr and 'Traceback' not in result.stderr
    assert not (tmp_path / 'b.npz').exists()


def write_folder(folder, arrays):
    folder.mkdir()
    for i, array in enumerate(arrays):
        np.save(folder / f'arr_{i}.npy', array)
    return folder


def test_a_folder_of_arrays_becomes_the_released_file(npz, tmp_path):
    folder = write_folder(tmp_path / 'arrays', weights.read_generator(npz))
    result = converted(folder, '--to', 'npz', '--output', tmp_path / 'b.npz')
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'b.npz').read_bytes() == npz.read_bytes()


def test_a_folder_of_other_arrays_is_refused(npz, tmp_path):
    arrays = weights.read_generator(npz)
    folder = write_folder(tmp_path / 'arrays', arrays)
    damages = {
        'missing': lambda path: path.unlink(),
        'cut': lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        'text': lambda path: path.write_text('no array'),
        'shape': lambda path: np.save(path, arrays[2]),
        'nan': lambda path: np.save(path, arrays[12] * np.nan),
        'integers': lambda path: np.save(path, arrays[12].astype(int)),
        'objects': lambda path: np.save(path, np.array([{}], object), allow_pickle=True),
        'huge': lambda path: path.write_bytes(
            path.read_bytes().replace(b'(256, 256, 3, 3), }    ', b'(256, 2560000, 3, 3), }')
        ),
    }
    for damage, apply in damages.items():
        apply(folder / 'arr_12.npy')
        result = converted(folder, '--to', 'npz', '--output', tmp_path / 'b.npz')
        assert result.returncode == 2, damage
        assert 'arr_12' in result.stderr and 'Traceback' not in result.stderr, damage
        np.save(folder / 'arr_12.npy', arrays[12])
    assert not (tmp_path / 'b.npz').exists()


@pytest.mark.parametrize('form', ['names of another port', 'module.', 'state_dict', 'as released'])
def test_the_forms_in_which_pytorch_files_are_passed_on(npz, tmp_path, form):
    torch = installed('torch')
    released = weights.read_generator(npz)
    arrays = released if form == 'as released' else weights.flipped(released)
    names = convert.torch_names()
    if form == 'names of another port':
        names = [f'net.{i // 2}.{("weight", "bias")[i % 2]}' for i in range(54)]
    elif form == 'module.':
        names = [f'module.{name}' for name in names]
    state = {name: torch.from_numpy(array) for name, array in zip(names, arrays)}
    path = tmp_path / 'port.pt'
    torch.save({'state_dict': state, 'epoch': 90} if form == 'state_dict' else state, path)
    options = ['--as-released'] if form == 'as released' else []
    result = converted(path, '--to', 'npz', '--output', tmp_path / 'b.npz', *options)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'b.npz').read_bytes() == npz.read_bytes()


def test_the_predictor_of_one_file_makes_our_maps(npz, tmp_path):
    """examples/predict_onnx.py beside 03-predict.py: the same names, the maps within one grey level."""
    installed('onnx')
    import cv2

    from models.prediction import Predictor
    from tests.helpers.layouts import photograph
    from utils.images import shrink
    from utils.saliency_maps import finish

    assert converted(npz, '--to', 'onnx', '--output', tmp_path / 'generator.onnx').returncode == 0
    (tmp_path / 'images' / 'below').mkdir(parents=True)
    image = photograph(5, (120, 150))
    cv2.imwrite(str(tmp_path / 'images' / 'below' / 'a.png'), image[..., ::-1])
    (tmp_path / 'images' / 'broken.jpg').write_bytes(b'no image')
    result = script('examples/predict_onnx.py', 'generator.onnx', 'images', cwd=tmp_path)
    assert result.returncode == 1 and 'broken.jpg' in result.stderr, result.stderr
    (predicted,) = Predictor(weights.read_generator(npz))(shrink(image, 256, 192)[None])
    cv2.imwrite(str(tmp_path / 'ours.jpg'), finish(predicted, 120, 150))
    found, ours = (
        cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED).astype(int)
        for name in ('saliency/below/a.jpg', 'ours.jpg')
    )
    assert np.abs(found - ours).max() <= 2  # one grey level, before two JPEGs
