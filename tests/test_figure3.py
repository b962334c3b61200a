"""Figure 3: what is in the files, and what is drawn."""

import math

import cv2
import numpy as np

from utils.evaluation import figure3
from utils.evaluation.figure3 import draw
from utils.evaluation.published import FIGURE3, FIGURE3_METRICS


def summaries(metrics, epochs=(0, 15, 30)):
    return {
        epoch: {metric: {'mean': 0.5 + epoch / 100, 'stderr': 0.01, 'n': 3} for metric in metrics}
        for epoch in epochs
    }


def test_files(tmp_path):
    draw(tmp_path / 'figure3', summaries(FIGURE3_METRICS), FIGURE3_METRICS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['figure3.pdf', 'figure3.png']
    assert (tmp_path / 'figure3.pdf').read_bytes().startswith(b'%PDF')
    image = cv2.imread(str(tmp_path / 'figure3.png'))
    rows, columns = image.shape[:2]
    assert columns > rows > 600
    panels = [image[top : top + rows // 2, left : left + columns // 3]
              for top in (0, rows // 2) for left in range(0, columns - 2, columns // 3)]  # fmt: skip
    for panel in panels:
        assert _has(panel, (40, 39, 214)) and _has(panel, (180, 119, 31)) and _has(panel, (0, 0, 0))


def _has(image, colour):
    """Whether ten pixels or more have nearly that colour, BGR."""
    return np.sum(np.abs(image.astype(int) - colour).max(axis=2) < 20) >= 10


def test_the_same_data_give_the_same_file(tmp_path):
    for name in ('a', 'b'):
        draw(tmp_path / name, summaries(FIGURE3_METRICS), FIGURE3_METRICS)
    for extension in ('.png', '.pdf'):
        assert (tmp_path / f'a{extension}').read_bytes() == (tmp_path / f'b{extension}').read_bytes()


class Panel:
    """Records what is plotted, in place of matplotlib's axes."""

    def __init__(self):
        self.lines, self.title, self.band = {}, '', []

    def plot(self, x, y, label, **style):
        self.lines[label] = dict(zip(x, y))

    def fill_between(self, x, low, high, **style):
        self.band = list(zip(low, high))

    def set_title(self, title):
        self.title = title

    def set_xlabel(self, label):
        assert label == 'epoch'

    def grid(self, **style):
        pass


def test_a_panel_has_our_curve_and_the_published_points():
    panel, found = Panel(), summaries(['NSS'])
    found[30]['NSS'].update(mean=math.nan, stderr=math.nan)
    figure3._draw_panel(panel, 'NSS', found, published=True)
    assert panel.lines['GAN + BCE, published'] == FIGURE3['GAN + BCE']['NSS']
    assert panel.lines['BCE, published'] == FIGURE3['BCE']['NSS']
    ours = panel.lines['ours, with its standard error over images']
    assert ours[15] == 0.65 and math.isnan(ours[30]) and panel.title == 'NSS'
    assert np.allclose(panel.band[1], (0.64, 0.66))


def test_no_published_points_for_what_the_paper_does_not_have():
    for metric, published, title in (('EMD', True, 'EMD (lower is better)'), ('NSS', False, 'NSS')):
        panel = Panel()
        figure3._draw_panel(panel, metric, summaries([metric]), published)
        assert len(panel.lines) == 1 and panel.title == title


def test_one_metric_and_one_epoch(tmp_path):
    draw(tmp_path / 'one', summaries(['EMD'], epochs=[3]), ['EMD'], published=False)
    assert cv2.imread(str(tmp_path / 'one.png')) is not None
