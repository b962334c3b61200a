"""Files are whole or not there, whatever happens."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from utils import files
from utils.errors import CouldNotStart, Unreadable
from utils.files import atomic_write, make_folder, read_bytes, write_bytes

NOBODY = 4194305  # no process has this number: the kernel's limit is 2^22


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith('.')]


def test_what_is_written_is_there(tmp_path):
    write_bytes(tmp_path / 'a', b'old')
    write_bytes(tmp_path / 'a', b'new', durable=True)
    with atomic_write(tmp_path / 'b', 'w', encoding='utf-8') as file:
        file.write('é')
    assert read_bytes(tmp_path / 'a') == b'new'
    assert read_bytes(tmp_path / 'b') == 'é'.encode()
    assert hidden(tmp_path) == []


def test_names_relative_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bytes('a', b'here')
    assert read_bytes('a') == b'here'


def test_nothing_is_under_the_name_before_the_end(tmp_path):
    write_bytes(tmp_path / 'a', b'old')
    with atomic_write(tmp_path / 'a') as file:
        file.write(b'new')
        file.flush()
        assert read_bytes(tmp_path / 'a') == b'old'
        assert all(files.is_temporary(name) for name in hidden(tmp_path)) and hidden(tmp_path)
    assert read_bytes(tmp_path / 'a') == b'new'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, OSError])
def test_a_block_that_fails_leaves_the_old_bytes(error, tmp_path):
    write_bytes(tmp_path / 'a', b'old')
    with pytest.raises(error), atomic_write(tmp_path / 'a') as file:
        file.write(b'new')
        raise error
    assert read_bytes(tmp_path / 'a') == b'old'
    assert hidden(tmp_path) == []


def test_a_full_disk_leaves_the_old_bytes_and_names_the_file(small_disk):
    write_bytes(small_disk / 'a', b'old')
    with pytest.raises(OSError, match='No space left') as error:
        write_bytes(small_disk / 'a', bytes(2**21))
    assert error.value.filename == str(small_disk / 'a')
    assert read_bytes(small_disk / 'a') == b'old'
    assert hidden(small_disk) == []


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / 'a').mkdir()
    with pytest.raises(OSError) as error:
        write_bytes(tmp_path / 'a', b'new')
    assert error.value.filename == str(tmp_path / 'a')
    assert hidden(tmp_path) == []


def test_killed_in_the_middle(tmp_path):
    write_bytes(tmp_path / 'a', b'old')
    code = (
        'import os, signal\nfrom utils.files import atomic_write\n'
        f'with atomic_write({str(tmp_path / "a")!r}) as file:\n'
        '    file.write(bytes(100000)); file.flush(); os.kill(os.getpid(), signal.SIGKILL)'
    )
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == -9
    assert read_bytes(tmp_path / 'a') == b'old'
    assert len(hidden(tmp_path)) == 1
    make_folder(tmp_path)
    assert hidden(tmp_path) == []


def test_make_folder_leaves_what_others_are_writing(tmp_path):
    ours, others = f'.salgan-{os.getpid()}-99.part', '.salgan-1-0.part'  # process 1 always runs
    for name in (ours, others, f'.salgan-{NOBODY}-0.part', '.salgan-odd.part', '.salgan-x-y.part'):
        (tmp_path / name).touch()
    make_folder(tmp_path)
    assert sorted(hidden(tmp_path)) == sorted([ours, others, '.salgan-odd.part', '.salgan-x-y.part'])


@pytest.mark.parametrize('name', ['new', 'new/and/below', '[odd] name*', 'with space/'])
def test_make_folder_makes_it_once_and_again(name, tmp_path):
    for _ in range(2):
        make_folder(os.path.join(tmp_path, name))
        assert os.listdir(os.path.join(tmp_path, name)) == []


def test_make_folder_where_none_can_be(tmp_path, small_disk):
    (tmp_path / 'file').touch()
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    for path, why in (
        (tmp_path / 'file', 'File exists'),
        (tmp_path / 'file' / 'below', 'Not a directory'),
        (small_disk / 'new', 'the file system is read-only'),
        (small_disk, 'the file system is read-only'),
        (tmp_path / ('n' * 256), 'the name is too long'),
    ):
        with pytest.raises(CouldNotStart, match=why) as error:
            make_folder(path)
        assert str(path) in str(error.value)


def test_read_bytes_says_why_it_cannot(tmp_path):
    (tmp_path / 'large').write_bytes(bytes(100))
    os.mkfifo(tmp_path / 'pipe')
    os.symlink('loop', tmp_path / 'loop')
    for path, why in (
        (tmp_path / 'gone', 'No such file'),
        (tmp_path, 'a directory, not a file'),
        (tmp_path / 'pipe', 'a pipe, not a file'),
        ('/dev/zero', 'a device, not a file'),
        (tmp_path / 'loop', 'Too many levels'),
        (tmp_path / 'large', '100 bytes, more than such a file can need'),
        (tmp_path / ('n' * 256), 'File name too long'),
    ):
        with pytest.raises(Unreadable, match=why) as error:
            read_bytes(path, limit=99)
        assert str(path) in str(error.value)
    assert read_bytes(tmp_path / 'large', limit=100) == bytes(100)


def test_what_is_temporary():
    assert files.is_temporary('.salgan-1-2.part')
    assert not files.is_temporary('salgan-1-2.part') and not files.is_temporary('.salgan-1.jpg')
