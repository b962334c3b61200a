"""The pickles of samples: the original's in each form, and ours, as a list and as a stream."""

import enum
import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import GOLDEN, ROOT
from utils import samples
from utils.errors import Unreadable
from utils.samples import ImageContainer, InputType, LoadState, Target

RECORDS = GOLDEN / 'network' / 'preprocess'
FORMS = {
    'trainData.pickle': ('preprocess.json', 'trainData'),
    'validationData.pickle': ('preprocess.json', 'validationData'),
    'trainData.protocol2.pickle': ('preprocess.json', 'trainData'),
    'validationData.protocol2.pickle': ('preprocess.json', 'validationData'),
    'validationData.enum046.pickle': ('preprocess.enum046.json', 'validationData'),
}


def sample(seed, size=(48, 64), test=False):
    rng = np.random.default_rng(seed)
    image = ImageContainer(rng.integers(0, 256, (12, 16, 3), np.uint8), f'images/{seed}.png', InputType.image)
    if test:
        return Target(image, size=size)
    saliency = rng.integers(0, 256, (12, 16), np.uint8)
    points = tuple(np.sort(rng.integers(0, side, 7)) for side in size)
    return Target(
        image,
        ImageContainer(saliency, f'maps/{seed}.png', InputType.imageGrayscale),
        ImageContainer(points, f'fixations/{seed}.mat', InputType.fixationMapMatlab),
        size,
    )


def same(one, other):
    """Whether two samples hold the same."""
    for part in ('image', 'saliency', 'fixation'):
        a, b = getattr(one, part), getattr(other, part)
        if a is None or b is None:
            if a is not b:
                return False
            continue
        for attribute in ('filePath', 'state', 'imageType'):
            if getattr(a, attribute) != getattr(b, attribute):
                return False
        pairs = zip(a.data, b.data) if isinstance(a.data, tuple) else [(a.data, b.data)]
        if not all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in pairs):
            return False
    return one.size == other.size


def written(path, made, stream=False):
    with samples.writer(path, stream) as add:
        for one in made:
            add(one)
    return path


@pytest.mark.parametrize('name', FORMS)
def test_the_originals_pickles(name, capsys):
    record, key = FORMS[name]
    record = json.loads((RECORDS / record).read_text())[key]
    read = samples.read(RECORDS / name)
    assert '480 rows x 640 columns are assumed' in capsys.readouterr().err
    assert len(read) == len(record['samples'])
    for one, expected in zip(read, record['samples']):
        for part in ('image', 'saliency'):
            array = getattr(one, part).data
            assert array.dtype == np.uint8 and list(array.shape) == expected[part]['shape']
            assert hashlib.sha256(array.tobytes()).hexdigest() == expected[part]['sha256']
            assert getattr(one, part).filePath.endswith(expected[f'{part}_path'])
        assert one.image.data[0, 0].tolist() == expected['image']['first_pixel']
        rows, columns = one.fixation.data
        assert rows.tolist() == expected['fixation']['rows']
        assert columns.tolist() == expected['fixation']['columns']
        assert rows.dtype == columns.dtype == np.int64
        assert one.fixation.filePath.endswith(expected['fixation_path'])
        assert [one.image.imageType, one.saliency.imageType, one.fixation.imageType] == [
            InputType.image,
            InputType.imageGrayscale,
            InputType.fixationMapMatlab,
        ]
        assert one.image.state is one.saliency.state is one.fixation.state is LoadState.loaded
        assert one.image.imageType is InputType.image
        assert one.size == (480, 640)


@pytest.mark.parametrize('stream', [False, True])
def test_what_is_written_is_read(tmp_path, stream):
    made = [sample(i) for i in range(5)] + [sample(5, test=True), sample(6, (30, 20))]
    read = samples.read(written(tmp_path / 'x.pickle', made, stream))
    assert len(read) == len(made) and all(map(same, read, made))
    assert same(read[-1], made[-1]) and same(read[3], made[3])
    for index in (7, -8):
        with pytest.raises(IndexError):
            read[index]
    assert len(samples.read(written(tmp_path / 'empty.pickle', [], stream))) == 0


def test_the_list_needs_no_more_than_pickle(tmp_path):
    made = [sample(i) for i in range(3)]
    path = written(tmp_path / 'x.pickle', made)
    code = (
        'import pickle, sys; samples = pickle.load(open(sys.argv[1], "rb"));'
        'print(type(samples).__name__, len(samples), samples[2].image.data.shape, samples[2].size,'
        'samples[2].fixation.data[0].flags.c_contiguous, samples[2].image.imageType == 0)'
    )
    process = subprocess.run([sys.executable, '-c', code, path], cwd=ROOT, capture_output=True, text=True)
    assert process.stdout.strip() == 'list 3 (12, 16, 3) (48, 64) True True', process.stderr
    with open(path, 'rb') as file:
        assert all(map(same, pickle.load(file), made))


def by_name(self, protocol):
    """How the enums of Python 3.11.0 to 3.11.3, Debian 12's among them, are pickled."""
    return getattr, (type(self), self.name)


def test_every_python_writes_the_same(tmp_path, monkeypatch):
    made = [sample(0), sample(1, test=True)]
    expected = written(tmp_path / 'x.pickle', made).read_bytes()
    monkeypatch.setattr(enum.Enum, '__reduce_ex__', by_name)
    assert written(tmp_path / 'y.pickle', made).read_bytes() == expected


@pytest.mark.parametrize('protocol', [2, 3])
def test_what_python_3_11_2_wrote_is_read(tmp_path, monkeypatch, protocol):
    made = [sample(0), sample(1, test=True)]
    monkeypatch.setattr(samples._Number, '__reduce_ex__', by_name)
    (tmp_path / 'x.pickle').write_bytes(pickle.dumps(made, protocol))
    assert b'getattr' in (tmp_path / 'x.pickle').read_bytes()
    assert all(map(same, samples.read(tmp_path / 'x.pickle'), made))


@pytest.mark.parametrize('of', [(Target, '__init__'), (InputType, '__members__'), ([], 'pop'), (1, 'real')])
def test_getattr_gives_nothing_else(tmp_path, of):
    class Asks:
        def __reduce__(self):
            return getattr, of

    (tmp_path / 'x.pickle').write_bytes(pickle.dumps([Asks()], 3))
    with pytest.raises(Unreadable, match='not a pickle, or a broken one'):
        samples.read(tmp_path / 'x.pickle')


def test_a_list_that_was_pickled_again_is_read(tmp_path):
    made = [sample(0), sample(1, test=True)]
    for protocol in (2, 3, 4):
        (tmp_path / 'x.pickle').write_bytes(pickle.dumps(made, protocol))
        assert all(map(same, samples.read(tmp_path / 'x.pickle'), made))


def test_arrays_are_stored_once(tmp_path):
    one = sample(0)
    path = written(tmp_path / 'x.pickle', [one])
    data = path.read_bytes()
    for array in (one.image.data, one.saliency.data, *one.fixation.data):
        assert data.count(array.tobytes()) == 1
    assert len(data) < sum(a.nbytes for a in (one.image.data, one.saliency.data, *one.fixation.data)) + 1500


def test_the_stream_is_pickles_one_after_the_other(tmp_path):
    made = [sample(i) for i in range(3)]
    with open(written(tmp_path / 'x.pickle', made, stream=True), 'rb') as file:
        header = pickle.load(file)
        assert int(header['count']) == 3
        assert all(same(pickle.load(file), one) for one in made)
        assert int(header['index']) == file.tell()


def test_the_same_bytes_each_time(tmp_path):
    for stream in (False, True):
        paths = [written(tmp_path / name, [sample(0), sample(1)], stream) for name in 'ab']
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_nothing_is_left_of_a_pickle_that_was_not_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt), samples.writer(tmp_path / 'x.pickle') as add:
        add(sample(0))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('stream', [False, True])
def test_cut_short_or_changed(tmp_path, stream):
    path = written(tmp_path / 'x.pickle', [sample(i) for i in range(3)], stream)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for end in [0, 1, 50, len(data) - 1, *rng.integers(0, len(data), 40)]:
        path.write_bytes(data[:end])
        with pytest.raises(Unreadable, match='x.pickle'):
            list(samples.read(path))
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            list(samples.read(path))
        except Unreadable as error:
            assert 'x.pickle' in str(error) and '\n' not in str(error)


def test_what_is_no_list_of_samples(tmp_path):
    def without(part):
        one = sample(0)
        setattr(one, part, None)
        return one

    def with_data(part, data):
        one = sample(0)
        getattr(one, part).data = data
        return one

    path = tmp_path / 'x.pickle'
    wrong = [
        {'a': 1},
        [1, 2],
        [sample(0), None],
        [without('image')],
        [without('size')],
        [with_data('image', np.zeros((4, 4), np.uint8))],
        [with_data('image', np.zeros((4, 4, 3), np.float32))],
        [with_data('image', 'text')],
        [with_data('saliency', np.zeros((4, 4, 1), np.uint8))],
        [with_data('fixation', np.zeros((2, 4), np.int64))],
        [with_data('fixation', (np.zeros(3, np.int64), np.zeros(4, np.int64)))],
        [with_data('fixation', (np.zeros(3), np.zeros(3)))],
    ]
    for held in wrong:
        path.write_bytes(pickle.dumps(held, 2))
        with pytest.raises(Unreadable, match='x.pickle'):
            samples.read(path)
    with pytest.raises(Unreadable, match='No such file'):
        samples.read(tmp_path / 'none.pickle')
    with pytest.raises(Unreadable, match='directory'):
        samples.read(tmp_path)


def test_a_stream_with_another_index(tmp_path):
    path = written(tmp_path / 'x.pickle', [sample(i) for i in range(3)], stream=True)
    data = path.read_bytes()
    index = int(pickle.loads(data)['index'])
    starts = pickle.loads(data[index:])
    for other in (
        starts.astype(float),
        starts.astype(np.uint64),
        starts[:-1],
        starts[::-1].copy(),
        np.array([starts[0], 10**13, 10**13 + 1, index]),
        np.array([starts[0], -5, starts[2], index]),
        starts.tolist(),
        None,
    ):
        path.write_bytes(data[:index] + pickle.dumps(other, 3))
        with pytest.raises(Unreadable, match='the stream of samples is broken'):
            samples.read(path)
    for number in (b'9' * 20, b'-' + b'1' * 19, b'x' * 20):
        path.write_bytes(data.replace(f'{index:020d}'.encode(), number, 1))
        with pytest.raises(Unreadable):
            samples.read(path)


def test_a_name_that_is_not_allowed(tmp_path):
    path = written(tmp_path / 'x.pickle', [sample(0)])
    path.write_bytes(path.read_bytes().replace(b'cutils.samples\nTarget', b'cutils.samples\nwriter'))
    with pytest.raises(Unreadable, match='refused.*utils.samples.writer'):
        samples.read(path)


MEMORY = """
import resource, sys
import numpy as np
from utils import samples
from utils.samples import ImageContainer, Target
path, stream, count = sys.argv[1], sys.argv[2] == 'stream', int(sys.argv[3])
rng = np.random.default_rng(0)
image, saliency = rng.integers(0, 256, (192, 256, 3), np.uint8), rng.integers(0, 256, (192, 256), np.uint8)
points = (np.arange(300), np.arange(300))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with samples.writer(path, stream) as add:
    for i in range(count):
        add(Target(ImageContainer(image.copy(), f'{i}', 0), ImageContainer(saliency.copy(), f'{i}', 1),
                   ImageContainer(tuple(p.copy() for p in points), f'{i}', 3)))
if stream:
    read = samples.read(path)
    assert len(read) == count
    for i in rng.permutation(count):
        assert read[i].image.filePath == str(i)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize('form', ['list', 'stream'])
def test_memory_does_not_grow_with_the_samples(tmp_path, form):
    command = [sys.executable, '-c', MEMORY, tmp_path / 'x.pickle', form, '1000']
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) < 30, 'MB for a thousand samples of 0.2 MB'
