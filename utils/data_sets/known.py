"""The data sets that are recognised as they are distributed: their facts, and where their parts are.

`recognise` looks at names first, and into a file only if names are not enough. `known_sets.read` reads the
result; `image_files` gives the images that 03 predicts, `map_files` the blurred maps that come with a set.
"""

import os
from functools import lru_cache
from typing import NamedTuple, Optional

from utils.data_sets.readers import ARRAYS, IMAGES
from utils.errors import CouldNotStart
from utils.files import walk

DEEPEST = 4  # levels of folders below the named one that are searched for a set
MOST_FOLDERS = 2000  # searched at most
SMALL = 2**20  # bytes of a file that is opened only to identify it
FIXATIONS_SUFFIX, MAP_SUFFIX = '_fixPts', '_fixMap'


class Facts(NamedTuple):
    """What is known about a data set; sources in docs/data-sets.md."""

    name: str
    images: Optional[int]  # number with public fixations; None if anybody may make such a set
    sigma: Optional[float]  # pixels, of the set's blur
    files: str  # what the fixations are read from
    loses: str  # what the format does not record; '' for nothing
    ignore_orientation: bool = False

    @property
    def repeats(self):
        """Whether the format records how often a pixel was fixated."""
        return 'how often' not in self.loses


_MERGED = 'how often a pixel was fixated'
SALICON = Facts('SALICON', 15000, None, 'fixations/*.mat, or fixations_*.json', '')
MIT1003 = Facts('MIT1003', 1003, 23.99, 'ALLFIXATIONMAPS/NAME_fixPts.jpg', _MERGED)
MIT300 = Facts('MIT300', None, 23.99, 'none: private', '')
CAT2000 = Facts('CAT2000', 2000, 40, 'trainSet/FIXATIONLOCS/CATEGORY/NNN.mat, fixLocs', _MERGED, True)
TORONTO = Facts('TORONTO', 120, None, 'origfixdata.mat, white', _MERGED)
OSIE = Facts('OSIE', 700, 24, 'data/eye/fixations.mat, fixations', '')
DUT_OMRON = Facts('DUT-OMRON', 5168, 16, 'DUT-OMRON-eye-fixations/mat/NAME.mat, s', '')
FIWI = Facts('FIWI', 149, 30, 'all5/NAME.png', _MERGED)
PASCAL_S = Facts('PASCAL-S', 850, None, 'datasets/fixations/pascalFix.mat, fixCell (needs h5py)', '')
COCO_FREEVIEW = Facts('COCO-Freeview', 4317, 30, 'COCOFreeView_fixations_trainval.json', '')
SUFFIXED = Facts('NAME_fixPts', None, None, 'fixations/NAME_fixPts.png', _MERGED)
TRANSALNET = Facts('TranSalNet', None, None, 'train/train_fixation/NAME.bmp', _MERGED)
SETS = (
    SALICON, MIT1003, MIT300, CAT2000, TORONTO, OSIE, DUT_OMRON, FIWI, PASCAL_S, COCO_FREEVIEW, SUFFIXED,
    TRANSALNET,
)  # fmt: skip


class Found(NamedTuple):
    """A data set on disk: paths, None if there is no such part."""

    facts: Facts
    root: str  # the folder in which it was recognised
    images: tuple = ()  # folders
    fixations: Optional[str] = None  # folder or file
    maps: Optional[str] = None  # folder of the blurred maps that come with the set

    def __str__(self):
        return f'{self.facts.name} in {self.root}'


def recognise(path, deepest=DEEPEST):
    """The data set in `path`, or whose fixations `path` is; None if it is not in `SETS`.

    Parameters
    ----------
    path : path of a folder or a file
    deepest : int
        Folders below the one that is named, in which a set is looked for.

    Raises
    ------
    CouldNotStart
        If there are several sets in it.
    """
    path = os.path.normpath(os.fspath(path))
    _files.cache_clear()
    _folders.cache_clear()
    if os.path.isfile(path):
        return _of_file(path)
    for folders in _levels(path, deepest):
        found = [each for each in map(_in_folder, folders) if each]
        if len(found) > 1:
            names = ' and '.join(map(str, found[:2]))
            raise CouldNotStart(f'{path}: several data sets in it, {names}; name one of them')
        if found:
            return found[0]
    return None


def image_files(found):
    """The images of a set, and nothing else: stem -> path.

    `Output` folders, in which CAT2000 has other models' maps, are left out; if an image is in several of
    COCO-Freeview's folders by task, one copy is used.
    """
    files: dict = {}
    names = set()
    for folder in found.images:
        for relative in walk(folder):
            parts = relative.split(os.sep)
            stem, extension = os.path.splitext(relative)
            if 'Output' in parts[:-1] or parts[-1].startswith('.') or extension.lower() not in IMAGES:
                continue
            if found.facts is COCO_FREEVIEW and parts[-1] in names:
                continue
            names.add(parts[-1])
            files.setdefault(stem.replace(os.sep, '/'), os.path.join(folder, relative))
    return files


def map_files(found):
    """The blurred maps that come with a set: stem -> path; empty if it has none."""
    return files_of(found.maps, MAP_SUFFIX) if found.maps else {}


def files_of(folder, suffix=''):
    """Stem -> path of the maps in a folder whose names end in `suffix`; stems omit it.

    If no name ends in it, all maps: few sets use suffixes.
    """
    every = {}
    for relative in walk(folder):
        name, (stem, extension) = os.path.basename(relative), os.path.splitext(relative)
        if not name.startswith('.') and extension.lower() in IMAGES | ARRAYS:
            every.setdefault(stem.replace(os.sep, '/'), os.path.join(folder, relative))
    ends = {stem[: -len(suffix)]: path for stem, path in every.items() if suffix and stem.endswith(suffix)}
    return ends or every


def table():
    """What `04-evaluate.py --list-data-sets` prints: one line per set."""
    rows = [('data set', 'images', 'blur', 'fixations are read from', 'not recorded in its files')]
    for facts in SETS:
        blur = f'{facts.sigma:g} px' if facts.sigma else '-'
        rows.append((facts.name, str(facts.images or '-'), blur, facts.files, facts.loses or '-'))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, '  '.join('-' * width for width in widths))
    return '\n'.join(
        [*lines, '', '04-evaluate.py --maps MAPS --fixations FOLDER reads any of them; so do 01 and 03']
    )


# --- where the parts are ---


def _levels(top, deepest):
    """The folders at each depth below `top`, `top` first."""
    level, seen = [top], 1
    for _ in range(deepest + 1):
        yield level
        below = [os.path.join(folder, name) for folder in level for name in _folders(folder)]
        seen += len(below)
        if not below or seen > MOST_FOLDERS:
            return
        level = below


@lru_cache(maxsize=4096)
def _folders(folder):
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith('.'))
    except OSError:
        return []


@lru_cache(maxsize=4096)
def _files(folder):
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if not e.name.startswith('.') and e.is_file())
    except OSError:
        return []


def _at(folder, *relative):
    """The first existing folder of these relative paths, ignoring case; None if there is none."""
    for path in relative:
        at = folder
        for part in path.split('/'):
            if part == '..':
                at = os.path.normpath(os.path.join(at, part))
                continue
            names = [name for name in _folders(at) if name.lower() == part.lower()]
            if not names:
                break
            at = os.path.join(at, part if part in names else names[0])
        else:
            return at
    return None


def _file_at(folder, name):
    names = [each for each in _files(folder) if each.lower() == name.lower()]
    return os.path.join(folder, names[0]) if names else None


def _in_folder(folder):
    """The set whose root, or whose folder of fixations, this folder is."""
    for look in (
        _mit1003, _cat2000, _toronto, _osie, _pascal_s, _dut_omron, _fiwi, _coco_freeview, _transalnet,
        _suffixed, _mit300, _salicon,
    ):  # fmt: skip
        found = look(folder)
        if found:
            return found
    return None


def _found(facts, root, images, fixations=None, maps=None):
    return Found(facts, root, (images,) if images else (), fixations, maps)


def _mit1003(folder):
    fixations = _named(folder, 'ALLFIXATIONMAPS')
    images = _at(fixations or folder, *(('../ALLSTIMULI',) if fixations else ('ALLSTIMULI',)))
    if not (fixations or images):
        return None
    return _found(MIT1003, folder, images, fixations, fixations)


def _named(folder, name):
    """`folder` if it has that name, otherwise the folder of that name in it, or None."""
    if os.path.basename(os.path.abspath(folder)).lower() == name.lower():
        return folder
    return _at(folder, name)


def _cat2000(folder):
    fixations = _named(folder, 'FIXATIONLOCS') or _at(folder, 'trainSet/FIXATIONLOCS')
    train = fixations and _at(fixations, '..')
    images = [_at(train, 'Stimuli')] if train else []
    maps = _at(train, 'FIXATIONMAPS') if train else None
    if not _named(folder, 'FIXATIONLOCS'):  # the whole set: the images of both halves
        images.append(_at(folder, 'testSet/Stimuli') or _at(folder, 'Stimuli'))
        images.append(_at(folder, 'trainSet/Stimuli'))
    there = tuple(dict.fromkeys(each for each in images if each))
    is_test = any(_at(each, f'{name}/Output') for each in there for name in _folders(each)[:3])
    return Found(CAT2000, folder, there, fixations, maps) if fixations or is_test else None


def _toronto(folder):
    fixations = _file_at(folder, 'origfixdata.mat')
    images = _at(folder, 'Original Image Set')
    return _found(TORONTO, folder, images, fixations) if fixations or images else None


def _osie(folder):
    fixations = _file_at(folder, 'fixations.mat')
    images = _at(folder, '../stimuli', 'stimuli')
    if fixations and (images or _variables(fixations) & {'fixations'}):
        return _found(OSIE, folder, images, fixations)
    return None


def _pascal_s(folder):
    fixations = _file_at(folder, 'pascalFix.mat')
    if not fixations:
        return None
    images = _at(folder, '../imgs/pascal', 'imgs/pascal', '../images', 'images')
    maps = _at(folder, '../../algmaps/pascal/humanFix', '../algmaps/pascal/humanFix', 'humanFix')
    return _found(PASCAL_S, folder, images, fixations, maps)


def _dut_omron(folder):
    eye = _named(folder, 'DUT-OMRON-eye-fixations')
    if eye:
        return _found(DUT_OMRON, folder, _at(eye, '../DUT-OMRON-image'), _at(eye, 'mat') or eye)
    files = [name for name in _files(folder) if name.lower().endswith('.mat')]
    first = os.path.join(folder, files[0]) if files else None
    if not first or os.path.getsize(first) > SMALL or 's' not in _variables(first):
        return None
    return _found(DUT_OMRON, folder, _at(folder, '../../DUT-OMRON-image', '../DUT-OMRON-image'), folder)


def _fiwi(folder):
    fixations = _named(folder, 'all5')
    if not fixations:
        return None
    return _found(FIWI, folder, _at(fixations, '../stimuli'), fixations)


def _coco_freeview(folder):
    names = [n for n in _files(folder) if n.lower().endswith('.json') and 'freeview' in n.lower()]
    if not names:
        return None
    whole = [name for name in names if 'trainval' in name.lower()] or names[:1]
    return _of_scanpaths(os.path.join(folder, whole[0]))


def _of_scanpaths(path):
    folder = os.path.dirname(path) or '.'
    images = _at(folder, 'images', 'coco_search18_images_TA', 'COCOFreeView_images', 'stimuli')
    return _found(COCO_FREEVIEW, path, images, path)


def _transalnet(folder):
    name = os.path.basename(os.path.abspath(folder)).lower()
    for split in ('train', 'val'):
        fixations = folder if name == f'{split}_fixation' else _at(folder, f'{split}_fixation')
        if fixations:
            images = _at(fixations, f'../{split}_stimuli')
            return _found(TRANSALNET, folder, images, fixations, _at(fixations, f'../{split}_saliency'))
    return None


def _suffixed(folder):
    fixations = _at(folder, 'fixations', 'fixation') or folder
    stems = (os.path.splitext(name) for name in _files(fixations))
    if not any(stem.endswith(FIXATIONS_SUFFIX) and end.lower() in IMAGES | ARRAYS for stem, end in stems):
        return None
    root = folder if fixations != folder else _at(folder, '..')
    images = _at(root, 'images', 'stimuli')
    maps = _at(root, 'maps', 'saliency')
    if not maps and any(os.path.splitext(name)[0].endswith(MAP_SUFFIX) for name in _files(fixations)):
        maps = fixations
    return _found(SUFFIXED, folder, images, fixations, maps)


def _mit300(folder):
    images = _named(folder, 'BenchmarkIMAGES')
    return _found(MIT300, folder, images) if images else None


def _salicon(folder):
    images = _at(folder, 'images')
    beside = _at(folder, 'maps', 'saliency'), _at(folder, 'fixations', 'fixation')
    json_files = [n for n in _files(folder) if n.startswith('fixations') and n.lower().endswith('.json')]
    if not images or not (beside[1] or json_files):
        return None
    return Found(SALICON, folder, (images,), beside[1] or folder, beside[0])


def _of_file(path):
    """The set whose fixations are all in this file."""
    folder, name = os.path.dirname(path) or '.', os.path.basename(path).lower()
    if name.endswith('.json'):
        return _of_scanpaths(path) if is_list(path) else None
    if not name.endswith('.mat'):
        return None
    held = _variables(path)
    for variable, facts, look in (
        ('white', TORONTO, _toronto),
        ('fixCell', PASCAL_S, _pascal_s),
        ('fixations', OSIE, _osie),
    ):
        if variable in held or (facts is PASCAL_S and name == 'pascalfix.mat'):
            found = look(folder)
            return found._replace(fixations=path) if found else _found(facts, folder, None, path)
    return None


def is_list(path):
    """Whether a JSON file is a list: COCO-Freeview's is, SALICON's is an object."""
    try:
        with open(path, 'rb') as file:
            return file.read(4096).lstrip(b'\xef\xbb\xbf \t\r\n').startswith(b'[')
    except OSError:
        return False


def _variables(path):
    """The names of the variables of a .mat; none if it cannot be read: reading it later says why."""
    from utils.data_sets import matlab
    from utils.errors import Unreadable

    try:
        return matlab.read(path).keys()
    except Unreadable:
        return set()
