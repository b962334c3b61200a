"""What is pinned: once for every supported Python, with hashes, and the same in every file."""

import re

import pytest
from packaging.markers import Marker

from tests.conftest import ROOT

FOLDER = ROOT / 'requirements'
FILES = ['build.txt', 'run.txt', 'dev.txt', 'cluster.txt']
PYTHONS = [f'3.{minor}' for minor in range(9, 16)]
HASHES = r'(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+'
PIN = re.compile(r'^([a-z][\w.-]*)==(\S+?)(?: ; (.+?))? \\\n' + HASHES, re.MULTILINE)


def pins(name):
    """[(package, version, marker or None)]; every requirement of the file is one, and has hashes."""
    text = (FOLDER / name).read_text()
    found = PIN.findall(text)
    lines = [line.split()[0] for line in text.splitlines() if line and line[0] not in ' #']
    assert [f'{package}=={version}' for package, version, _ in found] == lines
    return [(package, version, Marker(marker) if marker else None) for package, version, marker in found]


@pytest.mark.parametrize('machine', ['x86_64', 'aarch64'])
def test_one_version_for_each_python(machine):
    files = {name: pins(name) for name in FILES}
    for python in PYTHONS:
        place = {
            'python_version': python,
            'python_full_version': f'{python}.0',
            'platform_machine': machine,
            'sys_platform': 'linux',
            'platform_python_implementation': 'CPython',
            'implementation_name': 'cpython',
        }
        versions: dict = {}
        for name, found in files.items():
            here = [pin[:2] for pin in found if not pin[2] or pin[2].evaluate(place)]
            assert len({package for package, _ in here}) == len(here), f'{name}: two versions on {python}'
            for package, version in here:
                assert versions.setdefault(package, version) == version, f'{package} on {python}, {name}'
        assert versions['theano'] == '1.0.5' and versions['lasagne'] == '0.1'
        assert versions['numpy'].startswith('2.') == (int(python[2:]) >= 12)
        assert ('pot' in versions) == (python != '3.15')
        assert ('onednn-cpu-gomp' in versions) == (machine == 'x86_64')
