"""Results as tables: CSV and JSON for processing, markdown and LaTeX for print, with published rows."""

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from utils.command_line import counted, show
from utils.errors import CouldNotStart
from utils.evaluation import page
from utils.evaluation.published import DISPUTED, TABLES
from utils.files import write_bytes


class Report(NamedTuple):
    """The results of an evaluation."""

    settings: dict  # see `scores.described`
    metrics: tuple  # their names
    scores: dict  # stem -> metric -> float; empty for snapshots
    summaries: dict  # row -> metric -> `scores.summary`'s; the row is 'ours', or the epochs of snapshots
    tables: Sequence  # names from `published.TABLES` to compare with
    pictures: Any = None  # function: stems -> iterable of (stem, `page.Picture` or None)
    made_by: Optional[dict] = None  # the record of the maps, see `provenance`


class Section(NamedTuple):
    """A table of a report, as text."""

    title: str
    columns: list  # their names
    rows: list  # of lists of cells
    notes: list  # below it


def check_outputs(paths):
    """Raises CouldNotStart for an output whose name does not end in a known format."""
    extensions = (*FORMATS, PAGE)
    for path in paths:
        if os.path.splitext(path)[1].lower() not in extensions:
            raise CouldNotStart(f'{path}: the name must end in {", ".join(extensions)}')
        if os.path.isdir(path):
            raise CouldNotStart(f'{path}: is a folder; name a file')


def has_page(paths):
    """Whether one of the outputs shows images."""
    return any(os.path.splitext(path)[1].lower() == PAGE for path in paths)


def write_all(paths, report):
    """Writes all files, then prints the tables; either may fail without the other."""
    try:
        for path in paths:
            write(path, report)
    finally:
        show(as_markdown(report))


def write(path, report):
    """Writes a report in the format given by the name's extension."""
    extension = os.path.splitext(path)[1].lower()
    if extension == PAGE:
        page.write(path, report, list(_sections(report)))
    else:
        write_bytes(path, FORMATS[extension](report).encode('utf-8', 'backslashreplace'))


# --- for processing ---


def as_json(report):
    """{"settings", "summary", "images"}; for snapshots {"settings", "epochs"}. null stands for NaN."""
    result = {'settings': report.settings}
    if report.scores:
        result.update(summary=report.summaries['ours'], images=report.scores)
    else:
        result['epochs'] = report.summaries
    if report.made_by:
        result['maps'] = report.made_by
    if report.tables:
        result['published'] = {name: _published(name) for name in report.tables}
    return json.dumps(_without_nan(result), indent=1, allow_nan=False) + '\n'


def _published(name):
    rows = {
        model: {
            metric: {'value': value, 'disputed': (name, model, metric) in DISPUTED}
            for metric, value in zip(TABLES[name].metrics, values)
        }
        for model, values in TABLES[name].rows.items()
    }
    return {'title': TABLES[name].title, 'protocol': TABLES[name].protocol, 'rows': rows}


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_csv(report):
    """A row per image and a column per metric, then rows mean, stderr and n; for snapshots a row per epoch.

    The head of the first column names everything that affects the numbers.
    """
    file = io.StringIO()
    rows = csv.writer(file, lineterminator='\n')
    said = '; '.join(f'{name}: {value}' for name, value in report.settings.items())
    first = 'image' if report.scores else 'epoch'
    rows.writerow([f'{first} ({said})', *report.metrics])
    for stem, values in report.scores.items():
        rows.writerow([stem, *(repr(float(values[name])) for name in report.metrics)])
    for row, summary in report.summaries.items():
        for kind in ('mean', 'stderr', 'n') if report.scores else ('mean',):
            label = kind if report.scores else row
            rows.writerow([label, *(repr(summary[name][kind]) for name in report.metrics)])
    return file.getvalue()


# --- for print ---


def as_markdown(report):
    """Tables of our numbers and the published ones, followed by everything that affects ours."""
    lines = []
    for section in _sections(report):
        lines += [f'**{section.title}**', ''] if section.title else []
        lines += [*_aligned(section.columns, section.rows), '']
        lines += [*(f'{note}  ' for note in section.notes), ''] if section.notes else []
    lines += [f'- {name}: {value}' for name, value in report.settings.items()]
    return '\n'.join(lines) + '\n'


def as_lines(metrics, rows):
    """The lines of a markdown table of `rows`: dict of row -> dict of metric -> float."""
    cells = [[row, *(_number(values[metric]) for metric in metrics)] for row, values in rows.items()]
    return _aligned(['', *metrics], cells)


def _aligned(columns, rows):
    widths = [max(3, *map(len, column)) for column in zip(columns, *rows)]
    lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in (columns, *rows)]
    lines.insert(1, ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])])
    return [f'| {" | ".join(line)} |' for line in lines]


def as_latex(report):
    """The same as `tabular`s, without packages; the settings as comments."""
    lines = [f'% {name}: {value}' for name, value in report.settings.items()]
    for section in _sections(report):
        lines += ['', f'% {section.title}'] if section.title else ['']
        lines += [f'\\begin{{tabular}}{{l{"r" * (len(section.columns) - 1)}}}', '\\hline']
        for number, row in enumerate((section.columns, *section.rows)):
            lines.append(' & '.join(map(_escaped, row)) + ' \\\\')
            if number in (0, len(section.rows)):
                lines.append('\\hline')
        lines.append('\\end{tabular}')
        for note in section.notes:
            lines += ['', f'{{\\footnotesize {_escaped(note)}}}']
    return '\n'.join(lines) + '\n'


_LATEX = {
    '\\': r'\textbackslash{}', '&': r'\&', '%': r'\%', '$': r'\$', '#': r'\#', '_': r'\_', '{': r'\{',
    '}': r'\}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '±': r'$\pm$', '†': r'$^\dagger$',
    '–': '--',
}  # fmt: skip


def _escaped(text):
    return ''.join(_LATEX.get(character, character) for character in text)


def _sections(report):
    yield _own(report)
    for name in report.tables:
        yield _compared(report, name)


def _own(report):
    if not report.scores:
        rows = [
            [str(epoch), *(_number(summary[metric]['mean']) for metric in report.metrics)]
            for epoch, summary in report.summaries.items()
        ]
        notes = _of_the_site(report.settings['protocol'], report.metrics)
        return Section('', ['epoch', *report.metrics], rows, notes)
    summary = report.summaries['ours']
    rows = [
        [kind, *(_number(summary[metric][kind]) for metric in report.metrics)]
        for kind in ('mean', 'stderr', 'n')
    ]
    return Section('', ['', *report.metrics], rows, _of_the_site(report.settings['protocol'], report.metrics))


def _of_the_site(protocol, metrics):
    """Warns against comparing numbers of protocol mit with those on the benchmark's site."""
    alike = [name for name in metrics if name in ('SIM', 'sAUC') or name.startswith('AUC')]
    if protocol != 'mit' or not alike:
        return []
    return [
        'SIM, AUC and sAUC on the site of the MIT/Tuebingen benchmark are defined otherwise: '
        '--protocol tuebingen scores by its definitions'
    ]


def _compared(report, name):
    table, rows, notes = TABLES[name], [], []
    for model, values in table.rows.items():
        cells = [model]
        for metric, value in zip(table.metrics, values):
            disputed = DISPUTED.get((name, model, metric))
            cells.append(f'{value:.{_digits(name)}f}' + (' †' if disputed else ''))
            notes += [f'† published, disputed: {metric} of {model}: {disputed}'] if disputed else []
        rows.append(cells)
    for row, summary in report.summaries.items():
        label = (
            f'ours, {counted(report.settings["images"], "image")}' if report.scores else f'ours, epoch {row}'
        )
        rows.append([label, *(_with_error(summary.get(metric)) for metric in table.metrics)])
    if report.settings['protocol'] != table.protocol:
        notes.append(
            f'These were scored by the protocol {table.protocol}, ours by {report.settings["protocol"]}: '
            f'not comparable; --protocol {table.protocol} is'
        )
    notes += _of_the_site(table.protocol, table.metrics)
    return Section(table.title, ['published', *table.metrics], rows, notes)


def _digits(name):
    return 2 if name == 'table4-mit300' else 3


def _number(value):
    if isinstance(value, int):
        return str(value)
    return 'nan' if math.isnan(value) else f'{round(value, 4) + 0:.4f}'  # + 0: no -0.0000


def _with_error(entry):
    if entry is None:
        return '–'
    error = '' if math.isnan(entry['stderr']) else f' ± {entry["stderr"]:.4f}'
    return _number(entry['mean']) + error


PAGE = '.html'
FORMATS = {'.csv': as_csv, '.json': as_json, '.md': as_markdown, '.tex': as_latex}
