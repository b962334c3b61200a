"""What the scripts' command lines share."""

import argparse
import errno
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from utils import command_line


@pytest.mark.parametrize(
    ('text', 'expected'), [('256x192', (256, 192)), ('1x1', (1, 1)), ('320X240', (320, 240))]
)
def test_sizes_are_width_then_height(text, expected):
    assert command_line.size(text) == expected


@pytest.mark.parametrize(
    'text', ['', 'x', '256', '256x', 'x192', '0x192', '-1x5', '1.5x2', '2x3x4', 'axb', '²x2']
)
def test_what_is_no_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match='write width x height'):
        command_line.size(text)


def test_the_network_s_sizes_are_multiples_of_16():
    assert command_line.network_size('320x240') == (320, 240)
    for text in ('250x192', '256x190'):
        with pytest.raises(argparse.ArgumentTypeError, match='multiples of 16'):
            command_line.network_size(text)


def test_positive():
    assert command_line.positive('32') == 32
    for text in ('0', '-1', '', '1.0', 'x', '²'):
        with pytest.raises(argparse.ArgumentTypeError, match='at least 1'):
            command_line.positive(text)


def test_help_ends_in_every_default():
    parser = command_line.argument_parser('Does nothing.')
    parser.add_argument('files', nargs='*', help='what to read')
    parser.add_argument('--number', default=3, help='how many')
    parser.add_argument('--most', help='at most so many (default: all)')
    parser.add_argument('--flag', action='store_true', help='yes or no')
    text = ' '.join(parser.format_help().split())
    assert 'what to read opt' in text  # options:, or on Python 3.9 optional arguments:
    assert 'how many (default: 3)' in text
    assert 'at most so many (default: all) --flag' in text
    assert 'yes or no (default: False)' in text


def test_options_are_not_guessed():
    parser = command_line.argument_parser('Does nothing.')
    parser.add_argument('--number')
    with pytest.raises(SystemExit) as end:
        parser.parse_args(['--num', '3'])
    assert end.value.code == 2


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('plain', 'plain'),
        ('画像 é 🦊', '画像 é 🦊'),
        (os.fsdecode(b'bad \xff'), 'bad \\udcff'),
        ('\x1b[31mred\x07', '\\x1b[31mred\\x07'),
        ('\u202eover', '\\u202eover'),
        ('two\nlines', 'two\nlines'),
        (ValueError('an error'), 'an error'),
    ],
)
def test_printable(text, shown):
    assert command_line.printable(text) == shown


def test_counted():
    assert [command_line.counted(n, 'image') for n in (0, 1, 2)] == ['0 images', '1 image', '2 images']


def test_one_line():
    assert command_line.one_line('a\nname\tof four\\words') == 'a\\nname\\tof four\\words'


def run(body, **environment):
    """What becomes of a script whose `main` has this body."""
    imports = 'import os, sys\nfrom utils import errors\nfrom utils.command_line import *'
    code = f'{imports}\ndef main():\n    {body}\nrun(main)'
    process = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return process.returncode, process.stdout, process.stderr


@pytest.mark.parametrize(
    ('body', 'status', 'message'),
    [
        ('return None', 0, ''),
        ('return SKIPPED', 1, ''),
        ('raise CouldNotStart("no images")', 2, '-c: no images\n'),
        ('raise HadToStop("loss is nan")', 3, '-c: loss is nan\n'),
        ('raise KeyboardInterrupt', 130, '-c: interrupted; what was finished is kept\n'),
        (
            'raise MemoryError',
            3,
            '-c: out of memory; what was finished is kept; smaller batches or images need less\n',
        ),
        (
            'raise OSError(28, "No space left", "maps/a.jpg")',
            3,
            '-c: maps/a.jpg: the disk is full; free some space and run the same command again\n',
        ),
        ('open("/no/such/file")', 3, '-c: /no/such/file: No such file or directory\n'),
        ('sys.exit(2)', 2, ''),
        ('raise errors.Unreadable("a.png: broken")', 2, '-c: a.png: broken\n'),
        (
            'error = MemoryError(); error.size, error.fits = 8, 0; raise error',
            3,
            '-c: out of memory; what was finished is kept; not even one image fits: a smaller --size needs '
            'less, or the CPU may have more\n',
        ),
        (
            'error = MemoryError(); error.size, error.fits = 8, 2; raise error',
            3,
            '-c: out of memory; what was finished is kept; a batch of 8 is too large, one of 2 fits: '
            '--batch-size 2\n',
        ),
    ],
)
def test_exit_statuses(body, status, message):
    assert run(body) == (status, '', message)


def test_a_missing_package_is_named_with_what_to_do():
    status, _, message = run('import a_package_that_nobody_has')
    assert status == 2
    assert message.startswith("-c: No module named 'a_package_that_nobody_has' for ")
    assert 'make the environment with `make demo`' in message


def test_a_mistake_of_ours_keeps_its_traceback():
    status, _, message = run('1 / 0')
    assert status == 1 and 'ZeroDivisionError' in message


def test_a_reader_that_leaves_early():
    code = 'from utils.command_line import run\nrun(lambda: [print(i) for i in range(10**5)] and 0)'
    process = subprocess.Popen(
        [sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3 and errors == ''


def test_every_message_of_the_system_names_the_file():
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.EIO):
        text = command_line.describe(OSError(number, os.strerror(number), 'a file'))
        assert text.startswith('a file: ') and len(text) > len('a file: ')
    assert command_line.describe(OSError('of no number')) == 'of no number'


def test_progress_is_quiet_where_stderr_is_no_terminal(capsys):
    assert list(command_line.progress(range(3), unit='image')) == [0, 1, 2]
    assert capsys.readouterr().err == ''
