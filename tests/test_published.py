"""The published side: its shape, and what the paper contradicts itself in."""

from utils.evaluation.published import DISPUTED, FIGURE3, FIGURE3_METRICS, TABLES
from utils.evaluation.scores import METRICS


def test_tables_are_whole():
    for table in TABLES.values():
        assert set(table.metrics) <= set(METRICS[table.protocol])
        assert all(len(values) == len(table.metrics) for values in table.rows.values())
    assert {name: len(table.rows) for name, table in TABLES.items()} == {
        'table2': 4, 'table3': 4, 'table4-salicon': 4, 'table4-mit300': 12
    }  # fmt: skip
    assert dict(zip(TABLES['table4-salicon'].metrics, TABLES['table4-salicon'].rows['SalGAN'])) == {
        'AUC': 0.884, 'sAUC': 0.772, 'CC': 0.781, 'NSS': 2.459
    }  # fmt: skip


def test_figure_is_whole():
    for curves in FIGURE3.values():
        assert tuple(curves) == FIGURE3_METRICS
        assert all(sorted(points) == [15, 30, 45, 60, 75, 105, 120] for points in curves.values())


def test_the_disputed_cells_are_those_that_the_figure_contradicts():
    highest = {metric: max(FIGURE3['GAN + BCE'][metric].values()) for metric in FIGURE3_METRICS}
    table = TABLES['table3']
    gan = dict(zip(table.metrics, table.rows['GAN/4']))
    beyond = {metric for metric in gan if metric in highest and gan[metric] > highest[metric] + 0.005}
    assert beyond == {'AUC-Borji', 'NSS', 'IG'}
    assert set(DISPUTED) == {('table3', 'GAN/4', metric) for metric in beyond} | {('table3', 'BCE/4', 'NSS')}
