"""What one watches: measures on validation samples, the maps of one of them, the history."""

import csv
import shutil

import cv2
import numpy as np
import pytest

from tests.helpers.training import sample, seeded_samples
from utils import metrics
from utils.errors import CouldNotStart
from utils.training import history, monitor


@pytest.mark.parametrize(('loss', 'downsample'), [('bce', 4), ('bce', 8), ('mse', 1)])
def test_the_content_loss_is_the_models(loss, downsample):
    from models.model_bce import ModelBCE

    rng = np.random.RandomState(0)
    prediction, truth = rng.rand(2, 1, 1, 16, 32).astype('float32')
    model = ModelBCE(32, 16, 1, loss=loss, downsample=downsample)
    expected = model.content_loss(prediction).eval({model.output_var: truth})
    ours = monitor.content_loss(prediction[0, 0], truth[0, 0], loss, downsample)
    assert ours == pytest.approx(float(expected), rel=1e-6)


def test_the_measures_are_means_over_samples_where_they_are_defined():
    samples = seeded_samples(1, 5, 32, 16)
    samples[3].fixation = None
    predicted = np.random.RandomState(0).rand(5, 1, 16, 32).astype('float32')
    fed = iter(predicted)

    def predict(images):
        return np.stack([next(fed) for _ in images])

    measured = monitor.measure(predict, samples, 2, 'bce', 4)
    maps = [(p[0].astype('float64'), s.saliency.data / 255) for p, s in zip(predicted, samples)]
    ccs = [metrics.cc(p, t) for p, t in maps]
    assert measured['validation_CC'] == pytest.approx(np.mean(ccs), rel=1e-6)
    losses = [monitor.content_loss(p, t, 'bce', 4) for p, t in maps]
    assert measured['validation_content_loss'] == pytest.approx(np.mean(losses), rel=1e-6)
    fixated = np.zeros((16, 32))
    fixated[[3, 5], [8, 2]] = 1
    nsss = [metrics.nss(p, fixated) for i, (p, _) in enumerate(maps) if i != 3]
    assert measured['validation_NSS'] == pytest.approx(np.mean(nsss), rel=1e-6)


def test_nothing_to_measure_gives_nan():
    assert all(np.isnan(v) for v in monitor.measure(None, [], 2, 'bce', 4).values())
    black = [sample(np.zeros((16, 16, 3), 'uint8'), np.zeros((16, 16), 'uint8'), fixations=((), ()))]
    measured = monitor.measure(lambda images: np.full((1, 1, 16, 16), np.nan), black, 2, 'bce', 4)
    assert all(np.isnan(v) for v in measured.values())


def test_the_watched_sample_and_its_map_are_written_as_the_original_names_them(tmp_path):
    watched = seeded_samples(1, 1, 32, 16)[0]
    prediction = np.random.RandomState(0).rand(1, 1, 16, 32).astype('float32')
    monitor.write_truth(tmp_path, watched)
    written = monitor.write_prediction(tmp_path, 3, lambda images: prediction, watched)

    def read(name, flag):
        return cv2.imread(str(tmp_path / name), flag)

    image = read('validationRandomImage.png', cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(image, watched.image.data)
    truth = read('validationRandomSaliencyGT.png', cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(truth, watched.saliency.data)
    expected = cv2.GaussianBlur((prediction[0, 0] * 255).astype('uint8'), (5, 5), 0)
    np.testing.assert_array_equal(
        read('validationRandomSaliencyPred_0003.png', cv2.IMREAD_GRAYSCALE), expected
    )
    np.testing.assert_array_equal(written, expected)


ROWS = [
    {'epoch': i, 'updates': 5 * i, 'loss': 1 / (1 + i), 'seconds': 2.0, 'validation_CC': float('nan')}
    for i in range(3)
]


def test_the_history_is_a_row_an_epoch_to_the_last_digit(tmp_path):
    history.write(tmp_path, ROWS)
    with open(tmp_path / 'history.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [float(row['loss']) for row in rows] == [row['loss'] for row in ROWS]
    columns = history.read(tmp_path)
    assert list(columns) == list(ROWS[0])
    assert columns['epoch'] == [0, 1, 2]


def test_the_curves_are_drawn(tmp_path):
    history.write(tmp_path, ROWS)
    assert cv2.imread(history.plot(tmp_path)).size


@pytest.mark.parametrize(
    'content', [None, b'', b'epoch,loss\n', b'a,b\n1,x\n', b'epoch\n\xff\n', b'loss\n1\n']
)
def test_what_is_no_history_is_refused_by_name(tmp_path, content):
    if content is not None:
        (tmp_path / 'history.csv').write_bytes(content)
    with pytest.raises(CouldNotStart, match=r'history\.csv'):
        history.read(tmp_path)


def test_the_board_takes_rows_and_images(tmp_path):
    with history.Board(tmp_path, 0) as board:
        images = {'image': np.zeros((16, 32, 3), 'uint8'), 'prediction': np.zeros((16, 32), 'uint8')}
        board.add(ROWS[0], images)
        board.add(ROWS[1], {})
    assert sum(path.stat().st_size for path in (tmp_path / 'tensorboard').iterdir()) > 100


def test_a_full_disk_is_an_error_of_the_board_and_no_endless_wait(small_disk):
    with pytest.raises(OSError, match='No space left'), history.Board(small_disk, 0) as board:
        (small_disk / 'filler').write_bytes(bytes(shutil.disk_usage(small_disk).free))
        for row in ROWS * 100:
            board.add(row, {'image': np.zeros((16, 32, 3), 'uint8')})
