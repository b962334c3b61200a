"""C++ of the project's own: compiled once, and again where what was kept is damaged or not to be trusted."""

import ctypes
import os
from types import SimpleNamespace

import pytest

from backend import native, theano

CODE = 'extern "C" int answer() { return %d; }\n'


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A C++ file, whose library is kept in the folder `kept` beside it."""
    (tmp_path / 'kept').mkdir(mode=0o700)
    monkeypatch.setattr(native, 'folder', lambda: str(tmp_path / 'kept'))
    path = tmp_path / 'answer.cpp'
    path.write_text(CODE % 41)
    return path


def libraries(source):
    return sorted((source.parent / 'kept').iterdir())


def compilations(monkeypatch):
    """A list that grows with every compilation from now on."""
    made: list = []
    compile = native._compile

    def counted(*arguments):
        made.append(1)
        compile(*arguments)

    monkeypatch.setattr(native, '_compile', counted)
    return made


def test_it_is_compiled_once_and_again_when_it_changes(source, monkeypatch):
    made = compilations(monkeypatch)
    assert [native.loaded(source).answer() for _ in range(3)] == [41] * 3
    assert len(made) == 1
    (library,) = libraries(source)
    assert library.stat().st_mode & 0o077 == 0
    source.write_text(CODE % 42)
    assert native.loaded(source).answer() == 42
    (source.parent / 'any.h').write_text('// a header of the folder')
    assert native.loaded(source, '-DANY').answer() == 42
    assert len(made) == 3 and len(libraries(source)) == 3


def test_a_damaged_library_is_made_again(source, monkeypatch):
    native.loaded(source)
    made, (path,) = compilations(monkeypatch), libraries(source)
    data = path.read_bytes()
    middle = len(data) // 2
    for damaged in (b'', data[:middle], data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]):
        path.unlink()  # the one that is loaded stays as it is
        path.write_bytes(damaged)
        native.loaded(source)
        assert libraries(source) == [path]
        assert native.whole(path) is not None
        assert ctypes.CDLL(str(path)).answer() == 41
    assert len(made) == 3


def test_what_the_compiler_refuses_is_said_and_nothing_is_left(source):
    source.write_text('extern "C" int answer() { return nothing; }')
    with pytest.raises(OSError, match='error: .*nothing'):
        native.loaded(source)
    assert libraries(source) == []


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(theano, 'config', SimpleNamespace(compiledir=str(tmp_path)))
    private = native.folder()
    assert os.stat(private).st_mode & 0o777 == 0o700
    assert (private, capsys.readouterr().err) == (native.folder(), '')
    os.chmod(private, 0o777)
    second = native.folder()
    assert os.path.dirname(second) == str(tmp_path) and second != private
    os.chmod(second, 0o777)
    other = native.folder()
    assert other == native.folder() and not other.startswith(str(tmp_path))
    assert os.stat(other).st_mode & 0o777 == 0o700
    assert capsys.readouterr().err == f'{private} is not private, so compiled code is not kept: delete it\n'


CPUS = (  # machine, a line of /proc/cpuinfo, SALGAN_CONV -> the vectors
    ('x86_64', 'flags\t\t: fpu sse2 avx avx2 fma', '', 'AVX2 and FMA'),
    ('x86_64', 'flags\t\t: fpu sse2 avx avx2 fma avx512f', '', 'AVX2 and FMA'),
    ('x86_64', 'flags\t\t: fpu sse2 avx avx2 fma avx512f', 'avx512', 'AVX-512'),
    ('x86_64', 'flags\t\t: fpu sse2 avx avx2 fma', 'avx512', 'AVX2 and FMA'),
    ('x86_64', 'flags\t\t: fpu sse2 avx', '', None),
    ('x86_64', 'processor\t: 0', '', None),
    ('aarch64', 'Features\t: fp asimd evtstrm aes crc32', '', 'NEON'),
    ('aarch64', 'flags\t\t: fpu sse2 avx avx2 fma avx512f', 'avx512', 'NEON'),  # as QEMU 7 shows it
    ('aarch64', 'processor\t: 0', '', 'NEON'),
)


def test_the_vectors_are_those_that_the_cpu_has(monkeypatch, tmp_path):
    monkeypatch.setattr(native, 'open', lambda *_, **how: (tmp_path / 'cpuinfo').open(**how), raising=False)
    for machine, line, choice, expected in CPUS:
        monkeypatch.setattr(native.platform, 'machine', lambda machine=machine: machine)
        (tmp_path / 'cpuinfo').write_text(f'processor\t: 0\n{line}\n\n')
        monkeypatch.setenv('SALGAN_CONV', choice)
        found = native.vectors()
        assert (found and found[0]) == expected
        assert native.wanted() == (expected is not None)
