"""Files are whole or not there, whatever happens."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.conftest import ROOT
from utils import files
from utils.errors import CouldNotStart, Unreadable
from utils.files import LOCK, atomic_write, make_folder, read_bytes, write_bytes

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


def test_make_folder_removes_what_nobody_writes_any_more(tmp_path):
    """Files of processes of this host and namespace by whether they run, all others after a day."""
    here, pid, began = files._owner().split('-')
    elsewhere = f'.salgan-{"e" * 16}-{NOBODY}-{began}-1.part'  # another namespace's numbers say nothing
    stay = [
        f'.salgan-{here}-{pid}-{began}-1.part',
        f'.salgan-{here}-1-{files._began(1)}-1.part',  # process 1 always runs
        elsewhere,
        '.salgan-x-y.part',
        '.salgan.part.jpg',
        LOCK,
    ]
    go = [
        f'.salgan-{here}-{NOBODY}-{began}-1.part',
        f'.salgan-{here}-{pid}-{int(began) + 1}-1.part',  # its number was used again
        f'.salgan-{here}-1-0-1-probe.part',
        elsewhere.replace('-1.part', '-2.part'),
        f'.salgan-{NOBODY}-0.part',  # as earlier versions named them
    ]
    for name in stay + go:
        (tmp_path / name).touch()
    for name in (*go[-2:], stay[0], stay[1], stay[4]):
        os.utime(tmp_path / name, (0, time.time() - files.DAY - 60))
    make_folder(tmp_path)
    assert sorted(hidden(tmp_path)) == sorted(stay)


def test_an_unknown_place_is_nobodys(tmp_path, monkeypatch):
    """Where the system does not tell where a process runs, its files are as another host's."""
    monkeypatch.setattr(files, '_here', lambda: None)
    with atomic_write(tmp_path / 'a') as file:
        (name,) = hidden(tmp_path)
        make_folder(tmp_path)
        assert hidden(tmp_path) == [name]
        os.utime(file.fileno(), (0, 0))
        make_folder(tmp_path)
        assert hidden(tmp_path) == []
        (tmp_path / name).touch()  # for the end of the block


# --- two processes in PID namespaces of their own, both number 1, as in two containers ---

ANOTHER = """
import os, sys, time
from utils.files import atomic_write, make_folder
folder, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
assert os.getpid() == 1
make_folder(folder)
print('ready', flush=True)
sys.stdin.readline()
for i in range(first, first + count):
    data = (b'%d of %d, ' % (i, first)) * 200
    with atomic_write(os.path.join(folder, str(i))) as file:
        file.write(data[:1000])
        file.flush()
        time.sleep(0.0005)  # so that the other process finds it half written
        file.write(data[1000:])
    if i % 5 == 0:
        make_folder(folder)
"""


def in_a_namespace(code, *arguments):
    command = ['unshare', '--pid', '--fork', '--mount-proc', sys.executable, '-c', code, *map(str, arguments)]
    return started(command)


def started(command):
    """A process to talk with: `subprocess.Popen` whose pipes are there."""
    process: Any = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process


@pytest.fixture(scope='module')
def namespaces():
    if subprocess.run(['unshare', '--pid', '--fork', '--mount-proc', 'true'], check=False).returncode:
        pytest.skip('this user may make no PID namespaces')


@pytest.mark.parametrize('runs', [1, pytest.param(20, marks=pytest.mark.long)])
def test_two_namespaces_lose_and_swap_nothing(runs, tmp_path, namespaces):
    for run in range(runs):
        folder, half = tmp_path / str(run), 500
        others = [in_a_namespace(ANOTHER, folder, first, half) for first in (0, half)]
        for other in others:
            assert other.stdout.readline() == 'ready\n'
        for other in others:
            other.stdin.write('now\n')
            other.stdin.flush()
        assert [other.wait() for other in others] == [0, 0]
        assert hidden(folder) == []
        for i in range(2 * half):
            assert read_bytes(folder / str(i)) == (b'%d of %d, ' % (i, i // half * half)) * 200


def test_a_namespace_whose_proc_is_another_ones(tmp_path, namespaces):
    """There the numbers in /proc are not those that the process has and sees."""
    code = (
        'import os, sys\nfrom utils.files import atomic_write, make_folder\nmake_folder(sys.argv[1])\n'
        'with atomic_write(os.path.join(sys.argv[1], "a")) as file:\n'
        '    if not os.fork():\n'
        '        make_folder(sys.argv[1]); os._exit(0)\n'
        '    os.wait(); file.write(b"whole")\n'
    )
    command = ['unshare', '--pid', '--fork', sys.executable, '-c', code, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert read_bytes(tmp_path / 'a') == b'whole'
    assert hidden(tmp_path) == []


# --- locks ---

HOLDER = """
import os, signal, sys
from utils import files
files.lock(sys.argv[1])
with files.atomic_write(os.path.join(sys.argv[1], 'a')):
    print('locked', flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lock_holds_between_namespaces_until_the_process_ends(tmp_path, namespaces):
    # a shell as process 1, since the kernel takes no signal from that process itself
    command = ['unshare', '--pid', '--fork', '--mount-proc', 'sh', '-c', '"$@"; true', 'sh']
    holder = started([*command, sys.executable, '-c', HOLDER, str(tmp_path)])
    assert holder.stdout.readline() == 'locked\n'
    with pytest.raises(BlockingIOError):
        files.lock(tmp_path)
    make_folder(tmp_path)
    assert len(hidden(tmp_path)) == 2  # the lock and what its holder is writing
    holder.communicate('now\n')
    os.close(files.lock(tmp_path))
    assert hidden(tmp_path) == [LOCK]  # nobody but its next holder can tell that the last one is gone


def test_a_lock_is_waited_for(tmp_path):
    descriptor = files.lock(tmp_path)
    code = (
        'import sys\nfrom utils import files\nprint("asks", flush=True)\nfiles.lock(sys.argv[1], wait=True)'
    )
    waiting = started([sys.executable, '-c', code, str(tmp_path)])
    assert waiting.stdout.readline() == 'asks\n'
    assert waiting.poll() is None
    os.close(descriptor)
    assert waiting.wait(timeout=60) == 0


def test_where_there_is_no_lock_it_says_so(tmp_path, monkeypatch, capsys, small_disk):
    (tmp_path / 'elsewhere').touch()
    (tmp_path / 'linked').mkdir()
    (tmp_path / 'linked' / LOCK).symlink_to(tmp_path / 'elsewhere')
    assert files.lock(tmp_path / 'linked') is None  # nobody is led to write elsewhere
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    assert files.lock(small_disk) is None
    assert capsys.readouterr().err == ''  # nothing can be written: nothing to keep others from

    def refuse(descriptor, kind):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'lockf', refuse)
    assert files.lock(tmp_path) is None
    assert f'{tmp_path}: no locks between hosts on this file system' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('mount', 'only_here'),
    [
        ('- nfs4 nas:/lab rw,vers=4.2,local_lock=none', False),
        ('- nfs nas:/lab rw,vers=3,local_lock=all', True),
        ('master:1 - nfs nas:/lab rw,nolock', True),
        ('- lustre 10.0.0.1@tcp:/scratch rw,flock', False),
        ('- lustre 10.0.0.1@tcp:/scratch rw,localflock', True),
        ('- fuse.sshfs nas:/lab rw', True),
        ('- ext4 /dev/vda rw', False),
    ],
)
def test_locks_that_other_hosts_do_not_see(mount, only_here, tmp_path):
    device = os.stat(tmp_path).st_dev
    lines = [
        '1 1 0:0 / / rw - nfs nas:/ rw,nolock',
        f'2 1 {os.major(device)}:{os.minor(device)} / /lab rw {mount}',
    ]
    (tmp_path / 'mountinfo').write_text('\n'.join(lines))
    assert files._locks_only_here(tmp_path, tmp_path / 'mountinfo') == only_here


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


def test_walk(tmp_path):
    for name in ('b.txt', 'a/c.txt', 'a/.hidden', '.git/x', 'out/y', 'elsewhere/z'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    (tmp_path / 'a' / 'link').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'elsewhere' / 'circle').symlink_to(tmp_path)
    seen = files.walk(tmp_path, leave_out=tmp_path / 'out')
    assert seen == ['a/.hidden', 'a/c.txt', 'a/link/z', 'b.txt', 'elsewhere/z']
    assert '.git/x' in files.walk(tmp_path, hidden=True) and 'out/y' in files.walk(tmp_path)
    with pytest.raises(CouldNotStart, match='nothing'):
        files.walk(tmp_path / 'nothing')
