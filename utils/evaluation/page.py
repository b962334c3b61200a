"""Results as an HTML page that opens from disk, with a picture of every image and its scores."""

import base64
import html
import math
import os
import re
import urllib.parse
from typing import NamedTuple

import cv2
import numpy as np

from utils import image_sources, saliency_maps
from utils.command_line import printable
from utils.errors import Unreadable
from utils.evaluation.figure3 import LOWER_IS_BETTER
from utils.evaluation.maps import match, read_source
from utils.evaluation.scores import as_scored, blur_of
from utils.evaluation.tuebingen import blurred_fixations
from utils.files import write_bytes
from utils.images import encode, read_rgb, shrink
from utils.parallel import in_order

INLINE = 300  # largest number of images with pictures in the page itself; otherwise in a folder beside it
SIDE = 224  # pixels of a panel's longer side
BINS = 20  # of a histogram
PANELS = ('image', 'truth', 'map', 'overlay')  # of a picture, from left to right
_TEMPLATE = os.path.join(os.path.dirname(__file__), 'page.html')


class Picture(NamedTuple):
    """What is shown for an image.

    Attributes
    ----------
    jpeg : bytes
        The PANELS side by side.
    aspect : (columns, rows) of one of them
    without : tuple of str
        The PANELS that are empty because there is no image.
    """

    jpeg: bytes
    aspect: tuple
    without: tuple


def picture(saliency_map, points, size, blurred, image=None):
    """The four panels of an image.

    Parameters
    ----------
    saliency_map : float or uint8 array, shape (any, any)
        Stretched to its own range.
    points : int array, N x 2, (row, column)
        The fixations: dots on the blurred map.
    size : (rows, columns)
        Of the image, to which the fixations belong.
    blurred : float or uint8 array, shape (any, any), or float
        The blurred map of the fixations, or the sigma to blur them with, in pixels of the image.
    image : uint8 array, RGB, optional

    Returns
    -------
    Picture
    """
    scale = min(1, SIDE / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    points = ((points + 0.5) * (height / size[0], width / size[1])).astype(int)
    if not isinstance(blurred, np.ndarray):
        sigma = max(blurred * scale, 0.5)
        blurred = blurred_fixations(points, (height, width), sigma) if len(points) else np.zeros((1, 1))
    truth = np.repeat(_eight_bits(blurred, width, height)[:, :, None], 3, axis=2)
    for row, column in np.unique(points, axis=0):
        cv2.circle(truth, (int(column), int(row)), 1, (255, 140, 0), -1)
    grey = np.full((height, width, 3), 128, np.uint8)
    small = grey if image is None else shrink(image, width, height)
    shown = _eight_bits(saliency_map, width, height)
    panels = [small, truth, np.repeat(shown[:, :, None], 3, axis=2), saliency_maps.overlay(small, shown)]
    without = ('image', 'overlay') if image is None else ()
    return Picture(encode(np.hstack(panels), '.jpg'), (width, height), without)


def _eight_bits(array, width, height):
    """uint8, small, stretched to its own range."""
    array = shrink(np.asarray(array, np.float32), width, height)
    lowest, highest = array.min(), array.max()
    return np.rint((array - lowest) * (255 / (highest - lowest or 1))).astype(np.uint8)


def pictures_of(files, truth, settings, images=None, workers=1):
    """A function that gives (stem, Picture or None) for a set of maps, for `tables.Report`.

    Parameters
    ----------
    files : dict of stem -> path of the map, or as from `maps.find_maps`
    truth : ground_truth.GroundTruth
    settings : scores.Settings
    images : path, optional
        Of the images: a folder or a pickle made by 01, if not the data set's own.
    workers : int
        Threads.
    """
    sources: dict = {}
    if images:
        found, _ = image_sources.find([images], ignore_orientation=settings.ignore_orientation)
        sources, _, _ = match(files.keys(), {source.name: source for source in found})

    def read_image(stem):
        if stem in sources:
            return sources[stem].read()[0]
        path = truth.image_path(stem)
        return read_rgb(path, settings.ignore_orientation) if path else None

    def read(stem):
        points, size = truth.images[stem]
        try:
            # for a log density its exponential, however it is scored
            found = read_source(files[stem], settings.ignore_orientation)
            saliency_map, _ = as_scored(found, settings._replace(density=None))
            blurred = truth.blurred(stem) if truth.blurred_from else blur_of(truth, size, settings.protocol)
        except Unreadable:
            return stem, None
        try:
            image = read_image(stem)
        except Unreadable:
            image = None
        return stem, picture(saliency_map, points.astype(int), size, blurred, image)

    return lambda stems: in_order(read, stems, workers)


# --- the page ---


def write(path, report, sections):
    """Writes the page atomically; with more than INLINE images, pictures go to a folder NAME_files beside it.

    Parameters
    ----------
    path : path
    report : tables.Report
        Its `pictures`, if it has any, gives (stem, Picture or None) for the scored images.
    sections : list of tables.Section
        The tables of means and published rows.
    """
    beside = f'{os.path.splitext(path)[0]}_files'
    inline = len(report.scores) <= INLINE
    links = {}
    for number, (stem, shown) in enumerate(report.pictures(report.scores) if report.pictures else ()):
        if shown is None:
            continue
        if inline:
            link = 'data:image/jpeg;base64,' + base64.b64encode(shown.jpeg).decode()
        else:
            os.makedirs(beside, exist_ok=True)
            name = f'{number + 1:06d}.jpg'
            write_bytes(os.path.join(beside, name), shown.jpeg)
            link = f'{urllib.parse.quote(os.fsencode(os.path.basename(beside)))}/{name}'
        links[stem] = link, shown.aspect, shown.without
    write_bytes(path, as_html(report, sections, links).encode('utf-8', 'backslashreplace'))


def as_html(report, sections, links):
    """The page, as text; `links`: stem -> (`src` of its picture, `aspect`, `without`)."""
    with open(_TEMPLATE, encoding='utf-8') as file:
        template = file.read()
    settings = report.settings
    count = f'{len(report.scores)} images' if report.scores else f'{len(report.summaries)} snapshots'
    if not report.scores:
        template = re.sub(r'\{\{#images\}\}.*\{\{/images\}\}', '', template, flags=re.DOTALL)
    filled = {
        'title': _text(f'Saliency maps, scored by the protocol {settings["protocol"]}'),
        'subtitle': _text(f'{count}; fixations: {settings.get("layout", "")}'),
        'results': '\n'.join(_section(section) for section in sections),
        'histograms': _histograms(report),
        '#images': '',
        '/images': '',
        'heads': _heads(report, bool(links)),
        'rows': '\n'.join(_rows(report, links)),
        'options': ''.join(f'<option>{_text(name)}</option>' for name in report.metrics),
        'settings': '\n'.join(
            f'<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>' for name, value in settings.items()
        ),
    }
    # in one pass, not in text already filled in: a file may be called {{images}}
    return re.sub(r'\{\{([#/\w]+)\}\}', lambda marker: filled[marker[1]], template)


def _text(value):
    return html.escape(printable(value))


def _section(section):
    head = ''.join(f'<th scope="col">{_text(column)}</th>' for column in section.columns)
    rows = []
    for row in section.rows:
        ours = ' class="ours"' if section.title and row[0].startswith('ours') else ''
        cells = ''.join(f'<td>{_text(cell)}</td>' for cell in row[1:])
        rows.append(f'<tr{ours}><th scope="row">{_text(row[0])}</th>{cells}</tr>')
    name = _text(section.title or 'Means over the images')
    notes = ''.join(f'<p class="quiet">{_text(note)}</p>' for note in section.notes)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>\n'
        f'<caption>{name}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{"".join(rows)}</tbody>\n'
        f'</table></div>\n{notes}'
    )


def _histograms(report):
    found = [_histogram(name, report) for name in report.metrics] if report.scores else []
    if not any(found):
        return ''
    return (
        '<section aria-labelledby="histograms"><h2 id="histograms">How many images score how much</h2>\n'
        f'<div class="histograms">\n{"".join(found)}</div></section>'
    )


def _histogram(metric, report):
    """A histogram with the mean as a line; nothing if no image has a value."""
    values = [scores[metric] for scores in report.scores.values() if math.isfinite(scores[metric])]
    if not values:
        return ''
    counts, edges = np.histogram(values, BINS)
    bars = []
    for number in np.flatnonzero(counts):
        height = 100 * counts[number] / counts.max()
        said = f'{edges[number]:.4g} to {edges[number + 1]:.4g}: {counts[number]}'
        bars.append(
            f'<rect x="{100 / BINS * number:g}" width="{90 / BINS:g}" y="{100 - height:.2f}" '
            f'height="{height:.2f}"><title>{said}</title></rect>'
        )
    mean = sum(values) / len(values)
    at = 100 * (mean - edges[0]) / (edges[-1] - edges[0])
    said = (
        f'{metric} of {len(values)} images: from {min(values):.4f} to {max(values):.4f}, mean {mean:.4f}, '
        f'median {np.median(values):.4f}'
    )
    return (
        f'<figure><figcaption><strong>{_text(metric)}</strong><span>mean {mean:.4f}</span></figcaption>'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{_text(said)}">'
        f'{"".join(bars)}<line x1="{at:.2f}" x2="{at:.2f}" y1="0" y2="100"/></svg>'
        f'<div class="ends quiet"><span>{edges[0]:.4g}</span><span>{edges[-1]:.4g}</span></div></figure>\n'
    )


def _heads(report, pictures):
    heads = ['<th scope="col" class="picture"><span class="quiet">picture</span></th>'] if pictures else []
    heads.append('<th scope="col" class="name"><button type="button">image</button></th>')
    for name in report.metrics:
        first = 'descending' if _worst(name) == 'high' else 'ascending'
        sorted_by = f' aria-sort="{first}"' if name == report.metrics[0] else ''
        heads.append(
            f'<th scope="col" data-metric="{_text(name)}" data-worst="{_worst(name)}"{sorted_by}>'
            f'<button type="button">{_text(name)}</button></th>'
        )
    return ''.join(heads)


def _rows(report, links):
    """Gives the images' rows, worst first by the first metric."""
    for number, stem in enumerate(sorted(report.scores, key=lambda stem: _order(report, stem))):
        yield _row(number, stem, report, links.get(stem), bool(links))


def _worst(metric):
    return 'high' if metric in LOWER_IS_BETTER else 'low'


def _order(report, stem):
    value = report.scores[stem][report.metrics[0]]
    worse = -value if _worst(report.metrics[0]) == 'high' else value
    return math.isnan(value), 0 if math.isnan(value) else worse, stem


def _row(number, stem, report, link, pictures):
    name, attributes, cells = _text(stem), '', []
    if link:
        source, (columns, rows), without = link
        attributes = f' data-aspect="{columns} / {rows}" data-without="{" ".join(without)}"'
        panel = '66.667%' if without else '0%'
        cells.append(
            f'<td class="picture"><img loading="lazy" alt="" width="{columns}" height="{rows}" '
            f'style="--panel:{panel}" src="{html.escape(source)}"></td>'
        )
    elif pictures:
        cells.append('<td class="picture"></td>')
    cells.append(
        f'<th scope="row" class="name"><button type="button" aria-expanded="false">{name}</button></th>'
    )
    for metric in report.metrics:
        value = float(report.scores[stem][metric])
        if math.isnan(value):
            cells.append('<td class="undefined" data-value="">not defined</td>')
        else:
            exact = '-Infinity' if value == -math.inf else repr(value)  # as in JavaScript
            cells.append(f'<td data-value="{exact}">{round(value, 4) + 0:.4f}</td>')
    return f'<tr id="image-{number}" data-name="{name}"{attributes}>{"".join(cells)}</tr>'
