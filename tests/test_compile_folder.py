"""Where compiled modules are kept, on homes and disks of all kinds, and who waits for whom."""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backend import compile_folder, compile_lock
from tests.conftest import GOLDEN, ROOT, script
from tests.test_backend import SMALL_FUNCTION, ended, quiet, refused, start

ANN, BOB = 23456, 23457  # whom no list of users has
PRIVATE = """
from backend import native
assert native.folder() == native.folder()
print(native.folder(), end=' ')
"""


def as_user(user, folder, code=SMALL_FUNCTION, **environment):
    """(status, stdout, stderr) of code that another user runs in a folder; HOME is unset unless given."""
    capability = '+dac_read_search'  # this Python may lie in root's home
    options = [f'--reuid={user}', f'--regid={user}', '--clear-groups', f'--inh-caps={capability}']
    command = ['setpriv', *options, f'--ambient-caps={capability}', sys.executable, '-c', code]
    kept = {name: value for name, value in os.environ.items() if name not in ('HOME', 'THEANO_FLAGS')}
    result = subprocess.run(
        command,
        cwd=folder,
        env={**kept, 'PYTHONPATH': str(ROOT), 'PYTHONDONTWRITEBYTECODE': '1', **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.fixture
def shared(tmp_path):
    """A folder for everybody, as /tmp is; skips where this user cannot become another."""
    if os.geteuid() != 0:
        pytest.skip('needs root')
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o755)
    folder = tmp_path / 'everybody'
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def test_without_a_home_there_is_a_sentence(shared):
    status, output, errors = as_user(ANN, shared)
    assert (status, output, errors.count('\n')) == (2, '', 1), errors
    assert errors.startswith('there is no home folder to keep compiled modules in (HOME is not set, and user')
    status, output, errors = as_user(ANN, shared, THEANO_FLAGS='base_compiledir=~/cache')
    assert (status, output, errors.count('\n')) == (2, '', 1), errors
    assert list(shared.iterdir()) == []  # no folder called ~


def test_users_share_a_base_compiledir_and_each_has_a_folder_of_their_own(shared, tmp_path):
    """Beside an old folder of somebody else's, and with a lock that a job of another host has left."""
    base, temporary = shared / 'cache', shared / 'temporary'
    for folder in (base, temporary):
        folder.mkdir()
        folder.chmod(0o1777)
    (base / 'compiledir_Linux-3.2--x86_64-with-debian-7.0--2.7.3-64').mkdir(mode=0o700)
    names = {
        user: f'compiledir_own-{sys.platform}-{platform.machine()}-{platform.python_version()}-{user}'
        for user in (ANN, BOB)
    }
    theirs = base / names[ANN]
    (theirs / 'lock_dir').mkdir(parents=True)
    (theirs / 'lock_dir' / 'lock').write_text('1_0123456789_anotherhost\n')
    for path in (theirs, theirs / 'lock_dir', theirs / 'lock_dir' / 'lock'):
        os.chown(path, ANN, ANN)
    theirs.chmod(0o700)
    flags = {'THEANO_FLAGS': f'base_compiledir={base}', 'TMPDIR': str(temporary)}
    for user in (ANN, BOB):
        status, output, errors = as_user(user, shared, PRIVATE + SMALL_FUNCTION, **flags)
        assert status == 0 and quiet(errors), errors
        assert output == f'{base / names[user] / "salgan"} 2.0 cpu float32\n'
        assert (base / names[user]).stat().st_mode & 0o777 == 0o700
        assert (base / names[user]).stat().st_uid == user
    modules = sorted(base.glob('*/*/*.so'))
    status, output, errors = as_user(BOB, shared, PRIVATE + SMALL_FUNCTION, **flags)
    assert (status, errors) == (0, '')  # it compiles nothing
    assert sorted(base.glob('*/*/*.so')) == modules
    assert list(temporary.iterdir()) == []
    assert platform.release() not in ' '.join(names.values())  # a new kernel finds it all
    assert not list(shared.glob('~*'))


def test_users_share_a_compiledir(shared):
    flags = {'THEANO_FLAGS': f'compiledir={shared}'}
    folders = []
    for user in (ANN, BOB):
        code = f'import os\nos.umask(0)\n{PRIVATE}'
        status, output, errors = as_user(user, shared, code, **flags)
        assert status == 0 and quiet(errors), errors
        folders.append(output.strip())
    assert folders == [f'{shared}/salgan', f'{shared}/salgan-{BOB}']


def test_a_folder_that_others_can_write_to(tmp_path):
    name = compile_folder.own_name()
    (tmp_path / name).mkdir()
    (tmp_path / name).chmod(0o777)
    sentence = refused(THEANO_FLAGS=f'base_compiledir={tmp_path}')
    assert f'{name} belongs to another user or can be written to by others' in sentence


@pytest.mark.parametrize('flag', ['base_compiledir', 'compiledir'])
def test_a_disk_from_which_nothing_may_be_run(flag, small_disk):
    subprocess.run(['mount', '-o', 'remount,noexec', str(small_disk)], check=True)
    sentence = refused(THEANO_FLAGS=f'{flag}="{small_disk}"')
    assert 'mounted noexec' in sentence and f'THEANO_FLAGS={flag}=/path/to/folder' in sentence
    if flag == 'base_compiledir':
        home = refused(HOME=str(small_disk), THEANO_FLAGS='')
        assert f'code compiled in {small_disk}/.theano could not be run' in home


def test_a_disk_that_is_full_while_it_compiles(small_disk):
    """The import compiles one module; a second does not fit. Once there is room it works at once."""
    flags = {'THEANO_FLAGS': f'base_compiledir="{small_disk}"'}
    (small_disk / 'ballast').write_bytes(bytes(860 << 10))
    status, output, errors = ended(start(**flags))
    assert (status, output) == (2, ''), errors
    assert errors.splitlines()[-1].startswith('the C++ compiler g++ failed; is it intact, and is there space')
    assert errors.count('\n') <= 2, errors
    (small_disk / 'ballast').unlink()
    status, output, errors = ended(start(**flags))
    assert (status, output) == (0, '2.0 cpu float32\n'), errors


def test_a_start_while_another_process_writes_down_what_it_compiled(tmp_path):
    """The second start takes the half-written list of keys neither for broken nor for its own.

    It ends the first's pickling half-way: a key that starts it is pickled into the list.
    """
    code = f"""
import subprocess, sys
from pathlib import Path
{SMALL_FUNCTION}
from theano.gof.cmodule import get_module_cache
cache = get_module_cache(theano.config.compiledir)
data = next(iter(cache.module_hash_to_key_data.values()))

class Half:
    def __reduce__(self):
        command = [sys.executable, '-c', {SMALL_FUNCTION!r}]
        second = subprocess.run(command, capture_output=True, text=True)
        print(second.stdout, second.stderr, second.returncode)
        return str, ()

half = Half()
data.keys.add(half)
data.save_pkl()
data.keys.remove(half)
print(Path(data.entry).exists())
"""
    status, output, errors = ended(start(code, THEANO_FLAGS=f'base_compiledir={tmp_path}'))
    assert status == 0 and quiet(errors), errors
    assert output == '2.0 cpu float32\n2.0 cpu float32\n  0\nTrue\n'


def test_a_warm_start_waits_for_nobody(tmp_path):
    """Not even to delete the folder of a compilation that was killed; who compiles next does that."""
    flags = {'THEANO_FLAGS': f'base_compiledir={tmp_path}'}
    status, _, errors = ended(start(**flags))
    assert status == 0, errors
    [folder] = tmp_path.glob(f'{compile_folder.own_name()}*')
    (folder / 'tmpkilled').mkdir()
    with compile_lock.on(str(folder / compile_lock.NAME)):
        status, output, errors = ended(start(**flags))
    assert (status, output, errors) == (0, '2.0 cpu float32\n', '')
    status, output, errors = ended(start(SMALL_FUNCTION.replace('* 2', '* 3 + x'), **flags))
    assert status == 0 and quiet(errors), errors
    assert not (folder / 'tmpkilled').exists()


def test_a_start_while_another_process_deletes(tmp_path):
    """A folder that is listed and then gone is left out."""
    code = f"""
import os, shutil
from pathlib import Path
import backend
from theano.gof import cmodule

gone = Path(backend.theano.config.compiledir) / 'tmpgone'
gone.mkdir()
listdir = os.listdir

def deleted_meanwhile(path):
    if Path(path) == gone:
        gone.rmdir()
    return listdir(path)

os.listdir = deleted_meanwhile
{SMALL_FUNCTION}
print(gone.exists())
"""
    status, output, errors = ended(start(code, THEANO_FLAGS=f'base_compiledir={tmp_path}'))
    assert status == 0 and quiet(errors), errors
    assert output == '2.0 cpu float32\nFalse\n'


@pytest.mark.long
def test_eight_starts_on_a_cold_cache_compile_once(seeded_weights, tmp_path):
    """One compiles the networks, seven wait and say so; all write the same bytes."""

    def predict(number):
        return script(
            *('03-predict.py', GOLDEN / 'network' / 'predict_exact.png', '--weights', seeded_weights),
            *('--size', '64x48', '--format', 'npy', '--output', tmp_path / str(number)),
            THEANO_FLAGS=f'base_compiledir={tmp_path / "cache"}',
            OMP_NUM_THREADS='1',
        )

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(predict, range(8)))
    for result in results:
        assert result.returncode == 0, result.stderr
        *notices, last = result.stderr.splitlines(keepends=True)
        assert len(notices) <= 1 and quiet(''.join(notices)), result.stderr
        assert last.startswith('1 of 1 image predicted')
    maps = [np.load(tmp_path / str(number) / 'predict_exact.npy') for number in range(8)]
    assert all(np.array_equal(each, maps[0]) for each in maps)
    assert len(list(tmp_path.glob('cache/*/salgan/prediction-*.pickle'))) == 1
