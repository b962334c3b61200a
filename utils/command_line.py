"""Shared by the four scripts' command lines: the parser, the exit statuses, the messages.

Exit statuses: 0 all done; 1 done, but some inputs were skipped, each named on stderr; 2 could not start;
3 started but had to stop, finished work is kept; 130 interrupted.
"""

import argparse
import errno
import os
import sys
import threading

from utils import VERSION
from utils.errors import CouldNotStart, HadToStop

DONE, SKIPPED, COULD_NOT_START, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130


class _HelpFormatter(argparse.HelpFormatter):
    """Appends the default to every option's help, unless the help names it in words."""

    def _get_help_string(self, action):
        text = action.help or ''
        if '(default:' in text or not action.option_strings or action.default is argparse.SUPPRESS:
            return text
        return text + ' (default: %(default)s)'


def argument_parser(description, epilog=None):
    """An `argparse.ArgumentParser` whose help shows every default, with --version.

    The help of an option whose default is None must say what that means: 'at most N (default: all)'.
    """
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=_HelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        '-V', '--version', action='version', version=f'SalGAN {VERSION}', help='show the version and exit'
    )
    return parser


def size(text):
    """'256x192' -> (256, 192), width then height, as the command lines write it."""
    width, separator, height = text.lower().partition('x')
    if not (separator and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f'{text!r} is not a size; write width x height, such as 256x192')
    return int(width), int(height)


def network_size(text):
    """A size that the generator accepts: both sides multiples of 16, since it halves them four times."""
    width, height = size(text)
    if width % 16 or height % 16:
        raise argparse.ArgumentTypeError(f'{text!r}: both sides must be multiples of 16, such as 256x192')
    return width, height


def positive(text):
    """A whole number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of at least 1')
    return int(text)


def whole(text):
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of at least 0')
    return int(text)


def number(text):
    """A finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of at least 0')
    return value


def positive_number(text):
    """A finite number above 0."""
    if not number(text):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
    return number(text)


def say(message):
    """One line on stderr, where messages go; stdout is for results. Safe beside a progress bar."""
    _tqdm().write(printable(message), file=sys.stderr)


def show(text):
    """Prints a result on stdout, whatever its encoding: characters that it lacks are replaced."""
    if sys.stdout is not None:  # None if the caller has closed it
        encoding = sys.stdout.encoding or 'utf-8'
        print(''.join(_in(encoding, character) for character in printable(text)), end='')


def _in(encoding, character):
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return _PLAIN.get(character) or character.encode('unicode_escape').decode()
    return character


_PLAIN = {'†': '+', '±': '+-', '–': '-'}


def printable(text):
    """`text` with undisplayable characters (undecodable bytes of file names, control characters) escaped."""
    text = str(text).encode('utf-8', 'backslashreplace').decode('utf-8')
    return ''.join(c if c.isprintable() or c == '\n' else c.encode('unicode_escape').decode() for c in text)


def one_line(text):
    """`printable`, on one line: for messages in which a file's name may contain a line break."""
    return printable(text).replace('\n', '\\n')


def counted(number, noun):
    """'1 image', '2 images', for messages."""
    return f'{number} {noun}' + ('' if number == 1 else 's')


def listed(names, most=10):
    """'a, b and 3 more', for messages."""
    names = list(names)
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(map(str, names[:most])) + more


def progress(iterable=None, **keywords):
    """A tqdm bar on stderr; none if stderr is not a terminal."""
    return _tqdm()(iterable, file=sys.stderr, disable=None, dynamic_ncols=True, **keywords)


def _tqdm():
    """tqdm with a lock for threads only. Its own also works between processes; since Python 3.14 a separate
    process tracks that lock, and warns of a leak if this process ends by `os._exit`."""
    from tqdm import tqdm

    if not hasattr(tqdm, '_lock'):
        tqdm.set_lock(threading.RLock())
    return tqdm


def run(main):
    """Calls `main()` and exits with its status (None counts as 0); no traceback for a user's mistake."""
    try:
        status = main() or DONE
        if sys.stdout is not None:
            sys.stdout.flush()
    except CouldNotStart as error:
        status = _end(error, COULD_NOT_START)
    except HadToStop as error:
        status = _end(error, STOPPED)
    except KeyboardInterrupt:
        status = _end('interrupted; what was finished is kept', INTERRUPTED)
    except MemoryError as error:
        status = _end(f'out of memory; what was finished is kept; {_what_fits(error)}', STOPPED)
    except (ImportError, SyntaxError) as error:  # tqdm may be what is missing: no `say`
        print(f'{os.path.basename(sys.argv[0])}: {_what_to_import(error)}', file=sys.stderr)
        status = COULD_NOT_START
    except BrokenPipeError:  # the reader of stdout has gone, as in `04-evaluate.py | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = STOPPED
    except OSError as error:
        status = _end(describe(error), STOPPED)
    sys.exit(status)


def _what_to_import(error):
    """Why a package cannot be imported, and what to do."""
    if getattr(error, 'name', None) == 'fcntl':
        return (
            f'this runs on Linux, and not on {sys.platform}: on macOS use Docker (docker/README.md) or a '
            'virtual machine, on Windows WSL 2'
        )
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    folders = os.environ.get('PYTHONPATH')
    if folders and not sys.flags.ignore_environment:
        return (
            f'{reason}: PYTHONPATH={folders} may bring packages of another Python; unset it, or start with '
            '`python -E`'
        )
    advice = 'make the environment with `make demo`, and use its .venv/bin/python'
    return f'{reason} for {sys.executable}: {advice}'


def _what_fits(error):
    """What needs less memory. The MemoryError may know from trials: its `size` is that of the batch that was
    too large, its `fits` that of the largest that fits, 0 for none (see `backend.memory.OutOfMemory`)."""
    fits = getattr(error, 'fits', None)
    if fits is None:
        return 'smaller batches or images need less'
    if not fits:
        return 'not even one image fits: a smaller --size needs less, or the CPU may have more'
    return f'a batch of {error.size} is too large, one of {fits} fits: --batch-size {fits}'


def describe(error):
    """An OSError as one sentence that names the file and what to do."""
    where = f'{error.filename}: ' if error.filename else ''
    advice = {
        errno.ENOSPC: 'the disk is full; free some space and run the same command again',
        errno.EDQUOT: 'the disk quota is used up; free some space and run the same command again',
        errno.EACCES: 'permission denied; choose another place or change its permissions',
        errno.EROFS: 'the file system is read-only; choose another place',
        errno.EMFILE: 'too many open files; raise the limit with `ulimit -n`',
        errno.ENAMETOOLONG: 'the name is too long for this file system; shorten it',
    }
    return where + advice.get(error.errno, error.strerror or str(error))


def _end(error, status):
    say(f'{os.path.basename(sys.argv[0])}: {error}')
    return status
