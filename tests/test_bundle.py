"""`make bundle`, and the environment and demo that are made of it without a network."""

import io
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests import systems
from tests.conftest import ROOT
from tests.helpers.roots import execute

BUNDLE = [sys.executable, str(ROOT / 'requirements' / 'bundle.py')]


def unpacked(bundle, folder):
    command = [*BUNDLE, '--unpack', str(bundle), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def packed(path, files):
    """A tar archive of {name: bytes}."""
    with tarfile.open(path, 'w') as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_what_is_no_bundle_or_for_another_machine(tmp_path):
    folder = tmp_path / 'packages'
    text = tmp_path / 'text.tar'
    text.write_text('no archive')
    empty = packed(tmp_path / 'empty.tar', {'salgan/README.md': b'#'})
    other = packed(tmp_path / 'other.tar', {'salgan/packages/made-for.txt': b'CPython 3.4 on linux sparc\n'})
    for bundle, expected in (
        (tmp_path / 'no.tar', 'no.tar: '),
        (text, 'text.tar: '),
        (empty, 'empty.tar is not a bundle: make one with `make bundle`'),
        (other, 'other.tar is for CPython 3.4 on linux sparc, and this is CPython'),
    ):
        result = unpacked(bundle, folder)
        assert result.returncode == 2 and expected in result.stderr, result.stderr
        assert result.stderr.count('\n') == 1


def test_only_packages_come_out_of_it(tmp_path):
    version = f'{sys.version_info[0]}.{sys.version_info[1]}'
    here = f'CPython {version} on {sys.platform} {platform.machine()}\n'
    files = {
        'salgan/packages/made-for.txt': here.encode(),
        'salgan/packages/a.whl': b'a',
        'salgan/packages/../../b.whl': b'b',
        '/salgan/packages/c.whl': b'c',
        'salgan/README.md': b'#',
    }
    result = unpacked(packed(tmp_path / 'bundle.tar', files), tmp_path / 'packages')
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / 'packages').iterdir()) == ['a.whl', 'made-for.txt']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bundle.tar', 'packages']


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_demo_is_made_of_it_without_a_network():
    if sys.version_info[:2] != (3, 11):
        pytest.skip('the bundle is for Debian 12, whose Python is 3.11')
    base = Path('/var/tmp/salgan-roots/bookworm')
    trouble = systems.make_base(base, 'bookworm')
    if trouble:
        pytest.skip(trouble)
    with systems.fresh(base) as root:
        bundle = root / 'bundle.tar'
        subprocess.run([*BUNDLE, '--make', str(bundle)], check=True)
        inside = {'user': systems.USER, 'HOME': systems.HOME, 'network': False}
        execute(root, ['rm', '-r', f'{systems.HOME}/salgan'], check=True, **inside)
        execute(root, ['tar', 'xf', '/bundle.tar', '-C', systems.HOME], check=True, **inside)
        demo = execute(root, ['make', 'demo', 'OFFLINE=.'], folder=f'{systems.HOME}/salgan', **inside)
        assert demo.returncode == 0, demo.stdout + demo.stderr
        assert systems.from_ours(root / systems.HOME[1:] / 'salgan' / 'demo') <= 1
