"""Installs the parts of `device=cuda` that pip cannot install into an environment; changes no system folder.

    .venv/bin/python requirements/gpu.py [--target FOLDER]

From Debian 12, the only release that has both, come pygpu and libgpuarray 0.7.6, for its Python 3.11. Beside
them go libraries under the names that libgpuarray and Theano look for (libcuda.so, libnvrtc.so, libcublas.so,
libcudnn.so); the driver and NVIDIA's packages only have versioned names. backend/cuda.py finds all of them.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

DEBIAN = ['python3-pygpu', 'libgpuarray3', 'libgpuarray-dev']
FOLDER = 'salgan_gpu'  # as in backend/cuda.py
LIBRARIES = ['libnvrtc', 'libcublas', 'libcudnn']
CAPABILITY = Path(__file__).with_name('capability.cpp')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--target',
        type=Path,
        default=sysconfig.get_path('purelib'),
        help="folder of packages, with NVIDIA's in it (default: this Python's)",
    )
    target = parser.parse_args().target
    if sys.version_info[:2] != (3, 11):
        stop(f'pygpu is there for Python 3.11 only, and this is {sys.version.split()[0]}')
    folder = target / FOLDER
    if not (target / 'pygpu').exists():
        from_debian(target, folder)
    forward(folder / 'lib', 'libcuda.so', driver_stand_in, CAPABILITY)
    for name in LIBRARIES:
        found = sorted(target.glob(f'nvidia/*/lib/{name}.so.*'))
        if not found:
            stop(f'{name} is not in {target / "nvidia"}: pip install -r requirements/gpu.txt')
        if name == 'libcudnn':  # linked against, for which a forwarding library does not work
            replace_by_link(folder / 'lib' / 'libcudnn.so', found[0])
        else:
            forward(folder / 'lib', f'{name}.so', lambda scratch, real=found[0]: real)


def from_debian(target, folder):
    """Debian's packages, unpacked: pygpu into `target`, libgpuarray and its headers into `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            # apt checks the signatures; its sandbox has no access to our folder, which only gives a notice
            run('apt-get', 'download', '--quiet', '-o', 'APT::Sandbox::User=root', *DEBIAN, cwd=scratch)
        except (OSError, subprocess.CalledProcessError) as error:
            stop(
                f'Debian 12 has {", ".join(DEBIAN)}, and they cannot be had from here ({reason(error)}): '
                'run `apt-get update` as root first, or use docker/ on another system'
            )
        for package in Path(scratch).glob('*.deb'):
            run('dpkg-deb', '--extract', package, scratch)
        (folder / 'lib').mkdir(parents=True, exist_ok=True)
        copy(Path(scratch, 'usr/include/gpuarray'), folder / 'include' / 'gpuarray')
        for library in Path(scratch).glob('usr/lib/libgpuarray.so*'):
            (folder / 'lib' / library.name).unlink(missing_ok=True)
            shutil.copy2(library, folder / 'lib', follow_symlinks=False)
        copy(Path(scratch, 'usr/lib/python3/dist-packages/pygpu'), target / 'pygpu')  # last: it is complete


def forward(folder, name, real, source=os.devnull):
    """A library called `name` that depends on another one, and itself contains the code in `source`.

    A symbolic link would not work: once loaded, a library is found by its own soname.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        library = real(Path(scratch))
        output = Path(scratch, name)
        rpath = [f'-Wl,-rpath,{library.parent}'] if library.parent != Path(scratch) else []
        compile_library(output, name, source, '-Wl,--no-as-needed', library, *rpath)
        os.replace(output, folder / name)


def driver_stand_in(scratch):
    """An empty libcuda.so.1: the driver may be installed later, and is then found on the system."""
    library = scratch / 'libcuda.so.1'
    compile_library(library, library.name, os.devnull)
    return library


def compile_library(output, soname, source, *arguments):
    command = ['g++', '-shared', '-fPIC', '-O1', '-x', 'c++', source, '-x', 'none', *arguments]
    run(*command, f'-Wl,-soname,{soname}', '-o', output)


def replace_by_link(link, real):
    link.unlink(missing_ok=True)
    link.symlink_to(real)


def copy(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def run(*command, cwd=None):
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def stop(sentence):
    print(sentence, file=sys.stderr)
    sys.exit(2)


def reason(error):
    lines = (getattr(error, 'stderr', None) or str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


if __name__ == '__main__':
    main()
