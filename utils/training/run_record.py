"""The record of a training run, so that it is never resumed with different settings by accident."""

import glob
import json
import os

from utils import VERSION, files
from utils.command_line import say
from utils.errors import CouldNotStart
from utils.files import make_folder, write_bytes
from utils.training import checkpoint, snapshots

NAME = 'run.json'
# Options that may change when a run is resumed: how long, what is watched, where files are.
FREE = {
    'epochs',
    'snapshot_every',
    'keep',
    'tensorboard',
    'validation_images',
    'train',
    'validation',
    'vgg16',
}
CHANGED_AFTER = 'changed after update'
UNKEPT = {'output', 'folder', 'resume', 'force'}


def open_run(options):
    """Reserves the output folder for this process, and finds the state of the run in it.

    Returns
    -------
    Checkpoint, the newest intact one, or None if there is none yet

    Raises
    ------
    CouldNotStart
        If the folder cannot be written to, another run is under way in it, it contains a run that is not to
        be resumed, that run was made with other settings, or none of its checkpoints is intact.
    """
    folder = options.output
    _lock(folder)
    if not _holds_run(folder):
        if options.resume:
            say(f'{folder}: no run in it yet; this one begins')
        return None
    if not options.resume:
        raise CouldNotStart(
            f'{folder}: it already contains a run; continue it with --resume, or choose another --output'
        )
    if not options.force:
        _check(options, {'settings': _settings(options)})
    found = checkpoint.newest(folder)
    if found is None and checkpoint.paths(folder):
        raise CouldNotStart(
            f'{folder}: none of its checkpoints is whole; begin another run from its last snapshot, with '
            '--generator (and --discriminator) and another --output'
        )
    if found is None and options.force and snapshots.find(folder):
        raise CouldNotStart(
            f'{folder}: it contains snapshots but no checkpoint to continue from, and --force would '
            'overwrite them; begin another run from the last one, with --generator and another --output'
        )
    if found is None:
        say(f'{folder}: no checkpoint in it yet; the run begins anew')
    checkpoint.prune(folder)  # in case it was killed just before that
    return found


def accept(options, found, versions, data):
    """Compares settings, versions and data with those of the run in the output folder, and records them.

    Parameters
    ----------
    options : Namespace
        The options of 02; with `force` they may differ.
    found : Checkpoint or None
        What `open_run` returned.
    versions, data : dict of str -> str
        Of the software, and fingerprints of the samples.

    Returns
    -------
    Checkpoint or None
        The checkpoint from which the run continues: `found`, but at the beginning of its epoch if something
        has changed since, for instance the number of batches.

    Raises
    ------
    CouldNotStart
        If something differs.
    """
    record: dict = {'settings': _settings(options), 'versions': versions, 'data': data}
    updates = found.state['updates'] if found else None
    changed_after = None
    if _holds_run(options.output):
        # saved too, since the process may end before another checkpoint is written
        if _check(options, record):
            changed_after = updates
        else:
            before = _read(options.output)
            changed_after = before.get(CHANGED_AFTER)
            if before.get('version') != VERSION:
                made_by = f'version {before["version"]}' if 'version' in before else 'an earlier version'
                say(
                    f'{options.output}: the run was made by {made_by} of this project and continues with '
                    f'{VERSION}: CHANGELOG.md says where numbers differ'
                )
    write_bytes(
        os.path.join(options.output, NAME),
        (json.dumps({'version': VERSION, **record, CHANGED_AFTER: changed_after}, indent=1) + '\n').encode(),
        durable=True,
    )
    if found and changed_after == updates:
        return found._replace(state={**found.state, 'batches': 0})
    return found


def _lock(folder):
    """Keeps other runs out of `folder` until this process ends in any way."""
    make_folder(folder)
    try:
        files.lock(folder)
    except BlockingIOError:
        raise CouldNotStart(f'{folder}: a run is under way in it; choose another --output') from None


def _holds_run(folder):
    patterns = (NAME, 'checkpoint*.npz', 'gen_modelWeights*.npz', 'di*rim_modelWeights*.npz')
    return any(glob.glob(os.path.join(glob.escape(folder), pattern)) for pattern in patterns)


def _read(folder):
    with open(os.path.join(folder, NAME), encoding='utf-8') as file:
        return json.load(file)


def _settings(options):
    settings = {key: value for key, value in vars(options).items() if key not in UNKEPT}
    return json.loads(json.dumps(settings))  # as read back from the file: lists for tuples


def _shown(part, key):
    return key.replace('_', '-') if part == 'settings' else key  # settings as their options are spelt


def _check(options, record):
    """Whether `record` differs from the run's own; refused without --force, reported with it."""
    folder = options.output
    try:
        before = _read(folder)
        differences = [
            f'{_shown(part, key)} was {before[part].get(key)} and is {now.get(key)}'
            for part, now in record.items()
            for key in sorted({*before[part], *now} - FREE)
            if before[part].get(key) != now.get(key)
        ]
    except FileNotFoundError:
        differences = [f'there is no {NAME} to compare with']
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        differences = [f'its {NAME} cannot be read']
    if not differences:
        return False
    text = f'{folder}: the run in it was made with something else: {"; ".join(differences)}'
    if not options.force:
        raise CouldNotStart(
            f'{text}. Give the same, choose another --output, or continue regardless with --force'
        )
    say(text)
    return True
