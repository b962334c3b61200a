"""The origin of the maps in a folder: `maps.json`, which 03 writes beside them and 04 reads.

    {"version": "1.0.0", "weights_sha256": "..", "settings": {"size": "256x192", ..}, "code_path": "..",
     "date": "2026-11-26T09:30:00Z"}

It says nothing about single images, so jobs that share a folder can share it. If maps of several weights or
settings were kept in one folder on purpose, "earlier" lists the previous records, null for maps without one.
"""

import json
import os
import time

from utils import archives
from utils.command_line import one_line, say
from utils.errors import CouldNotStart, Unreadable
from utils.files import is_temporary, read_bytes, write_bytes

NAME = 'maps.json'
LARGEST = 2**20  # bytes: usually a few hundred
FIELDS = ('version', 'weights_sha256', 'settings', 'code_path', 'date')


def record(version, weights_sha256, settings, code_path):
    """The contents of `maps.json` for a run that begins now.

    Parameters
    ----------
    version : str
        Of this project.
    weights_sha256 : str
        Of the weights' file.
    settings : dict of str -> str, number or bool
        What affects a map; runs agree if they give no setting two different values.
    code_path : str or None
        Which code computes the network here; None if nothing is left to do. It is not compared.

    Returns
    -------
    dict
    """
    date = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
    return dict(zip(FIELDS, (version, weights_sha256, settings, code_path, date)))


def read(folder):
    """The record in a folder of maps; None if there is none.

    Raises
    ------
    Unreadable
        If its file cannot be read, or is not such a record.
    """
    path = os.path.join(folder, NAME)
    return parse(read_bytes(path, LARGEST), path) if os.path.lexists(path) else None


def of_maps(path):
    """The record of a folder or an archive of maps; None if there is none, with a message if it is broken."""
    try:
        if not archives.is_archive(path) or os.path.isdir(path):
            return read(path)
        text = archives.provenance(path)
        return parse(text, path) if text else None
    except Unreadable as error:
        say(str(error))
        return None


def is_ours(path):
    """Whether an archive was written by 03."""
    try:
        return bool(parse(archives.provenance(path) or '', path))
    except Unreadable:
        return False


def parse(data, path):
    """The record in the bytes `data` of the file `path`; raises Unreadable if it is not one."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):  # ValueError: from JSON and from UTF-8
        found = None
    if not isinstance(found, dict) or any(field not in found for field in FIELDS):
        raise Unreadable(f'{path}: says nothing of where the maps are from, as 03 would; remove it')
    if not isinstance(found['settings'], dict):
        raise Unreadable(f'{path}: its settings are none; remove it')
    return found


def keep(folder, made, skip_existing, force, existing):
    """Updates `maps.json` in the folder, before the first map is written.

    Parameters
    ----------
    folder : path
    made : dict
        The run's `record`.
    skip_existing, force : bool
        Whether existing maps are kept, and whether also if they have other weights or settings.
    existing : int
        How many maps of the images to predict exist.

    Returns
    -------
    dict: the record that is now there; the previous one if the runs agree

    Raises
    ------
    CouldNotStart
        If maps of other weights or settings would be kept.
    """
    path = os.path.join(folder, NAME)
    try:
        there = read(folder)
        differences = different(there, made) if there else []
    except Unreadable as error:
        there, differences = None, [str(error)]
    if differences and not _holds_maps(folder):  # an earlier run wrote nothing but its record
        there, differences = None, []
    if there is None and skip_existing and existing and not differences:
        say(f'{path} is missing: which weights and settings made the maps that are kept cannot be told')
        made = {**made, 'earlier': [None]}
    if differences and skip_existing and not force:
        raise CouldNotStart(
            one_line(
                f'{path}: the maps there are not those of this run: {"; ".join(differences)}. Choose another '
                '--output, leave out --skip-existing to replace them, or keep them with --force'
            )
        )
    if differences and not skip_existing:
        say(one_line(f'{path}: replaced ({"; ".join(differences)}); maps that are not made anew are older'))
    if there and not differences:
        settings = {**there['settings'], **made['settings']}
        if settings == there['settings']:
            return there
        made = {**there, 'settings': settings}
    elif there and skip_existing:
        made = {**made, 'earlier': [*_earlier(there), {field: there[field] for field in FIELDS}]}
    if made['code_path'] is not None:
        write_bytes(path, (json.dumps(made, indent=1) + '\n').encode())
    return made


def _holds_maps(folder):
    return any(name != NAME and not is_temporary(name) for _, _, names in os.walk(folder) for name in names)


def _earlier(found):
    return found['earlier'] if isinstance(found.get('earlier'), list) else []


def different(there, made):
    """The differences between two records: a phrase for the weights and for each setting."""
    found = []
    if there['weights_sha256'] != made['weights_sha256']:
        found.append(f'weights {str(there["weights_sha256"])[:12]} there, {made["weights_sha256"][:12]} now')
    for name, value in made['settings'].items():
        if name in there['settings'] and there['settings'][name] != value:
            found.append(f'{name} {there["settings"][name]} there, {value} now')
    return found


def described(found):
    """A record in one line, for tables."""
    settings = ', '.join(f'{name} {value}' for name, value in found['settings'].items())
    text = (
        f'version {found["version"]}, weights {str(found["weights_sha256"])[:12]}, {settings}, '
        f'{found["code_path"]}, {found["date"]}'
    )
    if _earlier(found):
        unknown = ' unknown' if None in found['earlier'] else ''
        text += f'; mixed with maps of {len(found["earlier"])}{unknown} others'
    return one_line(text)
