"""A skip that tests/allowed_skips.py does not allow where the tests run fails the run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import allowed_skips
from tests.conftest import ROOT

TESTS = """
import pytest

def test_that_runs():
    pass

def test_that_skips():
    pytest.skip({reason!r})
"""


def run(folder, tests, *arguments, **environment):
    """The exit status and the output of pytest on these tests, with the rules of this project."""
    (folder / 'test_some.py').write_text(tests)
    command = [sys.executable, '-m', 'pytest', '-p', 'tests.allowed_skips', '-p', 'no:cacheprovider']
    paths = {'PYTHONPATH': os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))}
    result = subprocess.run(
        [*command, f'--rootdir={folder}', *arguments, folder / 'test_some.py'],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **paths, **environment},
    )
    return result.returncode, result.stdout


@pytest.mark.parametrize('workers', [[], ['-n', '1']])
def test_a_skip_without_leave_fails_the_run(workers, tmp_path):
    reason = 'the compiler refuses it'
    status, output = run(tmp_path, TESTS.format(reason=reason), *workers)
    assert status == 1
    assert f'SKIPPED WITHOUT LEAVE test_some.py::test_that_skips: {reason}' in output
    assert '1 passed, 1 skipped' in output


def test_so_does_a_module_that_skips_itself(tmp_path):
    status, output = run(tmp_path, "import pytest\npytest.importorskip('of_no_package')\n")
    assert status == 1 and 'SKIPPED WITHOUT LEAVE test_some.py' in output


def test_one_that_is_allowed_here_does_not(tmp_path):
    kind = 'root' if os.geteuid() == 0 else 'not root'
    reason = next(start for start, kinds in allowed_skips.ALLOWED.items() if kind in kinds)
    assert run(tmp_path, TESTS.format(reason=f'{reason}, it says'))[0] == 0


def test_every_reason_in_the_tests_is_in_the_list_and_none_besides():
    text = '\n'.join(path.read_text() for path in ROOT.glob('tests/**/*.py') if path != Path(__file__))
    skips = re.findall(r"""(?:skip\(|reason=)f?(?:'([^'{]+)|"([^"{]+))""", text)
    reasons = [single or double for single, double in skips]
    assert len(reasons) > 10
    assert allowed_skips.unexpected([('', reason) for reason in reasons], EVERYWHERE) == []
    helpers = re.findall(r"return f?'([^'{]+)", text)  # where Debian cannot be made
    for start in allowed_skips.ALLOWED:
        assert any(reason.startswith(start) for reason in [*reasons, *helpers]), start


EVERYWHERE = {place for places in allowed_skips.ALLOWED.values() for place in places}


def test_what_is_allowed_depends_on_the_place():
    skipped = [
        ('a', 'no reference data (SALGAN_REFERENCE_DATA)'),
        ('b', 'what a card needs cannot be downloaded: x'),
    ]
    assert allowed_skips.unexpected(skipped, {'without reference data', 'not CI'}) == []
    assert allowed_skips.unexpected(skipped, {'without reference data'}) == skipped[1:]
    assert allowed_skips.unexpected(skipped, set()) == skipped


def test_a_place_is_told_by_facts(monkeypatch, tmp_path):
    monkeypatch.setenv('CI', 'true')
    monkeypatch.setenv('SALGAN_CONV', 'corrmm')
    monkeypatch.setenv('SALGAN_REFERENCE_DATA', str(tmp_path))
    here = allowed_skips.places()
    assert {'other convolutions', 'without reference data'} <= here and 'not CI' not in here
    for name in ('CI', 'SALGAN_CONV'):
        monkeypatch.delenv(name)
    (tmp_path / 'salicon10').mkdir()
    here = allowed_skips.places()
    assert 'not CI' in here and 'without reference data' not in here
    assert ('root' in here) != ('not root' in here)
