"""What a run was made with: kept beside it, and held against what it is to go on with."""

import json
from argparse import Namespace

import pytest

from utils import VERSION
from utils.errors import CouldNotStart
from utils.training import checkpoint, run_record

VERSIONS, DATA = {'numpy': '1'}, {'training data': 'a'}


@pytest.fixture(autouse=True)
def no_lock(monkeypatch):
    """A process holds a folder until it ends; here it opens the same one again."""
    monkeypatch.setattr(run_record, '_lock', lambda folder: None)


def after(updates):
    """A checkpoint of so many updates, within an epoch."""
    return checkpoint.Checkpoint({'updates': updates, 'batches': 5}, {})


def begins_anew(found):
    """Whether the epoch that was under way does."""
    return found.state['batches'] == 0


def options(folder, **changes):
    settings = {'mode': 'bce', 'learning_rate': 0.1, 'epochs': 3, 'resume': True, 'force': False}
    return Namespace(output=str(folder), **{**settings, **changes})


def test_the_same_again_is_accepted_and_so_is_what_may_change(tmp_path):
    assert run_record.open_run(options(tmp_path, resume=False)) is None
    assert run_record.accept(options(tmp_path), None, VERSIONS, DATA) is None
    again = options(tmp_path, epochs=9)
    assert run_record.open_run(again) is None
    assert run_record.accept(again, after(7), VERSIONS, DATA) == after(7)


@pytest.mark.parametrize(
    ('changes', 'versions', 'data', 'message'),
    [
        ({'learning_rate': 0.2}, VERSIONS, DATA, 'learning-rate was 0.1 and is 0.2'),
        ({'mode': 'salgan'}, VERSIONS, DATA, 'mode was bce and is salgan'),
        ({'new_option': 1}, VERSIONS, DATA, 'new-option was None and is 1'),
        ({}, {'numpy': '2'}, DATA, 'numpy was 1 and is 2'),
        ({}, VERSIONS, {'training data': 'b'}, 'training data was a and is b'),
    ],
)
def test_anything_else_is_refused_and_accepted_with_force(tmp_path, capsys, changes, versions, data, message):
    run_record.accept(options(tmp_path), None, VERSIONS, DATA)
    before = (tmp_path / 'run.json').read_bytes()
    with pytest.raises(CouldNotStart, match=message):
        run_record.accept(options(tmp_path, **changes), after(7), versions, data)
    assert (tmp_path / 'run.json').read_bytes() == before
    assert begins_anew(run_record.accept(options(tmp_path, force=True, **changes), after(7), versions, data))
    assert message in capsys.readouterr().err


def test_a_change_counts_until_there_is_another_checkpoint(tmp_path):
    """Or an order of samples from before it would be gone on with, had the first attempt been killed."""
    run_record.accept(options(tmp_path), None, VERSIONS, DATA)
    changed = options(tmp_path, learning_rate=0.2)
    assert begins_anew(
        run_record.accept(options(tmp_path, learning_rate=0.2, force=True), after(7), VERSIONS, DATA)
    )
    assert begins_anew(run_record.accept(changed, after(7), VERSIONS, DATA))
    assert begins_anew(run_record.accept(changed, after(7), VERSIONS, DATA))
    assert not begins_anew(run_record.accept(changed, after(12), VERSIONS, DATA))


@pytest.mark.parametrize('content', [None, b'', b'{}', b'[]', b'\xff', b'{"settings": 3}'])
def test_a_missing_or_broken_record_is_refused_and_accepted_with_force(tmp_path, content):
    checkpoint.save(tmp_path, 2, {'epoch': 1}, {})
    if content is not None:
        (tmp_path / 'run.json').write_bytes(content)
    with pytest.raises(CouldNotStart, match=r'run\.json'):
        run_record.open_run(options(tmp_path))
    assert run_record.open_run(options(tmp_path, force=True)) == ({'epoch': 1}, {})
    assert begins_anew(run_record.accept(options(tmp_path, force=True), after(2), VERSIONS, DATA))
    assert not begins_anew(run_record.accept(options(tmp_path), after(5), VERSIONS, DATA))


def test_force_does_not_begin_anew_where_snapshots_are(tmp_path):
    (tmp_path / 'gen_modelWeights0000.npz').write_bytes(b'mine')
    with pytest.raises(CouldNotStart, match='another --output'):
        run_record.open_run(options(tmp_path, force=True))


def test_damaged_checkpoints_are_never_begun_anew_over(tmp_path):
    run_record.accept(options(tmp_path), None, VERSIONS, DATA)
    (tmp_path / 'checkpoint00000002.npz').write_bytes(b'')
    with pytest.raises(CouldNotStart, match='none of its checkpoints is intact'):
        run_record.open_run(options(tmp_path))


@pytest.mark.parametrize(('version', 'said'), [('0.9', 'version 0.9'), (None, 'an earlier version')])
def test_a_run_of_another_version_is_resumed_with_a_warning(tmp_path, capsys, version, said):
    run_record.accept(options(tmp_path), None, VERSIONS, DATA)
    path = tmp_path / 'run.json'
    record = json.loads(path.read_text())
    assert record.pop('version') == VERSION
    path.write_text(json.dumps({**record, 'version': version} if version else record))
    assert capsys.readouterr().err == ''
    assert run_record.accept(options(tmp_path), after(7), VERSIONS, DATA) == after(7)
    assert f'was made by {said} of this project and continues with {VERSION}' in capsys.readouterr().err
    assert json.loads(path.read_text())['version'] == VERSION
    run_record.accept(options(tmp_path), after(7), VERSIONS, DATA)
    assert capsys.readouterr().err == ''
