"""Which tests run together, and that a forked process is what a new one would be."""

import os
import re

import pytest

from tests.conftest import ROOT, run_python, script
from tests.helpers import processes, workers


@pytest.fixture(autouse=True)
def environment_of_the_start(monkeypatch):
    """What libraries of earlier tests have set in this process is no test's setting."""
    for name in processes._others(os.environ):
        if name not in processes._environment:
            monkeypatch.delenv(name)
    for name, value in {**processes._environment, 'THEANO_FLAGS': processes._flags}.items():
        monkeypatch.setenv(name, value)


def test_the_groups_name_tests_and_files_that_there_are():
    defined = set()
    for path in ROOT.glob('tests/test_*.py'):
        defined.update(re.findall(r'^def (test_\w+)', path.read_text(), re.MULTILINE))
    assert workers.TESTS.keys() <= defined
    assert all((ROOT / file).is_file() for file in workers.FILES)
    assert {*workers.TESTS.values(), *workers.FILES.values()} <= {*workers.FIRST}
    assert all((ROOT / name).is_file() for name in workers.FIRST if name.endswith('.py'))


def test_groups():
    assert workers.group('tests/test_models.py::test_a[1-2]') == 'networks'
    assert workers.group('tests/test_files.py::test_a') == 'tests/test_files.py'
    assert workers.group('tests/test_winograd.py::test_maps_are_those_of_float64') == 'float64'
    assert workers.place('tests/test_models.py::test_a') < workers.place('tests/test_files.py::test_a')


SHOW = """
import os, signal
interrupted = signal.getsignal(signal.SIGINT) is signal.default_int_handler
print(sys.argv[1:], os.getcwd(), sys.stdin.read(), interrupted)
print('theano' in sys.modules, os.environ.get('OMP_NUM_THREADS'))
sys.stderr.write('said')
"""


def test_a_forked_process_is_as_a_new_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forked = run_python(SHOW, 'a b', 'ü', OMP_NUM_THREADS='3').splitlines()
    monkeypatch.setenv('OF_ANOTHER_ENVIRONMENT', '1')
    new = run_python(SHOW, 'a b', 'ü', OMP_NUM_THREADS='3').splitlines()
    assert forked[0] == new[0] == f"['a b', 'ü'] {tmp_path}  True"
    assert (forked[1], new[1]) == ('True 3', 'False 3')


def test_exit_statuses_and_messages_of_both(tmp_path):
    for arguments in (['--help'], ['no.png'], ['--nonsense']):
        forked, new = (
            script('03-predict.py', *arguments, cwd=tmp_path, fresh=fresh) for fresh in (False, True)
        )
        assert (forked.returncode, forked.stdout, forked.stderr) == (new.returncode, new.stdout, new.stderr)


def test_what_hangs_on_the_import_is_not_forked():
    here = {**os.environ}
    assert processes.can_be_forked(here)
    assert processes.can_be_forked({**here, 'OMP_NUM_THREADS': '7'})
    flags = here.get('THEANO_FLAGS', '')
    for name, value in (
        ('THEANO_FLAGS', f'{flags},floatX=float64'),
        ('THEANO_FLAGS', f'{flags},device=cuda'),
        ('THEANO_FLAGS', f'{flags},traceback.limit=7'),
        ('THEANORC', '/etc/theanorc'),
        ('SALGAN_CONV', 'corrmm'),
        ('PYTHONPATH', '/tmp'),
    ):
        assert not processes.can_be_forked({**here, name: value})
