"""Builds the stubs of this folder."""

import os
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CUDNN = {'8': 8907, '9': 92700}  # major version -> what cudnnGetVersion says


def build(name, library):
    """Compiles driver, cublas or cudnn into `library`, whose file name is also what it is loaded by."""
    flags = [f'-DVERSION={CUDNN[library.name[-1]]}'] if name == 'cudnn' else []
    new = library.with_name(f'{library.name}.new')
    command = ['gcc', '-shared', '-fPIC', '-w', *flags, f'-Wl,-soname,{library.name}']
    command += [str(HERE / f'{name}.c'), '-o', str(new)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    os.replace(new, library)
