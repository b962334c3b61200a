"""Builds the virtual card: the driver, NVRTC, cuBLAS and cuDNN of a card that is this computer's processor.

docs/cards.md tells what of a card it is, and what not.
"""

import hashlib
import os
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
# -march=native: the sums of cuDNN and cuBLAS take most of the time
FLAGS = ['-std=c++17', '-O3', '-march=native', '-fopenmp-simd', '-fPIC', '-shared', '-U_FORTIFY_SOURCE']
SOURCES = {
    'driver': ['driver.cpp', 'threads.cpp', 'races.cpp'],
    'nvrtc': ['nvrtc.cpp'],
    'cublas': ['cublas.cpp'],
    'cudnn': ['cudnn.cpp'],
}


def build(name, library, packages, changed=()):
    """Compiles one of SOURCES, where it is not there already.

    Parameters
    ----------
    name : str
    library : Path
        Its file name is also what it is loaded by.
    packages : Path
        Folder of packages with NVIDIA's headers.
    changed : pairs of str
        (text, what replaces it) in the sources: a mutant.
    """
    texts = {source: (HERE / source).read_text() for source in SOURCES[name]}
    for text, other in changed:
        assert sum(each.count(text) for each in texts.values()) == 1, text
        texts = {source: each.replace(text, other) for source, each in texts.items()}
    includes = [f'-I{HERE}', *(f'-I{path}' for path in sorted(packages.glob('nvidia/*/include')))]
    command = ['g++', *FLAGS, *includes, f'-DHEADERS="{HERE}"', f'-Wl,-soname,{library.name}']
    headers = [path.read_text() for path in sorted(HERE.glob('*.h'))]
    key = hashlib.sha256('\0'.join([*texts.values(), *command, *headers, _processor()]).encode()).hexdigest()
    stamp = library.with_name(f'.{library.name}.key')
    if library.exists() and stamp.exists() and stamp.read_text() == key:
        return
    library.parent.mkdir(parents=True, exist_ok=True)
    scratch = library.with_name(f'{library.name}.{os.getpid()}')
    scratch.mkdir(exist_ok=True)
    for source, text in texts.items():
        (scratch / source).write_text(text)
    subprocess.run(
        [*command, *(scratch / source for source in texts), '-ldl', '-o', scratch / 'library'],
        check=True,
        capture_output=True,
        text=True,
    )
    os.replace(scratch / 'library', library)
    stamp.write_text(key)
    for path in scratch.iterdir():
        path.unlink()
    scratch.rmdir()


def cudnn_version(packages):
    """(major, minor) of the headers."""
    text = (packages / 'nvidia' / 'cudnn' / 'include' / 'cudnn_version.h').read_text()
    return tuple(int(re.findall(rf'#define CUDNN_{part}\w* (\d+)', text)[0]) for part in ('MAJOR', 'MINOR'))


def _processor():
    """What -march=native depends on."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return ''
    return next((line for line in lines if line.startswith(('flags', 'Features'))), '')
