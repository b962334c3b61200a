"""Every data set as it is handed out: recognised, read, scored, predicted and prepared."""

import importlib
import json
import os
import shutil

import cv2
import make_layouts
import numpy as np
import pytest
import scipy.io

from tests.conftest import ROOT
from utils import image_sources, samples
from utils.data_sets import finding, known, known_sets
from utils.errors import CouldNotStart, Unreadable

SEEDS = (0, 1)
prepare, evaluate = (importlib.import_module(name) for name in ('01-data-preprocessing', '04-evaluate'))


@pytest.fixture(scope='module', params=SEEDS)
def layouts(request, tmp_path_factory):
    """(folder, what make_layouts says is true); nothing is written into it."""
    folder = tmp_path_factory.mktemp('layouts')
    return folder, make_layouts.make(request.param, str(folder))


@pytest.fixture
def copied(tmp_path_factory, tmp_path):
    """A function that makes the sets in a folder of the test's own and returns the root of one."""

    def of(name):
        truth = make_layouts.make(0, str(tmp_path))
        return tmp_path / truth[name]['root'], truth[name]

    return of


def read_back(found, keep_first=False):
    """What truth.json says, read."""
    data_set = known_sets.read(found, keep_first)
    images = {}
    for record in data_set.records:
        fixations = data_set.fixations(record)
        counted = {}
        for point in map(tuple, fixations.points.tolist()):
            counted[point] = counted.get(point, 0) + 1
        held = [[*point, count] for point, count in sorted(counted.items())]
        images[record.stem] = {'size': list(fixations.size), 'fixations': held}
    return images, data_set


def test_fixations_are_read_to_the_last_whatever_is_named(layouts):
    folder, truth = layouts
    for name, held in truth.items():
        for path in held['try']:
            found = known.recognise(folder / path)
            images, data_set = read_back(found)
            assert images == held['truth'], (name, path)
            assert data_set.facts.repeats == held['repeats'], name
            if 'truth_all' in held:
                assert read_back(found, keep_first=True)[0] == held['truth_all']
            assert any('fixations of' in note for note in data_set.notes)


def test_nss_by_the_command_with_and_without_multiplicity(layouts, tmp_path):
    folder, truth = layouts
    random = np.random.RandomState(3)
    for name, held in truth.items():
        if not held['truth']:
            continue
        maps = {stem: random.random_sample(image['size']) for stem, image in held['truth'].items()}
        for stem, array in maps.items():
            path = tmp_path / name / f'{stem}.npy'
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array)
        for protocol, deviation, counts in (('mit', 1, False), ('salicon', 0, True), ('tuebingen', 0, True)):
            output = tmp_path / f'{name}.json'
            arguments = [
                '--maps',
                tmp_path / name,
                '--fixations',
                folder / held['try'][0],
                '--metrics',
                'NSS',
            ]
            arguments += ['--protocol', protocol, '--output', output]
            assert evaluate.main([str(argument) for argument in arguments]) == 0
            written = json.loads(output.read_text())
            scores = written['images']
            assert ('repeated fixations' in written['settings']) != held['repeats']
            for stem, image in held['truth'].items():
                if not image['fixations']:
                    assert scores[stem]['NSS'] is None
                    continue
                rows, columns, times = np.array(image['fixations']).T
                times = times if counts else np.ones_like(times)
                standard = (maps[stem] - maps[stem].mean()) / maps[stem].std(ddof=deviation)
                expected = (standard[rows, columns] * times).sum() / times.sum()
                assert scores[stem]['NSS'] == pytest.approx(expected, abs=1e-9), (name, stem)


def test_the_images_of_a_set_are_predicted_and_nothing_else(layouts):
    folder, truth = layouts
    for name, held in truth.items():
        sources, no_images = image_sources.find([str(folder / held['root'])])
        assert [source.name for source in sources] == sorted(held.get('expected') or held['truth']), name
        assert not no_images
    whole, _ = image_sources.find([str(folder / 'CAT2000')])
    halves = truth['CAT2000']['expected'] + truth['CAT2000-test']['expected']
    assert [source.name for source in whole] == sorted(halves)


def test_maps_of_both_halves_of_cat2000_need_no_allow_missing(layouts, tmp_path, capsys):
    folder, truth = layouts
    for stem in truth['CAT2000']['expected'] + truth['CAT2000-test']['expected']:
        path = tmp_path / f'{stem}.png'
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.eye(54, 96) * 255)
    arguments = ['--maps', str(tmp_path), '--fixations', str(folder / 'CAT2000'), '--metrics', 'NSS,CC']
    assert evaluate.main(arguments) == 0
    assert 'CAT2000, fixations of 6 of 2000 images; blur 40 pixels' in capsys.readouterr().err


def test_the_blur_of_a_set_and_its_own_maps_as_ground_truth(layouts, tmp_path):
    from utils.evaluation import ground_truth

    folder, _ = layouts
    truth = ground_truth.read(str(folder / 'MIT1003'))
    assert (truth.set, truth.sigma, truth.multiplicity) == ('MIT1003', 23.99, False)
    stem = 'i1000978947'
    assert truth.image_path(stem).endswith('ALLSTIMULI/i1000978947.jpeg')
    made = truth.blurred(stem)
    truth.sigma = 3
    truth.blurred.cache_clear()
    assert not np.array_equal(made, truth.blurred(stem))
    for given in ('MIT1003', 'MIT1003/ALLFIXATIONMAPS'):
        truth.blur_from(str(folder / given))
        handed_out = cv2.imread(str(folder / f'MIT1003/ALLFIXATIONMAPS/{stem}_fixMap.jpg'), 0)
        assert np.array_equal(truth.blurred(stem), handed_out)
    truth = ground_truth.read(str(folder / 'SUFFIX'))
    truth.blur_from(str(folder / 'SUFFIX' / 'maps'))
    assert truth.blurred('fixPts_demo').shape == (60, 80)
    assert ground_truth.read(str(folder / 'OSIE')).multiplicity


def test_01_makes_samples_of_each(layouts, tmp_path, capsys):
    folder, truth = layouts
    for name, held in truth.items():
        if not held['truth']:
            continue
        output = tmp_path / name
        arguments = ['--data-set', str(folder / held['root']), '--output', str(output), '--size', '32x16']
        if name not in ('COCO-Freeview', 'TranSalNet bmp'):  # the others say no split
            with pytest.raises(CouldNotStart, match='--validation-share'):
                prepare.main(arguments)
        status = prepare.main([*arguments, '--validation-share', '0.4', '--seed', '2'])
        empty = [stem for stem, image in held['truth'].items() if not image['fixations']]
        assert status == (1 if empty else 0)
        made = {
            sample.image.filePath[len('images/') : -len('.png')]: sample
            for split in ('train', 'validation')
            for sample in samples.read(output / f'{split}Data.pickle')
        }
        assert sorted(made) == sorted(held['truth'].keys() - set(empty)), name
        for stem, sample in made.items():
            places = [point[:2] for point in held['truth'][stem]['fixations'] for _ in range(point[2])]
            assert np.stack(sample.fixation.data, axis=1).tolist() == places
            assert sample.saliency.data.any() and sample.size == tuple(held['truth'][stem]['size'])
        # the split that was written makes the same again
        again = tmp_path / f'{name} again'
        arguments[3] = str(again)
        assert prepare.main([*arguments, '--split', str(output / 'split.csv')]) == status
        for pickle in ('trainData.pickle', 'validationData.pickle'):
            assert (again / pickle).read_bytes() == (output / pickle).read_bytes()


def test_coco_freeview_has_a_split_of_its_own(layouts):
    folder, _ = layouts
    data_set = finding.find(folder / 'COCO-Freeview')
    assert {record.splits for record in data_set.records} == {('train',), ('val',)}


def test_the_table_names_every_set_and_a_command(capsys):
    assert evaluate.main(['--list-data-sets']) == 0
    printed = capsys.readouterr().out
    page = (ROOT / 'docs' / 'data-sets.md').read_text()
    for facts in known.SETS:
        assert facts.name in printed and facts.name in page
        assert not facts.sigma or f'| {facts.sigma:g} px |' in page
    assert '23.99 px' in printed and '--fixations' in printed


# --- sets with half of their files, and files of another kind ---


def test_a_set_with_half_of_its_files(copied):
    root, held = copied('CAT2000')
    for path in (root / 'FIXATIONLOCS').rglob('001.mat'):
        path.unlink()
    shutil.rmtree(root / 'Stimuli' / 'Affective')
    images, data_set = read_back(known.recognise(root))
    assert sorted(images) == ['Action/002', 'Affective/002', 'LineDrawing/002']
    assert [record.image is None for record in data_set.records] == [False, True, False]
    assert any('fixations without their image: 1' in note for note in data_set.notes)
    assert data_set.others == ['Action/001', 'LineDrawing/001']


@pytest.mark.parametrize(
    'name, lost, message',
    [
        ('MIT1003', 'ALLFIXATIONMAPS', 'MIT1003, whose fixations are missing: ALLFIXATIONMAPS'),
        ('TORONTO', 'eyetrackingdata/fixdens/origfixdata.mat', 'TORONTO, whose fixations are missing'),
        ('MIT300', 'nothing', 'MIT300, whose fixations are private'),
        ('CAT2000-test', 'nothing', 'CAT2000, whose fixations are missing'),
    ],
)
def test_a_set_without_its_fixations(copied, name, lost, message):
    root, _ = copied(name)
    if (root / lost).is_dir():
        shutil.rmtree(root / lost)
    elif (root / lost).exists():
        (root / lost).unlink()
    with pytest.raises(CouldNotStart, match=message):
        finding.find(fixations=str(root))


@pytest.mark.parametrize('name', ['OSIE', 'PASCAL-S'])
def test_a_set_without_its_images(copied, name):
    root, held = copied(name)
    for folder in ('data/stimuli', 'datasets/imgs'):
        shutil.rmtree(root / folder, ignore_errors=True)
    images, _ = read_back(known.recognise(root))
    assert images.keys() == held['truth'].keys()
    if name == 'PASCAL-S':  # its sizes are in a file of their own
        assert images == held['truth']
        (root / 'datasets/fixations/pascalSize.mat').unlink()
        with pytest.raises(Unreadable, match='its size is not known'):
            read_back(known.recognise(root))


@pytest.mark.parametrize(
    'name, file, variables, message',
    [
        (
            'TORONTO',
            'eyetrackingdata/fixdens/origfixdata.mat',
            {'black': 1},
            'white is not a cell array; it holds',
        ),
        (
            'TORONTO',
            'eyetrackingdata/fixdens/origfixdata.mat',
            {'white': 'words'},
            'white is not a cell array',
        ),
        ('OSIE', 'data/eye/fixations.mat', {'fixations': np.eye(3)}, 'fixations is not a cell array'),
        (
            'OSIE',
            'data/eye/fixations.mat',
            {'fixations': np.array([['a', 'b']], object)},
            'entry 1 of fixations',
        ),
    ],
)
def test_a_file_of_a_set_that_holds_something_else(copied, name, file, variables, message):
    root, _ = copied(name)
    scipy.io.savemat(root / file, variables)
    with pytest.raises(Unreadable, match=message):
        finding.find(fixations=str(root))


@pytest.mark.parametrize(
    's, message',
    [
        (np.array([[80, 60, 0], [5, 6, 1]]), None),
        (np.array([[80, 60, 1]]), 'not have exactly one row of subject 0'),
        (np.array([[80, 60, 0], [80, 60, 0]]), 'not have exactly one row of subject 0'),
        (np.array([[1e300, 60, 0]]), 'states a size'),
        (np.array([[np.nan, 60, 0]]), 'states a size'),
        (np.eye(4), 'not N x 3'),
        ('words', 'something else'),
    ],
)
def test_lists_of_dut_omron(copied, s, message):
    root, _ = copied('DUT-OMRON')
    path = root / 'DUT-OMRON-eye-fixations/mat/im005.mat'
    scipy.io.savemat(path, {'s': s})
    data_set = finding.find(fixations=str(root))
    (record,) = [each for each in data_set.records if each.stem == 'im005']
    if message is None:
        assert data_set.fixations(record).points.tolist() == [[6, 5]]
        return
    with pytest.raises(Unreadable, match=f'im005.mat: .*{message}.*it holds s'):
        data_set.fixations(record)


def test_files_of_the_mac_are_no_fixations(copied):
    root, held = copied('DUT-OMRON')
    (root / 'DUT-OMRON-eye-fixations/mat/._im005.mat').write_bytes(b'Mac OS X')
    assert read_back(known.recognise(root))[0] == held['truth']


def test_two_sets_in_one_folder_are_not_guessed(copied, tmp_path):
    copied('OSIE')
    with pytest.raises(CouldNotStart, match='several data sets in it, .*; name one of them'):
        finding.find(fixations=str(tmp_path))
    sources, no_images = image_sources.find([str(tmp_path)])  # a folder like any other
    assert len(sources) > 100 and no_images


def test_an_unknown_mat_is_described(tmp_path):
    scipy.io.savemat(tmp_path / 'x.mat', {'gazes': np.eye(3), 'names': 'a', 's2': {'a': 1}})
    (tmp_path / 'folder').mkdir()
    shutil.copy(tmp_path / 'x.mat', tmp_path / 'folder')
    for path in (tmp_path / 'x.mat', tmp_path / 'folder'):
        with pytest.raises(CouldNotStart, match='holds gazes .float64 3 x 3., names .text., s2 .struct'):
            finding.find(fixations=str(path))


def test_a_photograph_among_sets_is_not_lost(tmp_path):
    """A folder of photographs is walked as ever, whatever its folders are called."""
    for name in ('stimuli/a.png', 'maps/b.png', 'images/c.png'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((8, 8, 3)))
    sources, _ = image_sources.find([str(tmp_path)])
    assert [source.name for source in sources] == ['images/c', 'maps/b', 'stimuli/a']


def test_a_wrong_orientation_is_ignored_in_cat2000_alone(copied):
    from PIL import Image

    root, _ = copied('CAT2000')
    exif = Image.Exif()
    exif[274] = 6
    for path in (root / 'Stimuli/Action/001.jpg', root.parent / 'photograph.jpg'):
        Image.new('RGB', (96, 54)).save(path, exif=exif)
    sources, _ = image_sources.find([str(root)])
    assert sources[0].name == 'Action/001' and sources[0].read()[1] == (54, 96)
    photograph = [str(root.parent / 'photograph.jpg')]
    for ignore, size in ((False, (96, 54)), (True, (54, 96))):
        ((source,), _) = image_sources.find(photograph, ignore_orientation=ignore)
        assert source.read()[1] == size
    output = root.parent / 'out'
    arguments = ['--data-set', str(root), '--output', str(output), '--validation-share', '.2']
    assert prepare.main(arguments) == 1  # one image has no fixations
    made = [s for split in ('train', 'validation') for s in samples.read(output / f'{split}Data.pickle')]
    assert {sample.size for sample in made} == {(54, 96)} and len(made) == 5


def test_a_set_on_a_relative_path(copied, monkeypatch):
    root, held = copied('FIWI')
    for at, path in ((root, '.'), (root, 'all5'), (root / 'all5', '.'), (root.parent, 'FIWI/')):
        monkeypatch.chdir(at)
        assert read_back(known.recognise(path))[0] == held['truth'], (at, path)
    assert os.path.isdir('FIWI')


def test_images_with_an_orientation_are_named_where_fixations_are_of_the_stored_raster(copied):
    from PIL import Image

    root, held = copied('DUT-OMRON')
    exif = Image.Exif()
    exif[274] = 8
    Image.new('RGB', (80, 60)).save(root / 'DUT-OMRON-image/im005.jpg', exif=exif)
    images, data_set = read_back(known.recognise(root))
    assert images == held['truth']
    assert any('EXIF turns 1 image,' in note and 'im005' in note for note in data_set.notes)


def test_a_blurred_map_in_a_cell_of_toronto(copied):
    root, _ = copied('TORONTO')
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.eye(51, 68), cv2.GaussianBlur(np.eye(51, 68), (0, 0), 2)
    scipy.io.savemat(root / 'eyetrackingdata/fixdens/origfixdata.mat', {'white': cells})
    data_set = finding.find(fixations=str(root))
    assert len(data_set.fixations(data_set.records[0]).points) == 51
    with pytest.raises(Unreadable, match='origfixdata.mat: image 2: its pixels form blobs'):
        data_set.fixations(data_set.records[1])


def test_the_self_check_holds_other_sets_to_no_number_of_salicon(layouts, capsys):
    folder, _ = layouts
    evaluate.main(['--self-check', '--fixations', str(folder / 'MIT1003')])
    printed = capsys.readouterr().out
    assert 'AUC-Judd of ground truth itself' in printed
    assert '2.589' not in printed and 'all of SALICON' not in printed


def test_an_image_of_several_tasks_is_taken_once(copied):
    root, held = copied('COCO-Freeview')
    first = sorted(held['truth'])[0]
    (root / 'images' / 'zebra').mkdir()
    shutil.copy(root / 'images' / f'{first}.jpg', root / 'images' / 'zebra')
    assert read_back(known.recognise(root))[0] == held['truth']
    sources, _ = image_sources.find([str(root)])
    assert [source.name for source in sources] == sorted(held['truth'])
