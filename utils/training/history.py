"""The history of a run: one row per epoch in `history.csv`, and the curves drawn from it."""

import csv
import math
import os
import time

from utils.errors import CouldNotStart
from utils.files import atomic_write, make_folder

NAME = 'history.csv'
CURVES = 'curves.png'
CONTENT_LOSSES = ('loss', 'content_loss', 'validation_content_loss')  # drawn together


def write(folder, rows):
    """Writes all rows, dicts with the same keys, to a new file."""
    with atomic_write(os.path.join(folder, NAME), 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read(folder):
    """Reads the columns of `folder`'s history: a dict of name -> list of float, one per epoch.

    Raises
    ------
    CouldNotStart
        If there is none, or `write` did not write it.
    """
    path = os.path.join(folder, NAME)
    try:
        with open(path, newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        columns = {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else ())}
    except OSError as error:
        raise CouldNotStart(f'{path}: {error.strerror}; name the folder of a run') from None
    except (ValueError, TypeError, csv.Error):
        raise CouldNotStart(f'{path}: not the history of a run, or a broken one') from None
    if not columns.get('epoch'):
        raise CouldNotStart(f'{path}: no epochs in it yet')
    return columns


def plot(folder):
    """Draws the learning curves of `folder`'s history, over the epochs, into `curves.png` there.

    Returns its path. Times are only in history.csv.
    """
    columns = read(folder)
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    epochs = columns.pop('epoch')
    shown = {
        name: values
        for name, values in columns.items()
        if any(map(math.isfinite, values)) and name not in ('updates', 'seconds', 'images_per_second')
    }
    panels = [[name] for name in shown if name not in CONTENT_LOSSES]
    panels.insert(0, [name for name in CONTENT_LOSSES if name in shown])
    panels = [names for names in panels if names]
    rows = math.ceil(len(panels) / 2)
    figure, axes = pyplot.subplots(rows, 2, figsize=(10, 2.8 * rows), squeeze=False, layout='constrained')
    for axis, names in zip(axes.flat, panels):
        for name in names:
            axis.plot(
                epochs, shown[name], marker='.' if len(epochs) < 50 else None, label=name.replace('_', ' ')
            )
        axis.set_xlabel('epoch')
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend()
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    path = os.path.join(folder, CURVES)
    with atomic_write(path) as file:
        figure.savefig(file, format='png', dpi=120)
    pyplot.close(figure)
    return path


class Board:
    """The same rows, and the maps of the watched sample, for TensorBoard.

    They are written at once, in the calling thread: tensorboardX's own SummaryWriter uses another thread,
    which dies on a full disk and leaves the run waiting for it.
    """

    def __init__(self, folder, epoch):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        folder = os.path.join(folder, 'tensorboard')
        make_folder(folder)
        self._writer = EventsWriter(os.path.join(folder, 'events'), f'.{os.getpid()}')
        # discard what a killed run wrote from this epoch on
        self._write(epoch, session_log=SessionLog(status=SessionLog.START))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._writer.close()

    def add(self, row, images):
        """Adds a row of the history, and images by name: uint8, (rows, columns) or (rows, columns, 3)."""
        from tensorboardX import summary

        for name, value in row.items():
            if name not in ('epoch', 'updates'):
                self._write(row['epoch'], summary=summary.scalar(name, value))
        for name, image in images.items():
            shown = summary.image(name, image, dataformats='HWC'[: image.ndim])
            self._write(row['epoch'], summary=shown)
        self._writer.flush()

    def _write(self, epoch, **content):
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(wall_time=time.time(), step=epoch, **content))
