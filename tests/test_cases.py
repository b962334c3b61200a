"""What real users meet (golden/cases): each case as its expected.json says, at several seeds."""

import importlib
import json

import make_cases
import pytest

from utils import image_sources, samples
from utils.errors import CouldNotStart, HadToStop

SEEDS = (0, 1)
prepare, evaluate = (importlib.import_module(name) for name in ('01-data-preprocessing', '04-evaluate'))


@pytest.fixture(scope='module', params=SEEDS)
def made(request, tmp_path_factory):
    """(folder, what make_cases expects)"""
    folder = tmp_path_factory.mktemp('cases')
    return folder, make_cases.make(str(folder), request.param)


def scored(case, *more):
    """The status of 04 on a case, and its JSON, None where there is none."""
    output = case / 'results.json'
    arguments = ['--maps', case / 'maps', '--fixations', case / 'fix', '--output', output, *more]
    try:
        status = evaluate.main([str(argument) for argument in arguments])
    except CouldNotStart as error:
        return 2, str(error)
    except HadToStop as error:
        return 3, str(error)
    return status, json.loads(output.read_text()) if output.exists() else None


def test_every_case_of_04(made, capsys):
    folder, expected = made
    judd = {}
    for name, case in expected.items():
        if case['script'] != '04' or name == 'map_turned':
            continue
        status, found = scored(folder / name)
        if case.get('refuse'):
            assert status in (2, 3) and '/a.' in found and '\n' not in found, name
            continue
        assert status == 0, name
        judd[name] = found['images']['a']['AUC-Judd']
        if 'NSS' in case:
            assert found['summary']['NSS']['mean'] == pytest.approx(case['NSS'], abs=1e-9), name
        if 'n' in case:
            counted = {metric: row['n'] for metric, row in found['summary'].items()}
            assert counted.pop('sAUC') == 0  # the only other image has no fixations
            assert set(counted.values()) == {case['n']}, name
            assert 'images without fixations, in no mean: 1 of 2: b' in capsys.readouterr().err
    assert judd['density_steep'] == judd['density_steep_scaled']


def test_a_log_density_is_scored_by_its_exponential_unless_asked(made, capsys):
    folder, _ = made
    case = folder / 'map_log_density'
    status, exponential = scored(case)
    assert status == 0 and 'log densities and are scored by their exponential' in capsys.readouterr().err
    assert all(row['n'] for name, row in exponential['summary'].items() if name != 'sAUC')
    status, as_is = scored(case, '--density', 'as-is')
    said = capsys.readouterr().err
    assert status == 0 and 'as they are' in said and 'KL, IG, EMD are not defined' in said
    assert {name for name, row in as_is['summary'].items() if not row['n']} == {'KL', 'IG', 'EMD', 'sAUC'}


def test_a_turned_map(made, capsys):
    folder, _ = made
    status, found = scored(folder / 'map_turned')
    assert (status, found) == (1, None)
    assert 'a.png: a map of 48 x 64 for an image of 64 x 48: turned' in capsys.readouterr().err
    assert scored(folder / 'map_turned', '--stretch')[0] == 0


def test_every_case_of_01(made, tmp_path):
    folder, expected = made
    for name, case in expected.items():
        if case['script'] != '01':
            continue
        output = tmp_path / name
        assert prepare.main(['--salicon', str(folder / name), '--output', str(output)]) == 0
        train, val = (samples.read(output / f'{split}Data.pickle') for split in ('train', 'validation'))
        if 'train' in case:
            assert (len(train), len(val)) == (case['train'], case['val'])
        else:
            (sample,) = val
            assert len(sample.fixation.data[0]) == case['points_of_the_validation_sample']


def test_every_case_of_03(made):
    folder, expected = made
    for name, case in expected.items():
        if case['script'] == '03':
            sources, no_images = image_sources.find([str(folder / name / case['images'])])
            assert [source.name for source in sources] == case['predicted']
            assert len(no_images) == case['status'] == 1 and '/a.' in no_images[0]


def test_the_self_check_takes_what_is_scored_of_a_log_density(made, capsys):
    folder, _ = made
    case = folder / 'map_log_density'
    evaluate.main(['--self-check', '--fixations', str(case / 'fix'), '--maps', str(case / 'maps')])
    assert 'the maps' in capsys.readouterr().out
