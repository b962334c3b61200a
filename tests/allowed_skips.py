"""Which tests may be skipped, and where: a run that skips others has failed.

Each entry is the beginning of a skip's reason and the kinds of place where it is allowed, see `places`.
conftest.py hands the hooks below to pytest.
"""

import os
import platform
import re
import sys
from pathlib import Path

import pytest

ALLOWED = {
    'no reference data': {'without reference data'},
    'no vectors for the C++ here, or turned off': {'other convolutions'},
    'no AVX-512 here': {'no AVX-512'},
    'oneDNN is for x86-64 only, or turned off': {'other convolutions'},
    'cannot mount a small tmpfs': {'may not mount'},
    'this user may make no PID namespaces': {'may not mount'},
    'this user may make no network namespaces': {'may not mount'},
    'this user may read everything': {'root'},
    'in an environment of its own': {'without the converters'},
    'pygpu is there for Python 3.11 only': {'other Pythons'},
    'POT has no wheel': {'other Pythons'},
    'pygpu is here': {'not CI'},
    'what a card needs cannot be downloaded': {'not CI'},
    'hadolint is not installed': {'other Pythons'},
    'no root folder of Debian': {'not CI'},
    'no browser': {'not CI'},
    'the bundle is for Debian 12': {'other Pythons'},
    'needs root': {'not root'},
}


def places():
    """What kinds of place this is, by facts that no code under test has a part in."""
    data = os.environ.get('SALGAN_REFERENCE_DATA', Path(__file__).parents[2] / 'shared/golden/never-commit')
    turned_off = os.environ.get('SALGAN_CONV') or 'device=' in os.environ.get('THEANO_FLAGS', '')
    kinds = {
        'without reference data': not Path(data, 'salicon10').is_dir(),
        'other convolutions': turned_off
        or not ({'avx2', 'fma'} <= _words('/proc/cpuinfo', 'flags') or _words('/proc/cpuinfo', 'Features')),
        'no AVX-512': 'avx512f' not in _words('/proc/cpuinfo', 'flags'),
        'may not mount': not _may_mount(),
        'root': os.geteuid() == 0,
        'not root': os.geteuid() != 0,
        'without the converters': not os.environ.get('SALGAN_TEST_CONVERTERS'),
        'other Pythons': sys.version_info[:2] != (3, 11) or platform.python_implementation() != 'CPython',
        'not CI': not os.environ.get('CI'),
    }
    return {name for name, here in kinds.items() if here}


def _words(path, name):
    """The words after `name:` in a file of the kernel's."""
    try:
        text = Path(path).read_text(encoding='ascii', errors='replace')
    except OSError:
        return set()
    found = re.search(rf'^{name}\s*:(.*)$', text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def _may_mount():
    """Whether this process has CAP_SYS_ADMIN."""
    capabilities = _words('/proc/self/status', 'CapEff')
    return any(int(word, 16) >> 21 & 1 for word in capabilities)


def unexpected(skipped, here):
    """Those of the pairs (test, reason) that `ALLOWED` does not have for the kinds of place here."""
    return [
        (test, reason)
        for test, reason in skipped
        if not any(reason.startswith(start) and kinds & here for start, kinds in ALLOWED.items())
    ]


# --- hooks of pytest ---


class Watch:
    def __init__(self):
        self.skipped = []

    def pytest_runtest_logreport(self, report):
        if report.skipped and isinstance(report.longrepr, tuple):  # an expected failure has no reason here
            self.skipped.append((report.nodeid, report.longrepr[2].removeprefix('Skipped: ')))

    pytest_collectreport = pytest_runtest_logreport

    def pytest_sessionfinish(self, session):
        if not hasattr(session.config, 'workerinput') and self.found and session.exitstatus in (0, 5):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        for test, reason in self.found:
            terminalreporter.write_line(
                f'SKIPPED WITHOUT LEAVE {test}: {reason} (tests/allowed_skips.py)', red=True
            )

    @property
    def found(self):
        return unexpected(self.skipped, places())


def pytest_configure(config):
    config.pluginmanager.register(Watch())
