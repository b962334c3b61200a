"""The whole command, as a user runs it."""

import csv
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT, script
from tests.helpers.evaluation_data import (
    SIZE,
    STEMS,
    saliency_map,
    write_fixation_maps,
    write_json,
    write_maps,
)
from utils import metrics
from utils.architecture import generator_layout
from utils.evaluation import ground_truth
from utils.evaluation.scores import METRICS


def evaluate(*arguments, **more):
    return script('04-evaluate.py', *arguments, **more)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_fixation_maps(folder / 'fixations')
    write_maps(folder / 'maps')
    write_json(folder / 'fixations_val2014.json')
    return folder


def results(data, tmp_path, *arguments):
    """The JSON of a run on the fixation maps that must end well."""
    output = tmp_path / 'results.json'
    inputs = ['--maps', data / 'maps', '--fixations', data / 'fixations']
    done = evaluate(*inputs, '--output', output, *arguments)
    assert (done.returncode, done.stderr) == (0, '')
    return json.loads(output.read_text())


# --- what comes out ---


@pytest.mark.parametrize('protocol', METRICS)
def test_every_format(data, tmp_path, protocol):
    outputs = [tmp_path / 'new folder' / f'r{extension}' for extension in ('.csv', '.json', '.md', '.tex')]
    inputs = ['--maps', data / 'maps', '--fixations', data / 'fixations_val2014.json', '--protocol', protocol]
    done = evaluate(*inputs, '--output', *outputs)
    assert (done.returncode, done.stderr) == (0, '')
    found = json.loads(outputs[1].read_text())
    shown = [name for name in METRICS[protocol] if (protocol, name) != ('tuebingen', 'IG')]
    assert list(found['summary']) == shown and list(found['images']) == STEMS
    wanted = 'none' if protocol == 'tuebingen' else 'duplicates'
    assert found['settings']['protocol'] == protocol and found['settings']['fixation filter'] == wanted
    for metric in shown:
        values = [scores[metric] for scores in found['images'].values()]
        assert found['summary'][metric]['mean'] == pytest.approx(np.mean(values))
        assert found['summary'][metric]['stderr'] == pytest.approx(np.std(values, ddof=1) / np.sqrt(12))
        assert found['summary'][metric]['n'] == 12
    head, *rows = csv.reader(outputs[0].open())
    assert head[1:] == shown
    assert [row[0] for row in rows] == [*STEMS, 'mean', 'stderr', 'n']
    assert [float(cell) for cell in rows[0][1:]] == list(found['images'][STEMS[0]].values())
    assert outputs[2].read_text() == done.stdout
    assert sorted(os.listdir(tmp_path / 'new folder')) == sorted(path.name for path in outputs)


def test_numbers_do_not_depend_on_workers_or_order(data, tmp_path):
    sampled = ['--splits', '3', '--others', '4']
    assert results(data, tmp_path, *sampled, '--workers', '1') == results(
        data, tmp_path, *sampled, '--workers', '3'
    )


def test_settings_change_numbers_and_are_told(data, tmp_path):
    exact = results(data, tmp_path, '--metrics', 'AUC-Borji,sAUC')
    sampled = results(data, tmp_path, '--metrics', 'auc-borji,sauc', '--splits', '100', '--others', '0')
    assert list(sampled['summary']) == ['AUC-Borji', 'sAUC']
    assert (sampled['settings']['splits'], sampled['settings']['others']) == (100, 11)
    for metric in ('AUC-Borji', 'sAUC'):
        assert sampled['summary'][metric]['mean'] != exact['summary'][metric]['mean']
        assert sampled['summary'][metric]['mean'] == pytest.approx(exact['summary'][metric]['mean'], abs=0.03)
    other_seed = results(data, tmp_path, '--metrics', 'AUC-Borji', '--splits', '100', '--seed', '1')
    assert other_seed['summary']['AUC-Borji']['mean'] != sampled['summary']['AUC-Borji']['mean']


def test_ground_truth_and_baseline_of_ones_own(data, tmp_path):
    maps = data / 'maps'
    one = str(maps / f'{STEMS[0]}.png')
    found = results(data, tmp_path, '--ground-truth', maps, '--baseline', one, '--metrics', 'CC,SIM,IG')
    assert found['summary']['CC']['mean'] == pytest.approx(1)
    assert found['summary']['SIM']['mean'] == pytest.approx(1)
    assert found['images'][STEMS[0]]['IG'] == 0 and found['images'][STEMS[1]]['IG'] != 0
    assert (found['settings']['ground truth'], found['settings']['baseline']) == (str(maps), one)


def test_maps_of_another_size_are_resized_and_it_is_said(data, tmp_path):
    write_maps(tmp_path / 'small', size=(64, 48))
    done = evaluate('--maps', tmp_path / 'small', '--fixations', data / 'fixations')
    assert done.returncode == 0 and '12 of 12 maps resized' in done.stderr
    assert 'maps resized: 12 (bicubic' in done.stdout


def test_maps_in_folders_by_split(data, tmp_path):
    write_maps(tmp_path / 'maps' / 'val', extension='.jpg')
    done = evaluate('--maps', tmp_path / 'maps', '--fixations', data / 'fixations', '--metrics', 'NSS')
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize('stream', [[], ['--stream']])
def test_a_pickle_of_01_gives_the_same_numbers(data, tmp_path, stream):
    fixations = data / 'fixations_val2014.json'
    write_maps(tmp_path / 'images', extension='.jpg')
    inputs = ['--images', tmp_path / 'images', '--fixations', fixations, '--output', tmp_path / 'data']
    assert script('01-data-preprocessing.py', *inputs, *stream).returncode == 0
    found = []
    for path in (fixations, tmp_path / 'data' / 'validationData.pickle'):
        output = tmp_path / 'r.json'
        done = evaluate('--maps', data / 'maps', '--fixations', path, '--output', output)
        assert done.returncode == 0
        found.append(json.loads(output.read_text()))
    assert found[0]['images'] == found[1]['images'] and found[0]['summary'] == found[1]['summary']
    assert [entry['settings']['layout'] for entry in found] == ['2015 JSON', 'pickle']


def test_published_rows(data):
    inputs = ['--maps', data / 'maps', '--fixations', data / 'fixations']
    done = evaluate(*inputs, '--compare', 'table2', 'table3', 'table4-salicon', 'table4-mit300')
    assert done.returncode == 0
    assert '2.589 †' in done.stdout and 'published, disputed' in done.stdout and 'DeepGaze II' in done.stdout


# --- what does not go well ---


def test_missing_and_extra_maps(data, tmp_path):
    maps = write_maps(tmp_path / 'maps', STEMS[2:])
    cv2.imwrite(str(maps / 'stray.png'), saliency_map(0))
    inputs = ['--maps', maps, '--fixations', data / 'fixations', '--output', tmp_path / 'r.csv']
    inputs += ['--output', tmp_path / 'r.md']  # given twice, both are written
    done = evaluate(*inputs)
    assert done.returncode == 2 and done.stdout == '' and not (tmp_path / 'r.csv').exists()
    assert STEMS[0] in done.stderr and STEMS[1] in done.stderr and 'stray' in done.stderr
    done = evaluate(*inputs, '--allow-missing')
    assert done.returncode == 1
    assert STEMS[0] in done.stderr and STEMS[1] in done.stderr and 'stray' in done.stderr
    assert (tmp_path / 'r.md').read_text() == done.stdout
    head, *rows = csv.reader((tmp_path / 'r.csv').open())
    assert [row[0] for row in rows] == [*STEMS[2:], 'mean', 'stderr', 'n'] and rows[-1][1] == '10'


def test_broken_maps_are_skipped_by_name(data, tmp_path):
    maps = write_maps(tmp_path / 'maps')
    (maps / f'{STEMS[0]}.png').write_bytes((maps / f'{STEMS[0]}.png').read_bytes()[:200])
    (maps / f'{STEMS[1]}.png').unlink()
    np.save(maps / f'{STEMS[1]}.npy', np.where(np.eye(*SIZE), np.nan, 0.5))
    (maps / f'{STEMS[2]}.png').write_bytes(b'')
    done = evaluate('--maps', maps, '--fixations', data / 'fixations', '--output', tmp_path / 'r.json')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    for name in (f'{STEMS[0]}.png', f'{STEMS[1]}.npy', f'{STEMS[2]}.png', 'skipped: 3'):
        assert name in done.stderr
    assert 'NaN' in done.stderr
    assert list(json.loads((tmp_path / 'r.json').read_text())['images']) == STEMS[3:]


def test_no_map_that_can_be_scored(data, tmp_path):
    for stem in STEMS:
        (tmp_path / f'{stem}.png').write_bytes(b'')
    done = evaluate('--maps', tmp_path, '--fixations', data / 'fixations')
    assert done.returncode == 3 and f'{STEMS[0]}.png' in done.stderr and done.stdout == ''


def test_broken_fixations_are_skipped_by_name(data, tmp_path):
    shutil.copytree(data / 'fixations', tmp_path / 'fixations')
    (tmp_path / 'fixations' / f'{STEMS[4]}.png').write_bytes(b'\x89PNG')
    done = evaluate('--maps', data / 'maps', '--fixations', tmp_path / 'fixations', '--metrics', 'NSS')
    assert done.returncode == 1 and f'{STEMS[4]}.png' in done.stderr and 'skipped: 1' in done.stderr


def test_constant_and_empty_maps_are_null(data, tmp_path):
    maps = write_maps(tmp_path / 'maps')
    cv2.imwrite(str(maps / f'{STEMS[0]}.png'), np.full(SIZE, 7, np.uint8))
    inputs = ['--maps', maps, '--fixations', data / 'fixations', '--output', tmp_path / 'r.json']
    assert evaluate(*inputs).returncode == 0
    found = json.loads((tmp_path / 'r.json').read_text())
    assert found['images'][STEMS[0]]['NSS'] is None and found['summary']['NSS']['n'] == 11
    assert evaluate(*inputs, '--protocol', 'salicon').returncode == 0
    found = json.loads((tmp_path / 'r.json').read_text())
    assert found['images'][STEMS[0]]['NSS'] == 0 and found['images'][STEMS[0]]['AUC'] == 0.5


@pytest.mark.parametrize(
    'arguments, said',
    [
        ([], '--fixations'),
        (['--fixations', '{data}/fixations'], '--maps'),
        (['--fixations', '{data}/nowhere', '--maps', '{data}/maps'], 'nowhere'),
        (['--fixations', '{data}/maps/COCO_val2014_000000000001.png', '--maps', '{data}/maps'], '.png'),
        (['--fixations', '{data}/fixations', '--maps', '{data}/nowhere'], 'nowhere'),
        (['--fixations', '{data}/fixations', '--maps', '{data}'], 'nothing in it has the name of an image'),
        (['--fixations', '{data}/fixations', '--maps', '{data}/maps', '--metrics', 'NS'], "'NS'"),
        (['--fixations', '{data}/fixations', '--maps', '{data}/maps', '--output', 'r.txt'], 'r.txt'),
        (['--fixations', '{data}/fixations', '--maps', '{data}/maps', '--output', '/proc/r.csv'], '/proc'),
        (['--fixations', '{data}/fixations', '--maps', '{data}/maps', '--baseline', 'no.png'], 'no.png'),
        (['--fixations', '{data}/fixations', '--maps', '{data}/maps', '--splits', '0'], '--splits'),
        (['--fixations', '{data}/fixations', '--maps', '{data}/maps', '--others', '-1'], '--others'),
        (['--fixations', '{data}/fixations', '--maps', '{data}/maps', '--compare', 'table1'], 'table1'),
        (['--fixations', '{data}/fixations', '--maps', '{data}/maps', '--fixation-filter', 'duplicates'],
         'duplicates'),
        (['--fixations', '{data}/fixations', '--snapshots', '{data}/maps'], '--images'),
        (['--fixations', '{data}/fixations', '--snapshots', '{data}/maps', '--images', '{data}/maps'],
         'no snapshots in it'),
        (['--fixations', '{data}/fixations', '--self-check', '--output', 'r.csv'], '--self-check'),
        (['--fixations', '{data}/fixations', '--self-check', '--maps', '{data}/nowhere'], 'nowhere'),
    ],
)  # fmt: skip
def test_mistakes(data, tmp_path, arguments, said):
    done = evaluate(*(argument.format(data=data) for argument in arguments), cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ''
    assert said in done.stderr and 'Traceback' not in done.stderr
    assert os.listdir(tmp_path) == []


def test_undecodable_and_awkward_names(data, tmp_path):
    names = ['a.b,"c"', 'übung', 'line\nbreak', os.fsdecode(b'bad\xff')]
    for number, name in enumerate(names):
        for folder, source in (('maps', 'maps'), ('fixations', 'fixations')):
            (tmp_path / folder).mkdir(exist_ok=True)
            shutil.copy(data / source / f'{STEMS[number]}.png', tmp_path / folder / f'{name}.png')
    outputs = [tmp_path / f'r{extension}' for extension in ('.csv', '.json', '.md', '.tex')]
    inputs = ['--maps', tmp_path / 'maps', '--fixations', tmp_path / 'fixations']
    done = evaluate(*inputs, '--metrics', 'NSS', '--output', *outputs, PYTHONIOENCODING='ascii')
    assert (done.returncode, done.stderr) == (0, '')
    assert len(json.loads(outputs[1].read_text())['images']) == 4
    assert len(list(csv.reader(outputs[0].open(newline='')))) == 8
    done = evaluate(*inputs, '--self-check', LC_ALL='C')
    assert done.returncode in (0, 1) and 'Traceback' not in done.stderr


def test_a_reader_that_goes_away(data):
    command = [sys.executable, str(ROOT / '04-evaluate.py'), '--maps', str(data / 'maps')]
    command += ['--fixations', str(data / 'fixations'), '--metrics', 'NSS']
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 3 and b'Traceback' not in done.stderr


# --- the self-check ---


def test_self_check(data, tmp_path):
    inputs = ['--self-check', '--fixations', data / 'fixations']
    done = evaluate(*inputs, '--maps', data / 'maps')
    assert (done.returncode, done.stderr) == (0, '') and 'WRONG' not in done.stdout
    swapped = tmp_path / 'fixations'
    swapped.mkdir()
    for stem in STEMS:
        fixated = cv2.imread(str(data / 'fixations' / f'{stem}.png'), cv2.IMREAD_GRAYSCALE)
        turned = np.zeros_like(fixated)
        rows, columns = np.nonzero(fixated)
        turned[np.minimum(columns, SIZE[0] - 1), rows] = 255
        cv2.imwrite(str(swapped / f'{stem}.png'), turned)
    for maps in ([], ['--maps', data / 'maps']):
        done = evaluate('--self-check', '--fixations', swapped, *maps)
        assert done.returncode == 1 and 'WRONG' in done.stdout and 'swapped' in done.stdout


# --- snapshots ---


@pytest.mark.long
def test_figure3(data, tmp_path):
    """Two snapshots of an untrained generator, a broken one, and one of a run that diverged."""
    (tmp_path / 'snapshots').mkdir()
    for epoch in (0, 15):
        random = np.random.RandomState(epoch)
        arrays = [random.uniform(-0.05, 0.05, shape).astype(np.float32) for *_, shape in generator_layout()]
        np.savez(tmp_path / 'snapshots' / f'gen_modelWeights{epoch:04d}.npz', *arrays)
    (tmp_path / 'snapshots' / 'gen_modelWeights0030.npz').write_bytes(b'PK')
    huge = [array * np.float32(1e30) for array in arrays]
    np.savez(tmp_path / 'snapshots' / 'gen_modelWeights0045.npz', *huge)
    output, figure = tmp_path / 'r.json', tmp_path / 'new' / 'figure.png'
    inputs = ['--snapshots', tmp_path / 'snapshots', '--images', data / 'maps', '--size', '64x48']
    more = ['--fixations', data / 'fixations', '--batch-size', '5', '--figure', figure, '--output', output]
    done = evaluate(*inputs, *more, '--compare', 'table3')
    assert done.returncode == 1 and 'gen_modelWeights0030.npz' in done.stderr
    assert 'gen_modelWeights0045.npz: makes no finite map of' in done.stderr
    assert 'ours, epoch 15' in done.stdout
    found = json.loads(output.read_text())
    assert list(found['epochs']) == ['0', '15']
    assert set(found['epochs']['0']) == {'SIM', 'AUC-Judd', 'AUC-Borji', 'CC', 'NSS', 'IG'}
    assert found['epochs']['0']['NSS']['n'] == 12 and found['epochs']['0'] != found['epochs']['15']
    assert figure.exists() and figure.with_suffix('.pdf').exists()


# --- the real images ---


def swapped(path, folder):
    """A copy of a JSON of fixations in which columns stand before rows."""
    annotations = json.loads(path.read_text())
    for annotation in annotations['annotations']:
        annotation['fixations'] = [[column, row] for row, column in annotation['fixations']]
    copy = folder / 'fixations_swapped.json'
    copy.write_text(json.dumps(annotations))
    return copy


def test_self_check_on_real_images(reference_data, tmp_path):
    path = reference_data / 'salicon10' / 'fixations_train2014examples.json'
    for protocol in METRICS:
        done = evaluate('--self-check', '--fixations', path, '--protocol', protocol)
        assert done.returncode == 0 and 'WRONG' not in done.stdout
    done = evaluate('--self-check', '--fixations', swapped(path, tmp_path))
    assert done.returncode == 1 and done.stdout.count('swapped') == 2


def test_how_far_a_map_can_get_on_real_images(reference_data):
    """The truth itself gets an NSS of 1.65 on all mouse samples: the paper's 2.5 are on filtered ones."""
    path = str(reference_data / 'salicon10' / 'fixations_train2014examples.json')

    def of_the_truth_itself(fixation_filter):
        truth = ground_truth.read(path, fixation_filter=fixation_filter)
        scores = [metrics.nss(truth.blurred(stem), truth.fixation_map(stem)) for stem in truth.images]
        return np.mean(scores), sum(len(image.points) for image in truth.images.values())

    nss, count = of_the_truth_itself('none')
    assert nss == pytest.approx(1.65, abs=0.005) and count == 73_630
    nss, count = of_the_truth_itself('duplicates')
    assert nss > 2.6 and count == 3_965


@pytest.mark.long
def test_from_jpeg_to_table(reference_data, tmp_path):
    """The ten real images by the stand-in weights; and the same with swapped coordinates."""
    data, weights = reference_data / 'salicon10', tmp_path / 'standin.npz'
    fixations = data / 'fixations_train2014examples.json'
    assert script('weights/make_standin.py', '--output', weights).returncode == 0
    predicted = ['--weights', weights, '--output', tmp_path / 'maps', '--format', 'jpg,png,npy,overlay']
    assert script('03-predict.py', data / 'images', *predicted).returncode == 0
    done = evaluate('--maps', tmp_path / 'maps', '--fixations', fixations, '--output', tmp_path / 'r.json')
    assert (done.returncode, done.stderr) == (0, '')
    summary = json.loads((tmp_path / 'r.json').read_text())['summary']
    found = {metric: entry['mean'] for metric, entry in summary.items()}
    assert found['NSS'] > 1.2 and found['AUC-Judd'] > 0.8 and found['sAUC'] > 0.6 and found['IG'] > 0.2
    done = evaluate('--self-check', '--maps', tmp_path / 'maps', '--fixations', fixations)
    assert done.returncode == 0 and 'WRONG' not in done.stdout
    done = evaluate('--self-check', '--maps', tmp_path / 'maps', '--fixations', swapped(fixations, tmp_path))
    assert done.returncode == 1 and 'with row and column swapped' in done.stdout
