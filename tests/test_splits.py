"""Which images train and which validate, where names do not say so; and samples without fixations."""

import importlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers import layouts
from tests.helpers.layouts import SIZE
from utils import samples
from utils.data_sets import splits
from utils.data_sets.finding import find
from utils.errors import CouldNotStart, Unreadable

prepare = importlib.import_module('01-data-preprocessing')


def write_flat(folder, count=10, fixations=True):
    """images/, maps/ and fixations/ whose names say no split."""
    for number in range(count):
        name = f'photograph_{number}'
        layouts.write_image(folder / 'images', name, layouts.photograph(number))
        for kind in ('maps', 'fixations') if fixations else ('maps',):
            (folder / kind).mkdir(exist_ok=True)
            array = layouts.fixation_map(np.array([[number, 5], [20, 9 + number]])) * 255
            array = array if kind == 'fixations' else cv2.GaussianBlur(array, (0, 0), 3)
            cv2.imwrite(str(folder / kind / f'{name}.png'), array)
    return folder


def made(output):
    return {
        split: [sample.image.filePath for sample in samples.read(output / f'{name}Data.pickle')]
        for split, name in (('train', 'train'), ('val', 'validation'), ('test', 'test'))
    }


def run(folder, output, *more):
    return prepare.main(
        ['--salicon', str(folder), '--output', str(output), '--size', '32x16', *map(str, more)]
    )


def test_a_share_is_drawn_by_the_seed_and_written_down(tmp_path):
    folder = write_flat(tmp_path / 'set')
    with pytest.raises(CouldNotStart, match='--validation-share 0.1 .* --split FILE'):
        run(folder, tmp_path / 'none')
    drawn = {}
    for seed in (0, 0, 1):
        assert run(folder, tmp_path / str(seed), '--validation-share', 0.3, '--seed', seed) == 0
        found = made(tmp_path / str(seed))
        assert [len(found[split]) for split in ('train', 'val', 'test')] == [7, 3, 0]
        assert drawn.setdefault(seed, found) == found
    assert drawn[0] != drawn[1]
    written = (tmp_path / '0' / 'split.csv').read_text().splitlines()
    assert written[0] == 'image,split' and len(written) == 11 and 'photograph_0,train' in written
    assert run(folder, tmp_path / 'again', '--split', tmp_path / '0' / 'split.csv') == 0
    assert made(tmp_path / 'again') == drawn[0]
    for share, count in ((0.001, 1), (0.999, 9)):  # at least one of either
        data_set = find(folder)
        splits.assign(data_set, share)
        assert sum(record.splits == ('val',) for record in data_set.records) == count


def test_a_split_file_of_other_columns_names_and_images(tmp_path, capsys):
    folder = write_flat(tmp_path / 'set', 4)
    (tmp_path / 's.csv').write_text(
        'Split,n,Image\ntrain,1,photograph_0.jpg\nValidation,2,some/where/photograph_1\n\nTEST,3,photograph_2\nval,4,x\n'
    )
    assert run(folder, tmp_path / 'out', '--split', tmp_path / 's.csv') == 1
    found = made(tmp_path / 'out')
    assert [found[split] for split in ('train', 'val', 'test')] == [
        [f'images/photograph_{number}.png'] for number in range(3)
    ]
    said = capsys.readouterr().err
    assert 's.csv: x: there is no such image' in said and 'photograph_3.jpg: neither its name' in said


@pytest.mark.parametrize(
    'text, message',
    [
        ('', 'no image in it'),
        ('a', 'line 1 is not an image and its split'),
        ('a,train\nb,holdout', "line 2: 'holdout' is not train, val or test"),
        ('"' + 'x' * 200_000 + '",train', 'not a CSV file'),
        ('a,"train', "'train"),
    ],
)
def test_what_is_no_split_file(tmp_path, text, message):
    (tmp_path / 's.csv').write_text(text)
    if message == "'train":
        assert splits.read(tmp_path / 's.csv') == {'a': ['train']}
        return
    with pytest.raises(Unreadable, match=f's.csv: .*{message}'):
        splits.read(tmp_path / 's.csv')


def test_options_that_exclude_each_other(tmp_path):
    folder = write_flat(tmp_path / 'set', 2)
    with pytest.raises(CouldNotStart, match='exclude each other'):
        run(folder, tmp_path / 'out', '--split', 'x.csv', '--validation-share', '.5')
    with pytest.raises(SystemExit):
        run(folder, tmp_path / 'out', '--validation-share', '1')


def test_samples_without_fixations(tmp_path):
    folder = write_flat(tmp_path / 'set', 3, fixations=False)
    with pytest.raises(CouldNotStart, match='--without-fixations, since training needs none'):
        run(folder, tmp_path / 'out')
    assert run(folder, tmp_path / 'out', '--without-fixations', '--validation-share', '.4') == 0
    (sample, _) = samples.read(tmp_path / 'out' / 'trainData.pickle')
    assert sample.fixation is None and sample.saliency.data.any() and sample.size == SIZE
    parts = ['--images', folder / 'images', '--maps', folder / 'maps', '--without-fixations']
    assert prepare.main(['--output', str(tmp_path / 'b'), *map(str, parts), '--validation-share', '.4']) == 0
    with pytest.raises(CouldNotStart, match='no folder of maps in it; name it with --maps DIR'):
        prepare.main(
            ['--output', str(tmp_path / 'b'), '--images', str(folder / 'images'), '--without-fixations']
        )
    # one image of several lacks its fixations
    folder = write_flat(tmp_path / 'other', 3)
    (folder / 'fixations' / 'photograph_1.png').unlink()
    assert run(folder, tmp_path / 'c', '--validation-share', '.4') == 1
    assert run(folder, tmp_path / 'c', '--validation-share', '.4', '--without-fixations') == 0


def test_images_with_an_orientation_are_named(tmp_path, capsys):
    folder = write_flat(tmp_path / 'set', 3)
    for number, tag in ((1, 6), (2, 3)):
        exif = Image.Exif()
        exif[274] = tag
        Image.new('RGB', SIZE[::-1]).save(folder / 'images' / f'photograph_{number}.jpg', exif=exif)
    assert run(folder, tmp_path / 'out', '--validation-share', '.4') == 1
    said = capsys.readouterr().err
    assert 'photograph_1.jpg: turned on its side by its EXIF orientation, but its fixations are of' in said
    assert (
        'images with an EXIF orientation, which is applied: 1: ' in said
        and 'photograph_2.jpg; --ignore' in said
    )
    assert run(folder, tmp_path / 'out', '--validation-share', '.4', '--ignore-orientation') == 0
    assert 'EXIF' not in capsys.readouterr().err


def test_maps_of_sixteen_bits_and_coloured_ones_in_01(tmp_path, capsys):
    folder = write_flat(tmp_path / 'set', 4)
    grey = cv2.imread(str(folder / 'maps' / 'photograph_1.png'), 0)
    whole = grey / grey.max()
    cv2.imwrite(str(folder / 'maps' / 'photograph_1.png'), np.round(whole * 1000).astype(np.uint16))
    cv2.imwrite(str(folder / 'maps' / 'photograph_2.png'), cv2.applyColorMap(grey, cv2.COLORMAP_JET))
    assert run(folder, tmp_path / 'out', '--validation-share', '.4') == 1
    assert 'photograph_2.png: a coloured picture, not a map' in capsys.readouterr().err
    shrunk = cv2.imread(str(tmp_path / 'out' / 'maps' / 'photograph_1.png'), 0)
    wanted = cv2.resize((whole * 255).astype(np.uint8), (32, 16), interpolation=cv2.INTER_AREA)
    assert len(np.unique(shrunk)) > 20 and np.abs(shrunk.astype(int) - wanted).max() <= 1
