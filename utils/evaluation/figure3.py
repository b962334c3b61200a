"""Figure 3 of the paper: metrics over the epochs of a training run, with the published points."""

import io
import math

from utils.evaluation.published import FIGURE3, FIGURE3_METRICS
from utils.files import write_bytes

LOWER_IS_BETTER = ('KL', 'KLDiv', 'EMD')


def draw(stem, summaries, metrics, published=True):
    """Draws `stem`.png and `stem`.pdf, one panel per metric.

    Parameters
    ----------
    stem : path without extension
    summaries : dict of epoch -> dict of metric -> {'mean', 'stderr', 'n'}
    metrics : names
    published : bool
        Whether to draw the paper's points, which follow the protocol mit.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # the paper's order; metrics that it lacks come last
    metrics = [m for m in FIGURE3_METRICS if m in metrics] + [m for m in metrics if m not in FIGURE3_METRICS]
    columns = min(3, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(4 * columns, 3 * rows + 0.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(len(metrics))]
    for panel, metric in zip(axes, metrics):
        _draw_panel(panel, metric, summaries, published)
    labelled = {label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels())}
    figure.legend(
        labelled.values(), labelled.keys(), loc='outside lower center', ncols=columns, frameon=False
    )
    for extension, metadata in (('png', {}), ('pdf', {'CreationDate': None})):
        file = io.BytesIO()
        figure.savefig(file, format=extension, dpi=150, metadata=metadata)
        write_bytes(f'{stem}.{extension}', file.getvalue())


def _draw_panel(panel, metric, summaries, published):
    if published and metric in FIGURE3_METRICS:
        for training, colour, marker in (('GAN + BCE', 'tab:red', 's'), ('BCE', 'tab:blue', 'o')):
            points = FIGURE3[training][metric]
            panel.plot(
                points.keys(),
                points.values(),
                marker=marker,
                markerfacecolor='none',
                linestyle=':',
                linewidth=0.8,
                color=colour,
                label=f'{training}, published',
            )
    epochs = sorted(summaries)
    means = [summaries[epoch][metric]['mean'] for epoch in epochs]
    errors = [summaries[epoch][metric]['stderr'] for epoch in epochs]
    low, high = ([m + sign * (0 if math.isnan(e) else e) for m, e in zip(means, errors)] for sign in (-1, 1))
    panel.fill_between(epochs, low, high, color='black', alpha=0.15, linewidth=0)
    panel.plot(epochs, means, color='black', marker='.', label='ours, with its standard error over images')
    panel.set_title(metric + (' (lower is better)' if metric in LOWER_IS_BETTER else ''))
    panel.set_xlabel('epoch')
    panel.grid(alpha=0.3)
