"""03-predict.py as a whole command, on the records and on what users do to it."""

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from tests.conftest import GOLDEN, REFERENCE_DATA, ROOT, script
from utils import architecture, saliency_maps, samples, weights
from utils.files import make_folder
from utils.images import encode, read_grey, read_rgb, shrink, to_uint8, write_image

NETWORK = GOLDEN / 'network'
RECORDED = ('exact', 'small', 'wide')
SMALL = ('--size', '32x32')  # where only files and messages matter


def predict(*arguments, **keywords):
    return script('03-predict.py', *arguments, **keywords)


def noise(rows=20, columns=30, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (rows, columns, 3)).astype(np.uint8)


def sample(path='images/a.png', image=None, size=(48, 64)):
    container = samples.ImageContainer(noise(16, 16), path, samples.InputType.image)
    container.data = container.data if image is None else image
    return samples.Target(container, size=size)


def files_in(folder):
    """All of them but maps.json, which is beside the maps once anything is to be predicted."""
    files = (path.relative_to(folder) for path in folder.rglob('*') if not path.is_dir())
    return sorted(str(path) for path in files if path.name != 'maps.json')


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files_in(folder)}


# --- the records ---


@pytest.fixture(scope='module')
def recorded(tmp_path_factory, seeded_weights):
    """The folder of maps, in all formats, of the recorded images; NAME_small.npy is the network's own map."""
    folder = tmp_path_factory.mktemp('recorded')
    (folder / 'in').mkdir()
    for name in RECORDED:
        shutil.copy(NETWORK / f'predict_{name}.png', folder / 'in' / f'{name}.png')
    if REFERENCE_DATA.is_dir():
        shutil.copy(REFERENCE_DATA / 'i112.jpg', folder / 'in' / 'i112.jpg')
    images = sorted((folder / 'in').iterdir())
    with samples.writer(folder / 'small.pickle') as add:
        for path in images:
            image = shrink(read_rgb(path), 256, 192)
            add(sample(f'images/{path.stem}_small.png', image, image.shape[:2]))
    result = predict(
        *(folder / 'in', folder / 'small.pickle', '--weights', seeded_weights, '--output', folder / 'out'),
        *('--format', 'jpg,png,npy,overlay'),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ''
    assert '{0} of {0} images predicted'.format(2 * len(images)) in result.stderr
    return folder


@pytest.mark.parametrize('name', [*RECORDED, 'i112'])
def test_maps_are_the_records(name, recorded, request):
    if name == 'i112':
        records = np.load(request.getfixturevalue('reference_data') / 'predict_i112.npz')
    else:
        records = np.load(NETWORK / 'predict_full.npz')
    network_map, final = records[f'{name}_map'], records[f'{name}_final']
    folder = recorded / 'out'

    # - the network's own map, and its eight bits before the resize back, but for ties of the truncation
    ours = np.load(folder / f'{name}_small.npy')
    assert ours.dtype == np.float32 and ours.min() >= 0 and ours.max() <= 1
    np.testing.assert_allclose(ours, network_map, rtol=0, atol=2e-5)
    equal = to_uint8(ours) == (network_map * 255).astype(np.uint8)
    assert equal.mean() >= 0.999

    # - the final map
    png = read_grey(folder / f'{name}.png').astype(int)
    assert png.shape == final.shape
    difference = np.abs(png - final)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.94

    # - the same map as floats
    resized = np.load(folder / f'{name}.npy')
    np.testing.assert_array_equal(resized, saliency_maps.at_size(ours, *final.shape))


@pytest.mark.parametrize('name', RECORDED)
def test_what_the_network_sees_is_the_record(name):
    image = shrink(read_rgb(NETWORK / f'predict_{name}.png'), 256, 192)
    np.testing.assert_array_equal(image, np.load(NETWORK / 'predict_full.npz')[f'{name}_input'])


@pytest.mark.parametrize('name', RECORDED)
def test_the_original_s_own_map_is_finished_as_it_did(name):
    """Without the network: truncation, resize and blur alone; 1 off where OpenCV has moved on."""
    records = np.load(NETWORK / 'predict_full.npz')
    final = records[f'{name}_final']
    difference = np.abs(saliency_maps.finish(records[f'{name}_map'], *final.shape).astype(int) - final)
    assert difference.max() <= (0 if name == 'exact' else 1)
    assert (difference == 0).mean() >= 0.94


# --- the formats ---


@pytest.mark.parametrize('name', RECORDED)
def test_jpg_is_the_final_map_by_opencv_s_defaults(name, recorded):
    finished = read_grey(recorded / 'out' / f'{name}.png')
    assert (recorded / 'out' / f'{name}.jpg').read_bytes() == encode(finished, '.jpg')
    assert cv2.imread(str(recorded / 'out' / f'{name}.jpg'), cv2.IMREAD_UNCHANGED).ndim == 2


@pytest.mark.parametrize('name', RECORDED)
def test_overlay_is_the_heat_map_over_the_image(name, recorded):
    image = read_rgb(recorded / 'in' / f'{name}.png')
    shown = saliency_maps.overlay(image, read_grey(recorded / 'out' / f'{name}.png'))
    assert (recorded / 'out' / f'{name}_overlay.jpg').read_bytes() == encode(shown, '.jpg')


def test_overlay_shows_the_image_where_the_map_is_lowest_and_red_where_it_is_highest():
    image = np.full((40, 60, 3), 100, np.uint8)
    ramp = np.tile(np.linspace(50, 90, 60).astype(np.uint8), (40, 1))
    shown = saliency_maps.overlay(image, ramp)
    np.testing.assert_array_equal(shown[:, 0], image[:, 0])
    red, green, blue = shown[0, -1].astype(int)
    assert red > 100 > green == blue
    np.testing.assert_array_equal(saliency_maps.overlay(image, np.full((40, 60), 7, np.uint8)), image)


def test_overlay_is_the_same_whatever_is_made_at_a_time(monkeypatch):
    whole = saliency_maps.overlay(noise(50, 70), noise(50, 70, 1)[..., 0])
    monkeypatch.setattr(saliency_maps, 'OVERLAY_BAND', 300)
    np.testing.assert_array_equal(saliency_maps.overlay(noise(50, 70), noise(50, 70, 1)[..., 0]), whole)


def test_the_contact_sheet_has_every_overlay_in_the_images_order(recorded):
    sheet = read_rgb(recorded / 'out' / 'contact_sheet.jpg')
    stems = sorted(path.stem for path in (recorded / 'in').iterdir())
    width, height = saliency_maps.SHEET_CELL
    columns = int(np.ceil((2 * len(stems)) ** 0.5))
    assert sheet.shape == (-(-2 * len(stems) // columns) * height, columns * width, 3)
    for i, name in enumerate([*stems, *(f'{stem}_small' for stem in stems)]):
        row, column = divmod(i, columns)
        cell = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        thumbnail = saliency_maps.thumbnail(read_rgb(recorded / 'out' / f'{name}_overlay.jpg'), width, height)
        assert np.abs(cell.astype(int) - thumbnail).mean() < 5  # a JPEG of JPEGs


@pytest.mark.parametrize('images', [1, 2, 1000, 100000])
def test_a_contact_sheet_of_any_number_of_images_is_of_bounded_size(images):
    width, height = saliency_maps.sheet_cell(images)
    columns = int(np.ceil(images**0.5))
    assert columns * width <= 65500
    assert columns * -(-images // columns) * width * height <= 1.6 * saliency_maps.SHEET_PIXELS


def test_npy_neither_blurs_nor_leaves_0_to_1():
    edge = np.zeros((16, 16), np.float64)
    edge[:, 8:] = 1
    resized = saliency_maps.at_size(edge, 48, 48)
    assert resized.dtype == np.float32 and resized.min() == 0 and resized.max() == 1
    np.testing.assert_array_equal(saliency_maps.at_size(edge, 16, 16), edge)


# --- one command, many images ---


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A folder of folders of images, broken ones among them."""
    folder = tmp_path_factory.mktemp('tree')
    for i, name in enumerate(('z.png', 'a.jpg', 'sub/a.png', 'sub/deeper still/b.c.bmp', 'other/a.tiff')):
        (folder / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / 'in' / name, noise(20 + i, 30, i))
    (folder / 'in' / 'sub' / 'broken.jpg').write_bytes(b'no image')
    (folder / 'in' / 'sub' / 'empty.jpg').write_bytes(b'')
    os.symlink('..', folder / 'in' / 'sub' / 'loop')
    return folder


@pytest.fixture(scope='module')
def tree_predicted(tree, seeded_weights):
    """The maps inside the folder that is walked, whose name ends in a slash."""
    result = predict(
        *('--images', f'{tree}/in/', '--weights', seeded_weights, '--output', tree / 'in' / 'maps'),
        *('--format', 'jpg,png,npy,overlay', *SMALL),
    )
    return result, tree / 'in' / 'maps'


STEMS = ('a', 'other/a', 'sub/a', 'sub/deeper still/b.c', 'z')


def test_folders_are_walked_and_their_structure_kept(tree_predicted):
    result, output = tree_predicted
    assert result.returncode == 1
    endings = ('.jpg', '.png', '.npy', '_overlay.jpg')
    assert files_in(output) == sorted(['contact_sheet.jpg', *(s + e for s in STEMS for e in endings)])


def test_what_is_skipped_is_named(tree, tree_predicted):
    result, _ = tree_predicted
    broken, empty = tree / 'in' / 'sub' / 'broken.jpg', tree / 'in' / 'sub' / 'empty.jpg'
    lines = result.stderr.splitlines()
    assert f'skipped {broken}: not an image that OpenCV can read, or a broken one' in lines
    assert f'skipped {empty}: the file is empty' in lines
    assert '5 of 7 images predicted' in result.stderr
    assert result.stdout == ''


def test_batches_give_the_same_bytes(tree, tree_predicted, seeded_weights, tmp_path):
    _, output = tree_predicted
    shutil.copytree(tree / 'in', tmp_path / 'in', symlinks=True, ignore=shutil.ignore_patterns('maps'))
    result = predict(
        *('in', '--weights', seeded_weights, '--output', 'out', '--format', 'npy,png', *SMALL),
        *('--batch-size', 3),
        cwd=tmp_path,
    )
    assert result.returncode == 1
    predicted = contents(tmp_path / 'out')
    assert len(predicted) == 2 * len(STEMS)
    for name, data in predicted.items():
        assert data == (output / name).read_bytes(), name


def test_skip_existing_predicts_only_what_is_missing(tree, tree_predicted, seeded_weights, tmp_path):
    shutil.copytree(tree / 'in', tmp_path / 'in', symlinks=True)
    output = tmp_path / 'in' / 'maps'
    (output / 'z.npy').unlink()
    (output / 'a.jpg').write_bytes(b'kept as it is')
    (output / 'sub' / 'a_overlay.jpg').write_bytes(b'kept, and no image')
    before = {name: os.stat(output / name).st_mtime_ns for name in files_in(output)}
    result = predict(
        *(tmp_path / 'in', '--weights', seeded_weights, '--output', output),
        *('--format', 'jpg,png,npy,overlay', *SMALL, '--skip-existing'),
    )
    assert result.returncode == 1  # the broken ones are tried again
    assert 'maps exist of 4 of 7 images' in result.stderr
    assert '1 of 3 images predicted' in result.stderr
    assert 'sub/a_overlay.jpg' in result.stderr and 'left out of the contact sheet' in result.stderr
    assert (output / 'z.npy').exists()
    changed = {name for name, at in before.items() if os.stat(output / name).st_mtime_ns != at}
    assert changed == {'z.jpg', 'z.png', 'z_overlay.jpg', 'contact_sheet.jpg'}


def test_skip_existing_with_nothing_to_do_needs_no_weights(tmp_path):
    write_image(tmp_path / 'a.png', noise())
    (tmp_path / 'out').mkdir()
    write_image(tmp_path / 'out' / 'a.jpg', noise())
    arguments = ('a.png', '--output', 'out', '--weights', 'not there.npz')
    result = predict(*arguments, '--skip-existing', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert predict(*arguments, cwd=tmp_path).returncode == 2


# --- the pickles of 01 ---


def test_pickles_of_01_and_of_the_original(seeded_weights, tmp_path):
    recorded = NETWORK / 'preprocess'
    with samples.writer(tmp_path / 'ours.pickle', stream=True) as add:
        add(sample('images/ours.png', size=(100, 150)))
        add(sample('../../../out of the folder.png', size=(50, 30)))
    result = predict(
        *(
            recorded / 'trainData.pickle',
            recorded / 'validationData.protocol2.pickle',
            tmp_path / 'ours.pickle',
        ),
        *('--weights', seeded_weights, '--output', tmp_path / 'out', '--format', 'npy,overlay', *SMALL),
    )
    assert result.returncode == 0, result.stderr
    sizes = {
        **{f'COCO_train2014_{n:012d}': (480, 640) for n in (9, 25)},  # SALICON's, which they do not hold
        'COCO_val2014_000000000133': (480, 640),
        'ours': (100, 150),
        'out of the folder': (50, 30),
    }
    assert files_in(tmp_path / 'out') == sorted(
        ['contact_sheet.jpg', *(name + e for name in sizes for e in ('.npy', '_overlay.jpg'))]
    )
    for name, size in sizes.items():
        assert np.load(tmp_path / 'out' / f'{name}.npy').shape == size
        assert read_rgb(tmp_path / 'out' / f'{name}_overlay.jpg').shape[:2] == size


@pytest.mark.parametrize(
    'broken',
    [
        sample(path=None),
        sample(image=np.zeros((0, 16, 3), np.uint8)),
        sample(image=np.zeros((16, 16, 3), np.float32)),
        sample(size=(10**9, 10**9)),
        sample(size=(0, 5)),
        'not a sample',
    ],
)
@pytest.mark.parametrize('stream', [False, True])
def test_broken_pickles(broken, stream, tmp_path):
    with samples.writer(tmp_path / 'x.pickle', stream) as add:
        add(sample())
        add(broken)
    result = predict('x.pickle', cwd=tmp_path)
    assert result.returncode == 2
    assert re_one_line(result.stderr, 'x.pickle: sample 1')


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    (tmp_path / 'x.pickle').write_bytes(pickle.dumps([print]))
    result = predict('x.pickle', cwd=tmp_path)
    assert result.returncode == 2
    assert re_one_line(result.stderr, 'x.pickle: refused')


def re_one_line(text, start):
    """Whether `text` is one line: the script's name, then `start`; waiting for a compiler does not count."""
    text = ''.join(
        line for line in text.splitlines(True) if not line.startswith('another process is compiling')
    )
    return text.startswith(f'03-predict.py: {start}') and text.count('\n') == 1


# --- what cannot start: one sentence, exit status 2, nothing written ---


@pytest.mark.parametrize(
    ('files', 'arguments', 'message'),
    [
        ((), (), 'images/: no such file or folder; name your images, or put them into images/'),
        (('a.png',), ('b.png',), 'b.png: no such file or folder'),
        (('a.png',), ('a.png', 'b.png'), 'b.png: no such file or folder'),
        (('in/sub/.hidden',), ('in',), 'no images in in'),
        (('in/a.png', 'in/a.jpg'), ('in',), 'in/a.jpg and in/a.png would both be written to saliency/a.jpg'),
        (('in/a.jpg', 'other/a.jpg'), ('in', 'other'), 'in/a.jpg and other/a.jpg would both be written'),
        (('a.jpg',), ('a.jpg', './a.jpg'), 'a.jpg and ./a.jpg would both be written'),
        (
            ('in/a.jpg', 'in/a_overlay.png'),
            ('in', '--format', 'jpg,overlay'),
            'in/a.jpg and in/a_overlay.png would both be written to saliency/a_overlay.jpg',
        ),
        (
            ('in/contact_sheet.png',),
            ('in', '--format', 'jpg,overlay'),
            'in/contact_sheet.png and the contact sheet would both be written to saliency/contact_sheet.jpg',
        ),
        (
            ('in/x.png', 'in/x.jpg/y.png'),
            ('in',),
            'in/x.png would be written to saliency/x.jpg, which in/x.jpg/y.png needs for a folder',
        ),
        (('in/a.jpg',), ('in', '--output', 'in'), 'in/a.jpg is read, and what is made of in/a.jpg'),
        (('in/a.png',), ('in', '--output', 'in', '--format', 'png'), 'in/a.png is read'),
        (
            ('in/contact_sheet.jpg',),
            ('in', '--output', 'in', '--format', 'overlay'),
            'in/contact_sheet.jpg is read, and what is made of the contact sheet',
        ),
        (('a.png',), ('a.png', '--weights', 'saliency/a.jpg'), 'saliency/a.jpg is read'),
        (('a.png', 'saliency/a.jpg/x'), ('a.png',), 'saliency/a.jpg is a folder'),
        (('a.png',), ('a.png', '--weights', 'gone.npz'), 'gone.npz: no such file; `make weights`'),
        (('a.png', 'w.npz'), ('a.png', '--weights', 'w.npz'), 'w.npz: not a .npz file'),
        (
            ('line\nbreak.png',),
            ('line\nbreak.png', './line\nbreak.png'),
            'line\\nbreak.png and ./line\\nbreak',
        ),
    ],
)
def test_what_cannot_start(files, arguments, message, tmp_path):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith('.hidden'):
            write_image(tmp_path / name, noise()) if name[-4:] in ('.png', '.jpg') else None
        (tmp_path / name).touch()
    if 'w.npz' in files:
        (tmp_path / 'w.npz').write_bytes(b'no weights')
    before = contents(tmp_path)
    result = predict(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert re_one_line(result.stderr, message), result.stderr
    assert contents(tmp_path) == before


def test_an_output_that_cannot_be_made(seeded_weights, tmp_path):
    write_image(tmp_path / 'a.png', noise())
    (tmp_path / 'file').touch()
    for output in ('file', 'file/sub', '/proc/no'):
        result = predict('a.png', '--weights', seeded_weights, '--output', output, cwd=tmp_path)
        assert result.returncode == 2
        assert re_one_line(result.stderr, f'cannot write to the folder {output}'), result.stderr


@pytest.mark.parametrize(
    'arguments',
    [
        ('--size', '250x192'),
        ('--size', '0x0'),
        ('--batch-size', '0'),
        ('--format', 'jpg,gif'),
        ('--format', ''),
        ('--nonsense',),
    ],
)
def test_wrong_options(arguments, tmp_path):
    result = predict(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert 'Traceback' not in result.stderr


def test_weights_that_make_no_map(tmp_path):
    rng = np.random.RandomState(0)
    huge = [rng.randn(*shape) * 1e30 for _, _, shape in architecture.generator_layout()]
    weights.save(tmp_path / 'w.npz', huge)
    write_image(tmp_path / 'a.png', noise())
    result = predict('a.png', '--weights', 'w.npz', *SMALL, cwd=tmp_path)
    assert result.returncode == 3
    assert re_one_line(result.stderr, 'w.npz: makes no finite map of a.png'), result.stderr
    assert files_in(tmp_path / 'saliency') == []


# --- interrupted, killed, and out of space ---


@pytest.fixture
def many(tmp_path):
    """A folder of images enough to be caught in the middle."""
    (tmp_path / 'in').mkdir()
    for i in range(40):
        write_image(tmp_path / 'in' / f'{i:02d}.png', noise(40, 40, i))
    return tmp_path


def caught_in_the_middle(folder, seeded_weights, with_signal):
    """Starts a prediction, sends the signal when the first map is there; returns status and stderr."""
    process = subprocess.Popen(
        [
            *(sys.executable, ROOT / '03-predict.py', 'in', '--weights', seeded_weights),
            *('--format', 'png,npy', '--size', '64x64'),
        ],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(folder.glob('saliency/*.npy')):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(with_signal)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def all_whole(folder):
    """Whether all that is there under a map's name is a whole map; returns how many there are."""
    paths = [path for path in folder.glob('[!.]*') if path.name != 'maps.json']
    for path in paths:
        shape = np.load(path).shape if path.suffix == '.npy' else read_grey(path).shape
        assert shape == (40, 40)
    return len(paths)


def test_interrupted_it_ends_with_130_and_goes_on_later(many, seeded_weights):
    status, errors = caught_in_the_middle(many, seeded_weights, signal.SIGINT)
    assert status == 130
    assert errors.endswith('03-predict.py: interrupted; what was finished is kept\n')
    assert 'Traceback' not in errors
    assert 0 < all_whole(many / 'saliency') < 80
    assert not list((many / 'saliency').glob('.*'))
    done = contents(many / 'saliency')
    result = predict(
        *(
            'in',
            '--weights',
            seeded_weights,
            '--format',
            'png,npy',
            '--size',
            '32x32',
            '--skip-existing',
            '--force',
        ),
        cwd=many,
    )
    assert result.returncode == 0, result.stderr
    assert all_whole(many / 'saliency') == 80
    for i in range(40):
        pair = [f'{i:02d}.png', f'{i:02d}.npy']
        if all(name in done for name in pair):
            assert all((many / 'saliency' / name).read_bytes() == done[name] for name in pair)


def test_killed_it_leaves_whole_maps_and_its_traces_go_with_the_next_run(many, seeded_weights):
    status, _ = caught_in_the_middle(many, seeded_weights, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert 0 < all_whole(many / 'saliency') < 80
    make_folder(many / 'saliency')  # as the next run does
    assert not list((many / 'saliency').glob('.*'))


@pytest.mark.parametrize('kind', ['npy', 'overlay'])
def test_a_full_disk(kind, small_disk, many, seeded_weights):
    big = many / 'big'
    big.mkdir()
    for i in range(6):
        write_image(big / f'{i}.png', noise(400, 500, i))
    (small_disk / 'ballast').write_bytes(bytes(0 if kind == 'npy' else 1000 * 1000))
    result = predict(
        *('big', '--weights', seeded_weights, '--output', small_disk / 'out', '--format', kind, *SMALL),
        cwd=many,
    )
    assert result.returncode == 3, result.stderr
    assert 'the disk is full; free some space and run the same command again' in result.stderr
    assert str(small_disk / 'out') in result.stderr
    assert 'Traceback' not in result.stderr
    for name in files_in(small_disk / 'out'):
        path = small_disk / 'out' / name
        assert (np.load(path) if kind == 'npy' else read_rgb(path)).shape[:2] == (400, 500)


@pytest.mark.parametrize('size', ['4096x4096', '65536x65536'])
def test_more_than_the_memory_holds(size, seeded_weights, tmp_path):
    """An image that cannot be resized to it is skipped; a network that cannot hold it ends the run."""
    write_image(tmp_path / 'a.png', noise())
    result = subprocess.run(
        [
            *('bash', '-c', 'ulimit -v 4500000; exec "$@"', '', sys.executable, ROOT / '03-predict.py'),
            *('a.png', '--weights', seeded_weights, '--size', size),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert 'Traceback' not in result.stderr
    if result.returncode == 1:
        assert 'skipped a.png: not enough memory' in result.stderr
    else:
        assert result.returncode == 3
        said = re.sub('^compiling the networks .*\n', '', result.stderr)  # where nothing was before
        assert re_one_line(said, 'out of memory; what was finished is kept'), result.stderr
    assert files_in(tmp_path) == ['a.png']
