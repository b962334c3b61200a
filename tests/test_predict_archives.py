"""From images to a submission: densities, archives, and whose maps are kept; 03 as a user runs it."""

import importlib
import json
import zipfile

import cv2
import h5py
import numpy as np
import pytest
from scipy.special import logsumexp

from utils.command_line import DONE, SKIPPED
from utils.errors import CouldNotStart
from utils.saliency_maps import log_density

NAMES = ('Action/101.png', 'Action/102.png', 'Pattern/101.png')
SIZES = {name: (40 + 7 * number, 52) for number, name in enumerate(NAMES)}


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    for number, name in enumerate(NAMES):
        path = folder / 'Stimuli' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.random.RandomState(number).randint(0, 256, (*SIZES[name], 3), np.uint8))
    return folder


@pytest.fixture
def predict(images, tmp_path, seeded_weights, capsys):
    """Runs 03 in this process on the images; returns its status and what it said."""

    def run(*arguments, weights=seeded_weights, output=tmp_path / 'maps'):
        options = ['--weights', weights, '--output', output, '--size', '32x32', *arguments]
        status = importlib.import_module('03-predict').main([str(images), *map(str, options)])
        return status, capsys.readouterr().err

    return run


def test_densities_in_an_archive_resumed_and_packed_again(predict, tmp_path):
    archive, maps = tmp_path / 'new' / 'maps.hdf5', tmp_path / 'maps'
    status, said = predict('--format', 'density', '--archive', archive)
    assert status == DONE and 'log((map + 0.001) / sum)' in said and '3 of 3 maps in' in said
    with h5py.File(archive) as found:
        for name in NAMES:
            density = found[name][()]
            assert density.dtype == np.float32 and density.shape == SIZES[name]
            assert abs(logsumexp(density.astype(float))) < 1e-5
            assert np.array_equal(density, np.load((maps / 'Stimuli' / name).with_suffix('.npy')))
    record = json.loads((maps / 'maps.json').read_text())
    assert record['settings'] == {
        'size': '32x32',
        'ignore orientation': False,
        'npy': 'log((map + 0.001) / sum)',
    }
    assert len(record['weights_sha256']) == 64 and 'cpu, float' in record['code_path']

    # one map lost: it alone is made again, and the archive is the same
    before = archive.read_bytes()
    lost = maps / 'Stimuli' / 'Action' / '102.npy'
    data = lost.read_bytes()
    lost.unlink()
    archive.unlink()
    status, said = predict('--format', 'density', '--archive', archive, '--skip-existing')
    assert status == DONE and '1 of 1 image predicted' in said
    assert lost.read_bytes() == data and archive.read_bytes() == before

    # all there: only packed, whatever has become of the weights
    packed = tmp_path / 'maps.zip'
    more = ('--format', 'density', '--archive', packed, '--skip-existing')
    status, said = predict(*more, weights=tmp_path / 'gone.npz')
    assert status == DONE and 'maps exist of 3 of 3 images' in said
    with zipfile.ZipFile(packed) as found:
        assert found.namelist() == [name.replace('.png', '.npy') for name in NAMES]
        assert json.loads(found.comment) == record


def test_maps_of_other_weights_or_settings_are_not_mixed(predict, tmp_path):
    assert predict('--format', 'png')[0] == DONE
    with pytest.raises(CouldNotStart, match='size 32x32 there, 48x32 now.*--force'):
        predict('--format', 'png', '--skip-existing', '--size', '48x32')
    assert predict('--format', 'png,npy', '--skip-existing')[0] == DONE, 'another format is no other setting'
    with pytest.raises(CouldNotStart, match='npy map there'):
        predict('--format', 'density', '--skip-existing')
    assert predict('--format', 'jpg', '--skip-existing', '--size', '48x32', '--force')[0] == DONE
    assert len(json.loads((tmp_path / 'maps' / 'maps.json').read_text())['earlier']) == 1


def test_an_image_that_is_skipped_is_not_in_the_archive(predict, images, tmp_path):
    broken = images / 'Stimuli' / 'Action' / '103.png'
    broken.write_bytes((images / 'Stimuli' / NAMES[0]).read_bytes()[:100])
    try:
        status, said = predict('--format', 'png', '--archive', tmp_path / 'maps.hdf5')
    finally:
        broken.unlink()
    assert status == SKIPPED and '3 of 4 maps in' in said and '103.png' in said
    with h5py.File(tmp_path / 'maps.hdf5') as found:
        assert sorted(found['Action']) == ['101.png', '102.png'] and found[NAMES[0]].dtype == np.uint8


@pytest.mark.parametrize(
    'arguments, said',
    [
        (['--format', 'png,jpg', '--archive', 'm.zip'], 'one --format'),
        (['--format', 'overlay', '--archive', 'm.zip'], 'one --format'),
        (['--archive', 'm.rar'], 'must end in'),
    ],
)
def test_what_no_archive_can_be_made_of(predict, tmp_path, arguments, said):
    with pytest.raises(CouldNotStart, match=said):
        predict(*arguments)
    assert not (tmp_path / 'maps').exists()


def test_somebody_elses_archive_is_not_replaced(predict, tmp_path):
    with zipfile.ZipFile(tmp_path / 'data.zip', 'w') as archive:
        archive.writestr('precious.txt', 'data')
        archive.comment = b'of 2019'
    with pytest.raises(CouldNotStart, match='was not written by this program'):
        predict('--archive', tmp_path / 'data.zip')
    assert predict('--format', 'png', '--archive', tmp_path / 'data.zip', '--force')[0] == DONE


def test_npy_and_density_have_one_name(predict, capsys):
    with pytest.raises(SystemExit):
        predict('--format', 'npy,density')
    assert 'write one of them' in capsys.readouterr().err


def test_a_density_is_of_the_map_that_npy_holds(predict, tmp_path):
    assert predict('--format', 'npy', output=tmp_path / 'npy')[0] == DONE
    assert predict('--format', 'density')[0] == DONE
    for name in NAMES:
        plain, density = (
            np.load((tmp_path / folder / 'Stimuli' / name).with_suffix('.npy')) for folder in ('npy', 'maps')
        )
        np.testing.assert_allclose(density, log_density(plain, *SIZES[name]), rtol=1e-5)
