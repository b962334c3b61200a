"""01-data-preprocessing.py as a user runs it: the record, the three layouts, bad data, interruptions."""

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256

import cv2
import numpy as np
import pytest
import scipy.io

from tests.conftest import GOLDEN, ROOT, script
from tests.helpers import layouts
from tests.helpers.layouts import SIZE, tree
from utils import samples
from utils.data_sets import preprocessing, readers, salicon
from utils.data_sets.data_set import blurred_map
from utils.images import to_uint8
from utils.samples import InputType

RECORDS = GOLDEN / 'network' / 'preprocess'
NAMES = {'train': 'trainData.pickle', 'val': 'validationData.pickle', 'test': 'testData.pickle'}


def run(*arguments, status=0, **keywords):
    process = script('01-data-preprocessing.py', *arguments, **keywords)
    assert process.returncode == status, process.stderr
    assert 'Traceback' not in process.stderr and not process.stdout
    return process.stderr


def read(output):
    return {split: samples.read(output / name) for split, name in NAMES.items()}


# --- the record ---


@pytest.mark.parametrize('flags', [[], ['--stream'], ['--workers', '1']])
def test_the_recorded_set(tmp_path, flags):
    message = run('--salicon', RECORDS / 'input', '--output', tmp_path / 'data', *flags)
    assert 'layout: 2015 .mat, edition 2015' in message
    record = json.loads((RECORDS / 'preprocess.json').read_text())
    for name, expected in record['decoded'].items():
        if name.startswith('output/'):
            path = tmp_path / 'data' / name[7:].replace('saliency/', 'maps/')
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            colours = image.ndim == 3
            pixels = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if colours else image
            assert (
                sha256(pixels.tobytes()).hexdigest() == expected['rgb_sha256' if colours else 'gray_sha256']
            )
    made = read(tmp_path / 'data')
    for split, key in (('train', 'trainData'), ('val', 'validationData')):
        original = samples.read(RECORDS / f'{key}.pickle')
        expected = record[key]['samples']
        assert len(made[split]) == len(expected)
        for ours, theirs, facts in zip(made[split], original, expected):
            np.testing.assert_array_equal(ours.image.data, theirs.image.data)
            np.testing.assert_array_equal(ours.saliency.data, theirs.saliency.data)
            for axis, recorded in zip(
                ours.fixation.data, (facts['fixation']['rows'], facts['fixation']['columns'])
            ):
                assert axis.tolist() == recorded and axis.dtype == np.int64 and axis.flags.c_contiguous
            for part in ('image', 'saliency', 'fixation'):
                a, b = getattr(ours, part), getattr(theirs, part)
                assert (a.state, a.imageType) == (b.state, b.imageType)
                assert os.path.basename(a.filePath) == os.path.basename(b.filePath)
            assert ours.size == (480, 640)
    (test,) = made['test']
    assert test.saliency is None and test.fixation is None and test.size == (480, 640)
    assert (
        sha256(test.image.data).hexdigest()
        == (record['decoded']['output/images/COCO_test2014_000000000027.png']['rgb_sha256'])
    )
    assert (tmp_path / 'data' / test.image.filePath).is_file()
    if '--stream' not in flags:
        assert isinstance(pickle.loads((tmp_path / 'data' / NAMES['train']).read_bytes()), list)


# --- the layouts ---


def test_ten_real_images_in_each_layout(tmp_path, reference_data):
    source = salicon.find(reference_data / 'salicon10')
    raw = salicon.find(reference_data / 'salicon10', fixation_filter='none')
    for layout in ('mat', 'gaze'):
        shutil.copytree(reference_data / 'salicon10' / 'images', tmp_path / layout / 'images')
    for record in source.records:
        points = source.fixations(record).points
        location = raw.fixations(record).points
        blurred = blurred_map(points, (480, 640))
        layouts.write_mat_2015(tmp_path / 'mat', record.stem, blurred, points, (480, 640))
        seen = [
            {'location': location[i::3], 'fixations': np.random.default_rng(0).permutation(points[i::3])}
            for i in range(3)
        ]
        layouts.write_gaze(tmp_path / 'gaze', record.stem, to_uint8(blurred), seen, (480, 640))
    folders = {'json': reference_data / 'salicon10', 'mat': tmp_path / 'mat', 'gaze': tmp_path / 'gaze'}
    made = {}
    for name, folder in {**folders, 'mouse': tmp_path / 'gaze'}.items():
        flags = ['--fixation-type', 'mouse'] if name == 'mouse' else []
        message = run('--salicon', folder, '--output', tmp_path / 'out' / name, *flags)
        filtered = 'duplicates' if name in ('json', 'mouse') else 'none'
        assert f'fixation filter: {filtered}' in message
        made[name] = read(tmp_path / 'out' / name)['train']
        for kind in ('images', 'maps'):
            for path in (tmp_path / 'out' / 'json' / kind).iterdir():
                other = tmp_path / 'out' / name / kind / path.name
                np.testing.assert_array_equal(cv2.imread(str(path), -1), cv2.imread(str(other), -1))
    assert all(len(every) == 10 for every in made.values())
    for json_, mat, gaze, mouse in zip(*made.values()):
        for other in (mat, gaze, mouse):
            np.testing.assert_array_equal(json_.image.data, other.image.data)
            np.testing.assert_array_equal(json_.saliency.data, other.saliency.data)
            assert json_.size == other.size
        for other in (gaze, mouse):
            np.testing.assert_array_equal(json_.fixation.data, other.fixation.data)
        # a binary map holds each location once
        np.testing.assert_array_equal(np.unique(np.stack(json_.fixation.data), axis=1), mat.fixation.data)


def test_the_maps_of_the_json_layout(tmp_path, reference_data):
    from scipy.ndimage import gaussian_filter

    run('--salicon', reference_data / 'salicon10', '--output', tmp_path)
    held = json.loads((reference_data / 'salicon10' / 'fixations_train2014examples.json').read_text())
    image = held['images'][3]
    points = sorted(
        tuple(p) for a in held['annotations'] if a['image_id'] == image['id'] for p in a['fixations']
    )
    kept = [p for i, p in enumerate(points) if i and points[i - 1] == p]
    binary = np.zeros((480, 640))
    for row, column in kept:
        binary[row - 1, column - 1] = 1
    blurred = gaussian_filter(binary, 19)
    blurred = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    expected = cv2.resize((blurred * 255).astype(np.uint8), (256, 192), interpolation=cv2.INTER_AREA)
    path = tmp_path / 'maps' / image['file_name'].replace('.jpg', '.png')
    np.testing.assert_array_equal(cv2.imread(str(path), -1), expected)
    (sample,) = [s for s in read(tmp_path)['train'] if image['file_name'][:-4] in s.image.filePath]
    assert [*zip(*(axis.tolist() for axis in sample.fixation.data))] == [(r - 1, c - 1) for r, c in kept]


def test_splits_sizes_and_structure(tmp_path):
    folder = layouts.write_gaze_set(tmp_path / 'salicon', {'train': 3, 'val': 2, 'test': 2})
    layouts.write_image(folder / 'images', 'x_train_and_val', layouts.photograph(9))
    layouts.write_gaze(folder, 'x_train_and_val', np.full(SIZE, 5, np.uint8), layouts.observers(9))
    message = run('--salicon', folder, '--output', tmp_path / 'out', '--size', '20x15')
    assert 'train 4 of 10 000, val 3 of 5 000, test 2 of 5 000' in message
    assert 'x_train_and_val: in train and val, as its name says' in message
    assert 'sizes: 64 x 48 (8); SALICON: 640 x 480' in message
    made = read(tmp_path / 'out')
    assert [len(made[split]) for split in ('train', 'val', 'test')] == [4, 3, 2]
    for split, every in made.items():
        names = [os.path.basename(sample.image.filePath) for sample in every]
        assert names == sorted(names)
        for sample in every:
            assert sample.image.data.shape == (15, 20, 3) and sample.size == SIZE
            assert (sample.saliency is None) == (split == 'test')
            path = tmp_path / 'out' / sample.image.filePath
            np.testing.assert_array_equal(cv2.imread(str(path))[:, :, ::-1], sample.image.data)
    assert made['train'][-1].image.filePath == 'images/x_train_and_val.png'
    np.testing.assert_array_equal(made['train'][-1].image.data, made['val'][-1].image.data)
    assert made['train'][0].fixation.imageType == InputType.fixationMapMatlab


def test_folders_one_by_one(tmp_path):
    folder = layouts.write_gaze_set(tmp_path / 'salicon', {'train': 2})
    run('--salicon', folder, '--output', tmp_path / 'a')
    for kind in ('images', 'maps', 'fixations'):
        (folder / kind).rename(tmp_path / f'my {kind}')
    arguments = [f'--{kind}={tmp_path}/my {kind}' for kind in ('images', 'maps', 'fixations')]
    run(*arguments, '--output', tmp_path / 'b')
    assert tree(tmp_path / 'a' / 'images') == tree(tmp_path / 'b' / 'images')


def test_images_as_they_are(tmp_path):
    """Grey, with alpha, of 16 bits, turned by EXIF, and with an undecodable name."""
    folder = tmp_path / 'salicon'
    pictures = {
        'grey_train.png': layouts.photograph(0)[:, :, 0],
        'alpha_train.png': np.dstack([layouts.photograph(1), layouts.photograph(2)[:, :, 0]]),
        'deep_train.png': layouts.photograph(3).astype(np.uint16) * 257,
        'ü\udcff_train.png': layouts.photograph(4),
    }
    (folder / 'images').mkdir(parents=True)
    for i, (name, picture) in enumerate(pictures.items()):
        (folder / 'images' / name).write_bytes(cv2.imencode('.png', picture)[1].tobytes())
        layouts.write_gaze(folder, 'x', np.full(SIZE, 9, np.uint8), layouts.observers(i))
        for kind, extension in (('maps', '.png'), ('fixations', '.mat')):
            (folder / kind / f'x{extension}').rename(folder / kind / f'{name[:-4]}{extension}')
    run('--salicon', folder, '--output', tmp_path / 'out', '--size', '64x48')
    made = read(tmp_path / 'out')['train']
    assert len(made) == 4
    for sample in made:
        picture = pictures[os.path.basename(sample.image.filePath)]
        decoded = cv2.imdecode(cv2.imencode('.png', picture)[1], cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(sample.image.data, decoded[:, :, ::-1])


# --- bad data ---


def spoil_image(folder, name):
    (folder / 'images' / f'{name}.jpg').write_bytes(b'')


def cut_image(folder, name):
    path = folder / 'images' / f'{name}.jpg'
    path.write_bytes(path.read_bytes()[:700])


def pipe_for_image(folder, name):
    (folder / 'images' / f'{name}.jpg').unlink()
    os.mkfifo(folder / 'images' / f'{name}.jpg')


def no_image(folder, name):
    (folder / 'images' / f'{name}.jpg').unlink()


def no_map(folder, name):
    (folder / 'maps' / f'{name}.png').unlink()


def no_fixations(folder, name):
    (folder / 'fixations' / f'{name}.mat').unlink()


def cut_map(folder, name):
    path = folder / 'maps' / f'{name}.png'
    path.write_bytes(path.read_bytes()[:100])


def empty_map(folder, name):
    cv2.imwrite(str(folder / 'maps' / f'{name}.png'), np.zeros(SIZE, np.uint8))


def another_map(folder, name):
    cv2.imwrite(str(folder / 'maps' / f'{name}.png'), np.ones((24, 32), np.uint8))


def another_image(folder, name):
    layouts.write_image(folder / 'images', name, layouts.photograph(0, (30, 30)))


def cut_fixations(folder, name):
    path = folder / 'fixations' / f'{name}.mat'
    path.write_bytes(path.read_bytes()[:300])


def other_variable(folder, name):
    scipy.io.savemat(folder / 'fixations' / f'{name}.mat', {'J': 1})


def unreadable_image(folder, name):
    path = folder / 'images' / f'{name}.jpg'
    path.unlink()
    path.symlink_to('/nowhere/at/all')


PROBLEMS = {
    spoil_image: 'images/{}.jpg: the file is empty',
    cut_image: 'images/{}.jpg: the JPEG is cut short or broken',
    pipe_for_image: 'images/{}.jpg: a pipe, not a file',
    unreadable_image: 'images/{}.jpg: No such file',
    no_image: 'maps/{}.png: there is no image of that name',
    no_map: 'images/{}.jpg: there is no map of that name',
    no_fixations: 'images/{}.jpg: there are no fixations of that name',
    cut_map: 'maps/{}.png: the PNG is cut short or broken',
    empty_map: 'maps/{}.png: the map is empty',
    another_map: 'maps/{}.png: it is for 32 x 24, but',
    another_image: 'fixations/{}.mat: it is for 64 x 48, but',
    cut_fixations: 'fixations/{}.mat: the MATLAB file is cut short',
    other_variable: 'fixations/{}.mat: no variable gaze in it; it holds J',
}


def test_what_is_wrong_is_named_and_left_out(tmp_path):
    folder = layouts.write_gaze_set(tmp_path / 'salicon', {'train': len(PROBLEMS) + 2})
    names = sorted(str(p.relative_to(folder / 'images'))[:-4] for p in (folder / 'images').rglob('*.jpg'))
    for spoil, name in zip(PROBLEMS, names):
        spoil(folder, name)
    layouts.write_image(folder / 'images', 'neither', layouts.photograph(0))
    message = run('--salicon', folder, '--output', tmp_path / 'out', status=1)
    for sentence, name in zip(PROBLEMS.values(), names):
        assert sentence.format(name) in message
    assert 'neither.jpg: neither its name nor its folder says train, val or test' in message
    assert f'left out ({len(PROBLEMS) + 1}):' in message
    assert len(read(tmp_path / 'out')['train']) == 2
    # nothing of a sample that is left out
    assert [p.stem for p in sorted((tmp_path / 'out').rglob('*.png'))] == 2 * [
        os.path.basename(name) for name in names[-2:]
    ]


def test_points_outside_are_no_reason_for_status_1(tmp_path):
    folder = layouts.write_gaze_set(tmp_path / 'salicon', {'train': 1})
    (name,) = [p.relative_to(folder / 'images').with_suffix('') for p in (folder / 'images').rglob('*.jpg')]
    seen = [{'location': np.array([[1, 1]]), 'fixations': np.array([[5, 6], [48, 3], [3, 64]])}]
    layouts.write_gaze(folder, str(name), np.ones(SIZE, np.uint8), seen)
    assert 'outside their image, dropped: 2 in 1 images' in run(
        '--salicon', folder, '--output', tmp_path / 'out'
    )
    (sample,) = read(tmp_path / 'out')['train']
    assert [axis.tolist() for axis in sample.fixation.data] == [[5], [6]]


def test_json_with_missing_images_and_points(tmp_path):
    folder = tmp_path / 'salicon'
    for i in range(3):
        layouts.write_image(folder / 'images', f'train_{i}', layouts.photograph(i))
    listed = [(i, f'train_{i}.jpg', SIZE) for i in (0, 1, 7)]
    layouts.write_json(folder / 'fixations_train2014.json', listed, [(0, [[1, 2], [1, 2]]), (9, [[1, 1]])])
    message = run('--salicon', folder, '--output', tmp_path / 'out', status=1)
    assert '1 annotations are of images that it does not list' in message
    assert 'train_1.jpg: the map is empty' in message
    assert 'train_2.jpg: there are no fixations' in message
    assert 'there is no image of that name' in message
    assert len(read(tmp_path / 'out')['train']) == 1


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'say where the data set is'),
        (['--salicon', 'nowhere'], 'no such file or folder'),
        (['--salicon', 'out'], 'no folder `fixations`'),
        (['--salicon', 'salicon', '--output', 'salicon'], 'choose another --output'),
        (['--salicon', 'salicon', '--output', 'salicon/images'], 'choose another --output'),
        (['--salicon', 'salicon', '--output', 'text'], 'cannot write to the folder'),
        (['--salicon', 'salicon', '--size', '0x4'], 'not a size'),
        (['--salicon', 'salicon', '--workers', '0'], 'not a whole number'),
        (['--salicon', 'salicon', '--colour', '1'], 'unrecognized arguments'),
        (['--images', 'salicon/images', '--fixations', 'salicon/fixations'], 'no folder of saliency maps'),
        (['--salicon', 'salicon', '--images', 'out'], 'no images in it'),
    ],
)
def test_what_cannot_start(tmp_path, arguments, message):
    layouts.write_gaze_set(tmp_path / 'salicon', {'train': 1})
    before = tree(tmp_path / 'salicon')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'text').write_text('x')
    assert message in run(*arguments, status=2, cwd=tmp_path)
    assert tree(tmp_path / 'salicon') == before


# --- interruptions ---


@pytest.fixture(scope='module')
def many(tmp_path_factory):
    """A data set of many small images, and what an undisturbed run makes of it, in either form."""
    folder = tmp_path_factory.mktemp('many')
    layouts.write_gaze_set(folder / 'salicon', {'train': 150, 'val': 60, 'test': 20}, (120, 160))
    for form in ('list', 'stream'):
        start = time.monotonic()
        flags = ['--stream'] if form == 'stream' else []
        run('--salicon', folder / 'salicon', '--output', folder / form, *flags)
        took = time.monotonic() - start
    return folder, took


def start(folder, output, *flags):
    command = [sys.executable, ROOT / '01-data-preprocessing.py', '--salicon', folder / 'salicon']
    return subprocess.Popen([*command, '--output', output, *flags], stderr=subprocess.PIPE, text=True)


def test_a_second_run_makes_nothing_again(many, tmp_path):
    folder, _ = many
    shutil.copytree(folder / 'list', tmp_path / 'out')
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*.png')}
    run('--salicon', folder / 'salicon', '--output', tmp_path / 'out', '--workers', '3')
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*.png')} == made
    assert tree(tmp_path / 'out') == tree(folder / 'list')


@pytest.mark.parametrize('form', ['list', pytest.param('stream', marks=pytest.mark.long)])
def test_killed_at_ten_moments(many, tmp_path, form):
    folder, took = many
    moments = random.Random(form)
    flags = ['--stream'] if form == 'stream' else []
    expected = tree(folder / form)
    for _ in range(10):
        process = start(folder, tmp_path / 'out', *flags)
        time.sleep(moments.uniform(0, 1.2 * took))
        process.kill()
        process.communicate()
        whole = (
            {n: d for n, d in tree(tmp_path / 'out').items() if not n.endswith('.part')}
            if (tmp_path / 'out').exists()
            else {}
        )
        assert whole.items() <= expected.items(), 'a file that is not whole under its final name'
    run('--salicon', folder / 'salicon', '--output', tmp_path / 'out', *flags)
    assert tree(tmp_path / 'out') == expected


def test_files_are_checked_and_not_trusted(many, tmp_path):
    folder, _ = many
    shutil.copytree(folder / 'list', tmp_path / 'out')
    maps = sorted((tmp_path / 'out' / 'maps').rglob('*.png'))
    images = sorted((tmp_path / 'out' / 'images').rglob('*.png'))
    maps[0].write_bytes(b'')
    maps[1].write_bytes(maps[1].read_bytes()[:-30])
    maps[2].write_bytes(maps[3].read_bytes())
    cv2.imwrite(str(images[0]), cv2.imread(str(images[1])))
    images[2].unlink()
    (tmp_path / 'out' / 'trainData.pickle').write_bytes(b'x')
    run('--salicon', folder / 'salicon', '--output', tmp_path / 'out')
    assert tree(tmp_path / 'out') == tree(folder / 'list')


def test_what_has_changed_is_made_again(tmp_path):
    folder = layouts.write_gaze_set(tmp_path / 'salicon', {'train': 3})
    run('--salicon', folder, '--output', tmp_path / 'out')
    image, saliency = (sorted((folder / kind).rglob('*.*'))[-1] for kind in ('images', 'maps'))
    cv2.imwrite(str(image), layouts.photograph(77))
    cv2.imwrite(str(saliency), np.full(SIZE, 77, np.uint8))
    for flags in ([], ['--size', '16x12']):
        run('--salicon', folder, '--output', tmp_path / 'out', *flags)
        shutil.rmtree(tmp_path / 'fresh', ignore_errors=True)
        run('--salicon', folder, '--output', tmp_path / 'fresh', *flags)
        assert tree(tmp_path / 'out') == tree(tmp_path / 'fresh')


def test_what_is_there_is_not_decoded_again(tmp_path, monkeypatch):
    data_set = salicon.find(layouts.write_gaze_set(tmp_path / 'salicon', {'train': 1}))
    for kind in ('images', 'maps'):
        (tmp_path / 'out' / kind / 'train').mkdir(parents=True)
    first = preprocessing.prepare(data_set.records[0], data_set, tmp_path / 'out', (16, 12))
    monkeypatch.setattr(preprocessing, 'decode', None)
    monkeypatch.setattr(readers, 'decode', None)
    second = preprocessing.prepare(data_set.records[0], data_set, tmp_path / 'out', (16, 12))
    assert pickle.dumps(first.samples) == pickle.dumps(second.samples)


def test_ctrl_c(many, tmp_path):
    folder, took = many
    process = start(folder, tmp_path / 'out', '--workers', '1')
    while not list((tmp_path / 'out').rglob('*.png')):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate()
    assert process.returncode == 130 and 'interrupted' in message and 'Traceback' not in message
    assert not list((tmp_path / 'out').rglob('*.part')) and not list((tmp_path / 'out').rglob('*.pickle'))


@pytest.mark.parametrize('size', ['200k', '1m', '8m'])
def test_disk_full(many, small_disk, size):
    subprocess.run(['mount', '-o', f'remount,size={size}', small_disk], check=True)
    folder, _ = many
    expected = tree(folder / 'list')
    for _ in range(2):
        message = run('--salicon', folder / 'salicon', '--output', small_disk / 'out', status=3)
        assert 'the disk is full; free some space' in message
        made = tree(small_disk / 'out')
        assert made and made.items() <= expected.items()


def test_a_folder_that_cannot_be_written_to(small_disk, tmp_path):
    layouts.write_gaze_set(tmp_path / 'salicon', {'train': 1})
    subprocess.run(['mount', '-o', 'remount,ro', small_disk], check=True)
    message = run('--salicon', tmp_path / 'salicon', '--output', small_disk / 'out', status=2)
    assert 'read-only' in message
