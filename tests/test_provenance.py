"""maps.json: what it says, who shares it, and what is never kept without a word."""

import json
import math
import os

import pytest

from utils.errors import CouldNotStart, Unreadable
from utils.evaluation import provenance, tables

SETTINGS = {'size': '256x192', 'ignore orientation': False}


def record(weights='a' * 64, code_path='cpu', **settings):
    return provenance.record('1.0.0', weights, {**SETTINGS, **settings}, code_path)


@pytest.fixture(autouse=True)
def a_map(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'')


def keep(folder, made, skip_existing=True, force=False, existing=0):
    return provenance.keep(str(folder), made, skip_existing, force, existing)


def test_what_it_holds(tmp_path, capsys):
    made = record()
    assert keep(tmp_path, made) == made
    found = json.loads((tmp_path / 'maps.json').read_text())
    assert found == made == provenance.read(tmp_path)
    assert list(found) == ['version', 'weights_sha256', 'settings', 'code_path', 'date']
    assert sorted(os.listdir(tmp_path)) == ['a.png', 'maps.json'] and capsys.readouterr().err == ''


def test_jobs_of_equal_settings_share_it(tmp_path, capsys):
    first = keep(tmp_path, {**record(), 'date': '2026-01-01T00:00:00Z'})
    before = (tmp_path / 'maps.json').stat().st_mtime_ns
    assert keep(tmp_path, record(code_path='cuda')) == first
    assert keep(tmp_path, record(), skip_existing=False) == first
    assert (tmp_path / 'maps.json').stat().st_mtime_ns == before and capsys.readouterr().err == ''


def test_a_setting_of_another_format_is_added(tmp_path):
    keep(tmp_path, record())
    keep(tmp_path, record(npy='log density'))
    assert provenance.read(tmp_path)['settings'] == {**SETTINGS, 'npy': 'log density'}
    keep(tmp_path, record())
    with pytest.raises(CouldNotStart, match='npy log density there, saliency map now'):
        keep(tmp_path, record(npy='saliency map'))


@pytest.mark.parametrize(
    'other, told',
    [
        ({'weights': 'b' * 64}, 'weights aaaaaaaaaaaa there, bbbbbbbbbbbb now'),
        ({'size': '320x240'}, '320x240'),
    ],
)
def test_maps_of_other_weights_or_settings_are_not_skipped_over(tmp_path, capsys, other, told):
    first = keep(tmp_path, record())
    with pytest.raises(CouldNotStart, match=told) as error:
        keep(tmp_path, record(**other))
    assert '--force' in str(error.value) and provenance.read(tmp_path) == first
    # kept on purpose: both are told from then on
    mixed = keep(tmp_path, record(**other), force=True)
    assert mixed == provenance.read(tmp_path) and mixed['earlier'] == [first]
    assert 'mixed' in provenance.described(mixed)
    assert keep(tmp_path, record(**other)) == mixed
    assert capsys.readouterr().err == ''


def test_replaced_maps_take_their_record_with_them(tmp_path, capsys):
    keep(tmp_path, record())
    made = keep(tmp_path, record('b' * 64), skip_existing=False)
    assert provenance.read(tmp_path) == made and 'earlier' not in made
    assert 'replaced' in capsys.readouterr().err


def test_an_older_folder_gets_one_warning(tmp_path, capsys):
    keep(tmp_path, record())
    (tmp_path / 'maps.json').unlink()
    keep(tmp_path, record(), existing=3)
    assert capsys.readouterr().err.count('is missing') == 1
    assert 'unknown' in provenance.described(keep(tmp_path, record(), existing=3))
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
    'data',
    [b'', b'{', b'[]', b'null', b'\xff\xfe', b'[' * 100_000, b'{"version": 1}', b'x' * 2**21,
     json.dumps(dict.fromkeys(provenance.FIELDS)).encode()],
)  # fmt: skip
def test_what_is_no_record(tmp_path, data):
    (tmp_path / 'maps.json').write_bytes(data)
    with pytest.raises(Unreadable, match='maps.json'):
        provenance.read(tmp_path)
    with pytest.raises(CouldNotStart, match='maps.json'):
        keep(tmp_path, record())
    keep(tmp_path, record(), skip_existing=False)
    assert provenance.read(tmp_path)['settings'] == SETTINGS


def test_numbers_that_json_does_not_have(tmp_path):
    made = {**record(), 'earlier': [math.inf, {'x': math.nan}]}
    (tmp_path / 'maps.json').write_text(json.dumps(made))
    found = provenance.read(tmp_path)
    report = tables.Report({'protocol': 'mit'}, (), {'a': {}}, {'ours': {}}, (), None, found)
    assert json.loads(tables.as_json(report))['maps']['earlier'] == [None, {'x': None}]


def test_described_is_one_printable_line():
    text = provenance.described({**record(), 'code_path': 'a\nb\x1b[0m', 'settings': {'size': {'w': 1}}})
    assert '\n' not in text and '\x1b' not in text and 'version 1.0.0' in text
    assert provenance.read('/nowhere') is None


def test_a_record_without_maps_binds_nobody(tmp_path, capsys):
    (tmp_path / 'a.png').unlink()
    keep(tmp_path, record())
    assert keep(tmp_path, record('b' * 64)) == provenance.read(tmp_path)
    assert 'earlier' not in provenance.read(tmp_path) and capsys.readouterr().err == ''


def test_where_nothing_is_left_to_predict_nothing_is_written(tmp_path, capsys):
    made = {**record(), 'code_path': None}
    keep(tmp_path, made, existing=1)
    assert os.listdir(tmp_path) == ['a.png'] and 'is missing' in capsys.readouterr().err
