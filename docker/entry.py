"""SalGAN's four scripts in a container.

    docker run [--gpus all] -v "$PWD:/data" salgan SCRIPT [OPTIONS]

SCRIPT is one of:
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
COMPILED = Path('/var/cache/salgan')  # as in theanorc.cpu and theanorc.gpu


def main():
    scripts = {path.name: path for path in sorted(HERE.glob('0*.py'))}
    name = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if name in scripts:
        compile_folder()
        os.execv(sys.executable, [sys.executable, str(scripts[name]), *sys.argv[2:]])
    known = name in ('-h', '--help')
    output = sys.stdout if known else sys.stderr
    if not known:
        print(f'{name}: no such script', file=output)
    print(__doc__.strip(), *scripts, sep='\n    ', file=output)
    sys.exit(0 if known else 2)


def compile_folder():
    """If this user cannot write to the image's compile folder, as in a read-only image or with `docker run
    --user`, uses a copy of it, so that code that fits this processor is not recompiled."""
    flags = os.environ.get('THEANO_FLAGS', '')
    if 'compiledir=' in flags or not COMPILED.is_dir() or os.access(COMPILED, os.W_OK):
        return
    home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    for parent in (os.environ.get('TMPDIR'), home, '/tmp'):
        with contextlib.suppress(OSError):
            if parent and os.path.isabs(parent):
                folder = copied(Path(parent, f'salgan-{os.geteuid()}'))
                os.environ['THEANO_FLAGS'] = ','.join(filter(None, [flags, f'compiledir="{folder}"']))
                return


def copied(folder):
    """A copy of `COMPILED` in a folder that belongs to this user alone; an OSError if that is impossible."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(f'{folder} is not private')
    target = folder / 'compiled'
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            copy = Path(scratch, 'copy')
            shutil.copytree(COMPILED, copy)
            copy.chmod(0o700)
            with contextlib.suppress(OSError):  # another process was faster
                copy.rename(target)
    return target


if __name__ == '__main__':
    main()
