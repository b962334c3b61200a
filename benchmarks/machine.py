"""Shared by the benchmarks: a process's memory, and environments with the engines to compare with."""

import re
import subprocess
import sys
from pathlib import Path


def peak_megabytes():
    """The peak memory of this process; getrusage would include its parent's, from before the exec."""
    return int(re.findall(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[0]) / 1024


def environment(folder, requirements):
    """The Python of an environment with `requirements`, a list of packages; made if necessary."""
    python, stamp = Path(folder, 'bin', 'python'), Path(folder, 'installed')
    if not stamp.exists() or stamp.read_text() != str(requirements):
        print(f'installing {", ".join(requirements)} into {folder}', file=sys.stderr)
        subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
        subprocess.run([python, '-m', 'pip', 'install', '--quiet', *requirements], check=True)
        stamp.write_text(str(requirements))
    return str(python)
