"""Protocol tuebingen, archives, records and encodings: 04 as a user runs it."""

import importlib
import io
import json
import os
import shutil
import sys
import zipfile

import cv2
import numpy as np
import pytest

from tests.conftest import GOLDEN, script
from tests.helpers.evaluation_data import STEMS, write_fixation_maps, write_maps
from utils import archives
from utils.command_line import DONE, SKIPPED
from utils.errors import CouldNotStart, HadToStop
from utils.evaluation import provenance

sys.path.insert(0, str(GOLDEN / 'tuebingen'))
import inputs_tuebingen  # noqa: E402

RECORD = json.loads((GOLDEN / 'tuebingen' / 'record_tuebingen.json').read_text())


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """The record's inputs as files: a folder for each variant."""
    folder = tmp_path_factory.mktemp('tuebingen')
    for variant in RECORD['variants']:
        images = inputs_tuebingen.build(RECORD['seed'], variant == 'repeated')
        inputs_tuebingen.write(images, str(folder / variant), cv2)
        (folder / variant / 'densities').mkdir()
        for image in images:
            np.save(folder / variant / 'densities' / f'{image["name"]}.npy', image['logdensity'])
    return folder


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Runs 04 in this process; returns its status, its JSON, what it printed and what it said."""

    def run(*arguments):
        output = tmp_path / 'r.json'
        status = importlib.import_module('04-evaluate').main([*map(str, arguments), '--output', str(output)])
        said = capsys.readouterr()
        return status, json.loads(output.read_text()), said.out, said.err

    return run


def inputs_of(folder, variant, maps='maps'):
    fixations = 'fixations.json' if variant == 'repeated' else 'fixations'
    names = ('--maps', folder / variant / maps, '--fixations', folder / variant / fixations)
    return ('--protocol', 'tuebingen', *names)


@pytest.mark.parametrize('variant', RECORD['variants'])
def test_the_record_from_files(recorded, evaluate, variant):
    part = RECORD['variants'][variant]
    status, found, printed, said = evaluate(*inputs_of(recorded, variant))
    assert status == DONE and found['settings']['fixation filter'] == 'none'
    assert 'sigma 23.99 pixels' in found['settings']['ground truth'] and '  KLDiv |' in printed
    assert ('repeated fixations' in found['settings']) == (variant == 'merged')
    assert list(found['summary']) == ['AUC', 'sAUC', 'NSS', 'CC', 'KLDiv', 'SIM']
    for stem, expected in part['images'].items():
        assert found['images'][stem] == pytest.approx(expected, rel=1e-9, abs=0), stem
    means = {name: entry['mean'] for name, entry in found['summary'].items()}
    assert means == pytest.approx(part['benchmark'], rel=1e-9)
    sigma = ('--blur-sigma', '40', '--metrics', 'CC,KLDiv,SIM')
    _, found, _, _ = evaluate(*inputs_of(recorded, variant), *sigma)
    for stem, expected in part['other sigmas']['40.0']['images'].items():
        assert found['images'][stem] == pytest.approx(expected, rel=1e-9, abs=0), stem


def test_a_map_of_another_size(recorded, evaluate, tmp_path):
    shutil.copytree(recorded / 'repeated' / 'maps', tmp_path / 'maps')
    (tmp_path / 'maps' / 't1.png').unlink()
    np.save(tmp_path / 'maps' / 't1.npy', inputs_tuebingen.build(RECORD['seed'])[0]['small'])
    inputs = inputs_of(recorded, 'repeated')
    status, found, _, said = evaluate(*inputs[:3], tmp_path / 'maps', *inputs[4:])
    assert (
        status == DONE and '1 of 8 maps' in said and found['settings']['maps resized'] == '1 (zoom, order 1)'
    )
    expected = RECORD['variants']['repeated']['t1 by the map `small`, 52 x 66']
    assert found['images']['t1'] == pytest.approx(expected, rel=1e-9, abs=0)


def test_log_densities_get_ig_alone_unless_asked(recorded, evaluate, tmp_path):
    bits = RECORD['variants']['repeated']['IG of the log densities, bits, against uniform']
    inputs = inputs_of(recorded, 'repeated', 'densities')
    status, found, _, said = evaluate(*inputs)
    assert status == DONE and list(found['summary']) == ['IG'] and '8 of 8 maps are log densities' in said
    ours = {stem: values['IG'] for stem, values in found['images'].items()}
    assert ours == pytest.approx(bits['per image'], rel=1e-9)
    mean = bits['mean over images (CAT2000, COCO-Freeview)']
    assert found['summary']['IG']['mean'] == pytest.approx(mean, rel=1e-9)
    _, found, _, _ = evaluate(*inputs, '--density', 'exp')
    assert list(found['summary']) == ['AUC', 'sAUC', 'NSS', 'CC', 'KLDiv', 'SIM', 'IG']
    # a density's exponential is in the order of its logarithm
    _, as_is, _, _ = evaluate(*inputs, '--density', 'as-is')
    assert list(as_is['summary']) == ['AUC', 'sAUC', 'NSS', 'CC', 'KLDiv', 'SIM']
    for name in ('AUC', 'sAUC'):
        assert as_is['summary'][name]['mean'] == pytest.approx(found['summary'][name]['mean'], abs=1e-6)
    # one of another size, and one whose image has a pixel of probability 0 that is fixated
    densities = tmp_path / 'densities'
    densities.mkdir()
    for path in (recorded / 'repeated' / 'densities').iterdir():
        array = np.load(path)
        if path.stem == 't1':
            array = array[::2, ::2] - np.log(np.exp(array[::2, ::2]).sum())
        if path.stem == 't2':
            array[:60] = -np.inf
            array -= np.log(np.exp(array).sum())
        np.save(densities / path.name, array)
    status, found, _, said = evaluate(*inputs[:3], densities, *inputs[4:])
    assert status == SKIPPED and 't1.npy: a log density must have the size of its image' in said
    assert 't1' not in found['images'] and found['images']['t2']['IG'] is None


def test_what_the_protocol_does_not_take(recorded, evaluate):
    for more, word in ((('--ground-truth', recorded), 'blurred'), (('--metrics', 'EMD'), 'KLDiv')):
        with pytest.raises(CouldNotStart, match=word):
            evaluate(*inputs_of(recorded, 'merged'), *more)


def test_tables_of_mit_say_that_the_site_defines_them_otherwise(recorded, evaluate):
    inputs = inputs_of(recorded, 'merged')[2:]
    line = 'the MIT/Tuebingen benchmark are defined otherwise'
    for metrics, expected in (('SIM', 1), ('sAUC', 1), ('AUC-Judd', 1), ('CC,NSS', 0)):
        _, _, printed, _ = evaluate(*inputs, '--allow-missing', '--metrics', metrics)
        assert printed.count(line) == expected
    _, _, printed, _ = evaluate(*inputs_of(recorded, 'merged'), '--metrics', 'SIM')
    assert line not in printed


def test_the_self_check_knows_it(recorded, tmp_path, capsys):
    write_fixation_maps(tmp_path / 'fixations')
    arguments = ('--self-check', '--protocol', 'tuebingen', '--fixations', tmp_path / 'fixations')
    assert importlib.import_module('04-evaluate').main([*map(str, arguments)]) == DONE
    assert 'WRONG' not in capsys.readouterr().out


# --- archives and records ---


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_fixation_maps(folder / 'fixations')
    write_maps(folder / 'maps')
    return folder


@pytest.mark.parametrize('name', ['m.zip', 'm.hdf5'])
def test_maps_in_an_archive_are_the_maps_of_the_folder(data, evaluate, tmp_path, name):
    inputs = ('--fixations', data / 'fixations', '--metrics', 'NSS,CC')
    record = provenance.record('1.0.0', 'a' * 64, {'size': '256x192'}, 'cpu')
    files = {f'below/{stem}.jpg': str(data / 'maps' / f'{stem}.png') for stem in STEMS}
    archives.write(tmp_path / name, files, record)
    status, found, printed, _ = evaluate('--maps', tmp_path / name, *inputs)
    assert status == DONE and found['maps'] == record and 'weights aaaaaaaaaaaa' in printed
    (data / 'maps' / 'maps.json').write_text(json.dumps(record))
    _, of_folder, _, _ = evaluate('--maps', data / 'maps', *inputs)
    assert of_folder == found
    (data / 'maps' / 'maps.json').write_text('{')
    status, of_folder, _, said = evaluate('--maps', data / 'maps', *inputs)
    (data / 'maps' / 'maps.json').unlink()
    assert status == DONE and 'maps' not in of_folder and 'maps.json' in said


@pytest.mark.parametrize('shape', [(2**20, 2**20), (2**13, 2**13), (2**62, 4)])
def test_a_header_in_an_archive_that_claims_more_than_there_is(data, evaluate, tmp_path, shape):
    head = io.BytesIO()
    claimed = {'descr': '<f8', 'fortran_order': False, 'shape': shape}
    np.lib.format.write_array_header_1_0(head, claimed)
    with zipfile.ZipFile(tmp_path / 'm.zip', 'w') as archive:
        archive.writestr(f'{STEMS[0]}.npy', head.getvalue() + bytes(100))
        for stem in STEMS[1:]:
            archive.write(data / 'maps' / f'{stem}.png', f'{stem}.png')
    inputs = ('--maps', tmp_path / 'm.zip', '--fixations', data / 'fixations', '--metrics', 'NSS')
    status, found, _, said = evaluate(*inputs)
    assert status == SKIPPED and f'{STEMS[0]}.npy: not a whole' in said and len(found['images']) == 11


def test_a_broken_map_in_an_archive_is_skipped_by_name(data, evaluate, tmp_path):
    files = {f'{stem}.jpg': str(data / 'maps' / f'{stem}.png') for stem in STEMS}
    archives.write(tmp_path / 'm.zip', files, {})
    data_of_zip = bytearray((tmp_path / 'm.zip').read_bytes())
    at = data_of_zip.index(b'IDAT') + 20
    data_of_zip[at] ^= 255
    (tmp_path / 'm.zip').write_bytes(data_of_zip)
    status, found, _, said = evaluate('--maps', tmp_path / 'm.zip', '--fixations', data / 'fixations')
    assert status == SKIPPED and f'm.zip: {STEMS[0]}.png: broken' in said and len(found['images']) == 11
    (tmp_path / 'm.hdf5').write_bytes(b'')
    with pytest.raises(CouldNotStart, match='m.hdf5: not a whole HDF5 file'):
        evaluate('--maps', tmp_path / 'm.hdf5', '--fixations', data / 'fixations')


# --- what is computed is not lost ---


@pytest.mark.parametrize('encoding', ['ascii', 'iso-8859-1', 'cp1252', 'utf-16'])
def test_a_stdout_of_any_encoding(data, tmp_path, encoding):
    inputs = ['--maps', data / 'maps', '--fixations', data / 'fixations', '--metrics', 'NSS']
    done = script(
        *('04-evaluate.py', *inputs, '--compare', 'table3', '--output', tmp_path / 'r.md'),
        PYTHONIOENCODING=encoding,
        PYTHONUTF8='0',
    )
    assert done.returncode == 0 and 'Traceback' not in done.stderr
    assert '2.589 †' in (tmp_path / 'r.md').read_text('utf-8')
    if encoding == 'ascii':
        assert '2.589 +' in done.stdout and '+-' in done.stdout


def test_files_are_written_though_nothing_can_be_printed(data, tmp_path):
    inputs = ['--maps', data / 'maps', '--fixations', data / 'fixations', '--metrics', 'NSS']
    command = [sys.executable, '04-evaluate.py', *map(str, inputs), '--output', str(tmp_path / 'r.json')]
    for redirection, status in (('> /dev/full', 3), ('>&-', 0), ('| true', None)):
        (tmp_path / 'r.json').unlink(missing_ok=True)
        found = os.waitstatus_to_exitcode(os.system(f'{" ".join(command)} {redirection} 2> {tmp_path}/err'))
        assert status in (None, found) and 'Traceback' not in (tmp_path / 'err').read_text()
        assert len(json.loads((tmp_path / 'r.json').read_text())['images']) == 12


def test_the_table_is_printed_though_a_file_cannot_be_written(data, evaluate, tmp_path, capsys):
    inputs = ['--maps', data / 'maps', '--fixations', data / 'fixations', '--metrics', 'NSS']
    (tmp_path / 'gone').mkdir()
    from utils.evaluation import scores

    def then_lose_the_folder(*arguments, **keywords):
        (tmp_path / 'gone').rmdir()
        return found(*arguments, **keywords)

    found, scores.score_all = scores.score_all, then_lose_the_folder
    try:
        with pytest.raises(OSError):
            evaluate(*inputs, '--output', tmp_path / 'gone' / 'r.csv')
    finally:
        scores.score_all = found
    assert '| mean' in capsys.readouterr().out


def test_no_map_fits(data, evaluate, tmp_path):
    for stem in STEMS:
        np.save(tmp_path / f'{stem}.npy', np.full((96, 128), np.nan))
    with pytest.raises(HadToStop, match='none of 12 maps'):
        evaluate('--maps', tmp_path, '--fixations', data / 'fixations', '--protocol', 'tuebingen')
