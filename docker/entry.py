"""SalGAN's four scripts in a container.

    docker run [--gpus all] -v "$PWD:/data" salgan SCRIPT [OPTIONS]

SCRIPT is one of:
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def main():
    scripts = {path.name: path for path in sorted(HERE.glob('0*.py'))}
    name = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if name in scripts:
        os.execv(sys.executable, [sys.executable, str(scripts[name]), *sys.argv[2:]])
    known = name in ('-h', '--help')
    output = sys.stdout if known else sys.stderr
    if not known:
        print(f'{name}: no such script', file=output)
    print(__doc__.strip(), *scripts, sep='\n    ', file=output)
    sys.exit(0 if known else 2)


if __name__ == '__main__':
    main()
