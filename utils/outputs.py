"""The output of 03 for an image: which files, whether they may be written, and the writing itself."""

import argparse
import collections
import errno
import io
import os

from utils.command_line import describe, one_line, positive, say
from utils.errors import CouldNotStart, Unreadable

# name in --format -> what follows the image's name
FORMATS = {'jpg': '.jpg', 'png': '.png', 'npy': '.npy', 'density': '.npy', 'overlay': '_overlay.jpg'}
FILMS = {'mkv': '.mkv', 'webm': '.webm'}  # only for a film
CONTACT_SHEET = 'contact_sheet.jpg'


def formats(text):
    """'jpg,npy' -> ['jpg', 'npy'], the value of --format."""
    names = text.split(',')
    for name in names:
        if name not in {**FORMATS, **FILMS}:
            raise argparse.ArgumentTypeError(f'{name!r} is none of {", ".join([*FORMATS, *FILMS])}')
    if {'npy', 'density'} <= set(names):
        raise argparse.ArgumentTypeError('npy and density are files of one name; write one of them')
    return list(dict.fromkeys(names))


def add_outputs(parser):
    """Adds the options of 03 for its output."""
    option = parser.add_argument
    option('--output', default='saliency/', metavar='DIR', help='folder for the maps')
    option(
        '--format',
        type=formats,
        metavar='LIST',
        help='jpg (as in 2017), png (the same, lossless), npy (float32 in 0..1, not rounded to 8 bits or '
        'blurred), density (npy of its normalised logarithm, for the MIT/Tuebingen benchmark), '
        'overlay (a heat map over the image), and for films mkv (lossless) and webm (the overlay), separated '
        'by commas (default: jpg; mkv for films)',
    )
    option('--every', type=positive, default=1, metavar='N', help='predict every Nth frame of films')
    option(
        '--archive',
        metavar='FILE',
        help='write all maps, of one format, to an .hdf5 or .zip file for a benchmark (default: none)',
    )
    option('--skip-existing', action='store_true', help='leave out images whose maps exist')
    option(
        '--force',
        action='store_true',
        help="with --skip-existing keep maps of other weights or settings; replace others' --archive",
    )


# --- before anything is written ---


def complete(options, sources):
    """Fills in the formats of images, `options.format`, and of films, `options.film_format`.

    Raises
    ------
    CouldNotStart
        If an option does not fit the images or films to predict.
    """
    films = [source for source in sources if source.read is None]
    given = options.format
    if not films and given and not set(given) - set(FILMS):
        raise CouldNotStart(f'--format {",".join(given)} is for films, and there are only images')
    if not films and options.every > 1:
        raise CouldNotStart('--every is for films, and there are only images')
    if films and (options.archive or options.scheduler or options.scheduler_file):
        what = '--archive' if options.archive else 'a scheduler'
        raise CouldNotStart(
            f'{films[0].path}: {what} takes images only; leave films out, as by --glob, or predict them in a '
            'run of their own'
        )
    options.film_format = given or ['mkv']
    options.format = [name for name in given or () if name in FORMATS] or ['jpg']


def archive_keys(sources, options):
    """The name of each source in the archive: dict of Source -> str; None if no archive is wanted.

    Raises
    ------
    CouldNotStart
        If no archive of these images can be written there.
    """
    from utils import archives
    from utils.evaluation import provenance
    from utils.files import make_folder

    if not options.archive:
        return None
    if len(set(options.format) - {'overlay'}) != 1:
        raise CouldNotStart('an archive holds one map of an image: --archive takes one --format')
    archives.check(options.archive)
    if os.path.exists(options.archive) and not options.force and not provenance.is_ours(options.archive):
        raise CouldNotStart(
            f'{options.archive}: is there, and was not written by this program; choose another name, or '
            'replace it with --force'
        )
    make_folder(os.path.dirname(options.archive) or '.')
    names = [source.name + os.path.splitext(source.path)[1] for source in sources]
    return dict(zip(sources, archives.keys(names)))


def keep_record(options, kept, code_path):
    """Updates the maps' `maps.json`; returns its record. See `provenance.keep`.

    Parameters
    ----------
    options : those of `add_outputs`, and `weights`, `size`
    kept : int
        For how many images existing maps are kept.
    code_path : str or None
        See `provenance.record`; None if nothing is left to predict.
    """
    from utils import VERSION
    from utils.evaluation import provenance
    from utils.files import sha256_of
    from utils.saliency_maps import DENSITY_FLOOR

    settings = {'size': '{}x{}'.format(*options.size), 'ignore orientation': options.ignore_orientation}
    if 'npy' in options.format:
        settings['npy'] = 'map'
    if 'density' in options.format:
        settings['npy'] = f'log((map + {DENSITY_FLOOR}) / sum)'
        say(f'densities are {settings["npy"]}, of the map in 0..1')
    if code_path is None and not os.path.exists(options.weights):  # nor are the weights needed
        return provenance.read(options.output)
    made = provenance.record(VERSION, sha256_of(options.weights), settings, code_path)
    return provenance.keep(options.output, made, options.skip_existing, options.force, kept)


def write_archive(options, keys, targets, skipped, record):
    """Writes the archive of the existing maps."""
    from utils import archives

    name = next(name for name in options.format if name != 'overlay')
    maps = {key: targets[source][name] for source, key in keys.items() if source not in skipped}
    archives.write(options.archive, maps, record)
    say(f'{len(maps)} of {len(keys)} maps in {options.archive}, and the same when it was read again')


def plan(sources, folder, formats, film_formats=('mkv',), also_read=()):
    """The files to which each image's maps are written.

    Parameters
    ----------
    sources : list of `utils.image_sources.Source`
    folder : path
    formats : list of str
        For images, from `FORMATS`.
    film_formats : list of str
        For films, from `FORMATS` and `FILMS`.
    also_read : paths
        Of other files that must not be replaced: the weights.

    Returns
    -------
    dict of Source -> dict of format -> path; for an image format of a film the path is a folder of images

    Raises
    ------
    CouldNotStart
        If two of them would be the same file, or an existing file would be lost.
    """
    endings: dict = {False: {name: FORMATS[name] for name in formats}}
    endings[True] = {name: FILMS.get(name, '') for name in film_formats}
    targets = {
        source: {
            name: os.path.join(folder, source.name + ending)
            for name, ending in endings[source.read is None].items()
        }
        for source in sources
    }
    writers = collections.defaultdict(list)
    for source in sources:
        for path in dict.fromkeys(targets[source].values()):  # a film's images share their folder
            writers[os.path.normpath(path)].append(source.path)
    if 'overlay' in formats:
        writers[os.path.normpath(os.path.join(folder, CONTACT_SHEET))].append('the contact sheet')
    read = {os.path.realpath(path) for path in (*also_read, *(source.path for source in sources))}
    folders = {
        os.path.normpath(path)
        for source in sources
        for name, path in targets[source].items()
        if source.read is None and name in FORMATS
    }
    for path, of in writers.items():
        why = clash(path, of, writers, read, folders)
        if why:
            raise CouldNotStart(one_line(why))
    return targets


def clash(path, of, writers, read, folders):
    """Why `path`, made from the images `of`, cannot be written; None if it can. It may be in `folders`."""
    if len(of) > 1:
        return f'{of[0]} and {of[1]} would both be written to {path}; rename or leave out one of them'
    for folder in _folders_of(path):
        if folder in writers:
            return (
                f'{writers[folder][0]} would be written to {folder}, which {of[0]} needs for a folder; '
                'rename one of them'
            )
    if os.path.realpath(path) in read:
        return f'{path} is read, and what is made of {of[0]} would replace it; choose another --output'
    if path not in folders and os.path.isdir(path):
        return f'{path} is a folder, and what is made of {of[0]} needs the name; choose another --output'
    return None


def _folders_of(path):
    while os.path.dirname(path) not in ('', path):
        path = os.path.dirname(path)
        yield path


def make_folders(targets, folder):
    """Creates the folders of all files of a plan, and checks that they are writable."""
    from utils.files import make_folder

    folders = {os.path.dirname(path) for of in targets.values() for path in of.values()}
    for each in sorted(folders | {os.path.join(folder, '')}):
        make_folder(each)


# --- writing ---


def write_maps(paths, saliency_map, size, image=None):
    """Writes one image's maps.

    Parameters
    ----------
    paths : dict of format -> path
    saliency_map : float array, shape (rows, columns), in 0..1
        The network's.
    size : (rows, columns)
        Of the maps to write.
    image : uint8 array, shape (any, any, 3), RGB
        For an overlay.

    Returns
    -------
    None, or one sentence on why a map cannot be written for this image

    Raises
    ------
    OSError
        If nothing can be written there: a full disk.
    """
    import numpy as np

    from utils import saliency_maps
    from utils.files import write_bytes
    from utils.images import write_image

    finished = saliency_maps.finish(saliency_map, *size)
    for name, path in paths.items():
        try:
            if name in ('npy', 'density'):
                make = saliency_maps.at_size if name == 'npy' else saliency_maps.log_density
                data = io.BytesIO()
                np.save(data, make(saliency_map, *size))
                write_bytes(path, data.getbuffer())
            else:
                write_image(path, saliency_maps.overlay(image, finished) if name == 'overlay' else finished)
        except ValueError as error:  # no such size in this format
            return f'{path}: {error}; take another --format'
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return describe(error)
    return None


def write_contact_sheet(overlays, folder, threads=2):
    """Writes all overlays to one picture, in order; reports those that cannot be read."""
    from utils import saliency_maps
    from utils.images import read_rgb, write_image
    from utils.parallel import in_order

    if not overlays:
        return
    width, height = saliency_maps.sheet_cell(len(overlays))

    def cell(path):
        try:
            return saliency_maps.thumbnail(read_rgb(path), width, height)
        except Unreadable as error:  # one of an earlier run, since broken
            say(f'left out of the contact sheet: {error}')

    cells = [each for each in in_order(cell, overlays, threads) if each is not None]
    if cells:
        write_image(os.path.join(folder, CONTACT_SHEET), saliency_maps.contact_sheet(cells))
