"""What is written: shapes that others read by program, and what must be said in each."""

import csv
import io
import json
import math

import pytest

from utils.errors import CouldNotStart
from utils.evaluation.published import TABLES
from utils.evaluation.scores import summary
from utils.evaluation.tables import Report, as_csv, as_json, as_latex, as_markdown, check_outputs, write

METRICS = ('NSS', 'CC')
SCORES = {'val/a, b': {'NSS': 1.25, 'CC': math.nan}, 'c_%': {'NSS': 2.75, 'CC': 0.5}}
STDERR = summary(SCORES, METRICS)['NSS']['stderr']  # 0.75 but for its last digit
SETTINGS = {
    'protocol': 'mit',
    'images': 2,
    'fixation filter': 'duplicates',
    'ground truth': 'my_maps & yours',
}


def report(*tables, **changes):
    ours = {'ours': summary(SCORES, METRICS)}
    return Report(SETTINGS, METRICS, SCORES, ours, tables)._replace(**changes)


def snapshots(*tables):
    return report(*tables, scores={}, summaries={0: summary(SCORES, METRICS), 15: summary(SCORES, METRICS)})


def test_json():
    found = json.loads(as_json(report()))
    assert found == {
        'settings': SETTINGS,
        'summary': {
            'NSS': {'mean': 2.0, 'stderr': STDERR, 'n': 2},
            'CC': {'mean': 0.5, 'stderr': None, 'n': 1},
        },
        'images': {'val/a, b': {'NSS': 1.25, 'CC': None}, 'c_%': {'NSS': 2.75, 'CC': 0.5}},
    }


def test_json_of_snapshots_and_published_rows():
    found = json.loads(as_json(snapshots('table3')))
    assert list(found['epochs']) == ['0', '15'] and 'images' not in found
    rows = found['published']['table3']['rows']
    assert rows['GAN/4']['NSS'] == {'value': 2.589, 'disputed': True}
    assert rows['GAN/4']['CC'] == {'value': 0.786, 'disputed': False}


def test_csv():
    head, *rows = csv.reader(io.StringIO(as_csv(report())))
    assert head[0].startswith('image') and 'fixation filter: duplicates' in head[0]
    assert head[1:] == ['NSS', 'CC']
    assert rows == [
        ['val/a, b', '1.25', 'nan'],
        ['c_%', '2.75', '0.5'],
        ['mean', '2.0', '0.5'],
        ['stderr', repr(STDERR), 'nan'],
        ['n', '2', '1'],
    ]
    head, *rows = csv.reader(io.StringIO(as_csv(snapshots())))
    assert head[0].startswith('epoch') and rows == [['0', '2.0', '0.5'], ['15', '2.0', '0.5']]


@pytest.mark.parametrize('name', TABLES)
def test_published_rows_beside_ours(name):
    text = as_markdown(report(name))
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if '|' in line]
    rows = {row[0]: row[1:] for row in cells}
    assert rows['published'] == list(TABLES[name].metrics)
    assert set(TABLES[name].rows) < set(rows)
    ours = dict(zip(rows['published'], rows['ours, 2 images']))
    assert ours['NSS'] == '2.0000 ± 0.7500' and ours['sAUC'] == '–'
    assert ('not comparable' in text) == (TABLES[name].protocol == 'salicon')


def test_disputed_cells_are_marked_and_explained():
    text = as_markdown(report('table3'))
    assert '2.589 †' in text and '0.859 †' in text and '1.243 †' in text and '2.580 †' in text
    assert text.count('published, disputed') == 4 and '0.786 †' not in text
    assert '†' not in as_markdown(report('table2'))
    latex = as_latex(report('table3'))
    assert r'0.859 $^\dagger$' in latex and latex.count('published, disputed') == 4


@pytest.mark.parametrize('make', [as_csv, as_json, as_markdown, as_latex])
def test_the_fixation_filter_is_named_in_every_output(make):
    assert 'duplicates' in make(report()) and 'duplicates' in make(snapshots())


def test_latex_is_balanced_and_escaped():
    text = as_latex(report('table4-mit300', scores=SCORES))
    assert text.count(r'\begin{tabular}') == text.count(r'\end{tabular}') == 2
    bare = [line for line in text.splitlines() if not line.startswith('%')]
    columns = {line.count('&') for line in bare if line.endswith('\\\\')}
    assert columns == {2, 8}
    assert as_latex(report(settings={'a': 1, 'images': 2, 'protocol': 'mit'})).startswith('% a: 1')


def test_writes_by_extension(tmp_path):
    for extension, make in (('.csv', as_csv), ('.json', as_json), ('.md', as_markdown), ('.tex', as_latex)):
        write(str(tmp_path / f'x{extension}'), report())
        assert (tmp_path / f'x{extension}').read_text('utf-8') == make(report())
    undecodable = {'bad\udcff': SCORES['c_%']}
    write(str(tmp_path / 'bad.csv'), report(scores=undecodable))
    assert b'bad\\udcff' in (tmp_path / 'bad.csv').read_bytes()


def test_no_negative_zero():
    summaries = {'ours': {name: {'mean': -1e-9, 'stderr': 0.0, 'n': 2} for name in METRICS}}
    assert '-0.0000' not in as_markdown(report('table2', summaries=summaries))


def test_other_extensions_are_refused(tmp_path):
    for path in ('x.txt', 'x', str(tmp_path)):
        with pytest.raises(CouldNotStart):
            check_outputs([path])
    (tmp_path / 'x.csv').mkdir()
    with pytest.raises(CouldNotStart, match='folder'):
        check_outputs([str(tmp_path / 'x.csv')])
