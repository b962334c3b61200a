"""Compiles what the scripts run on into Theano's compile folder, before there is anything to run on.

    python docker/warm.py [--stubs tests/gpu_stubs]

With --stubs for device=cuda on a machine without a card: stubs stand in for the driver, cuBLAS and cuDNN.
What is compiled is for every card; kernels, compiled for one, are left out.
"""

import argparse
import contextlib
import importlib.util
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--stubs', type=Path, help='folder of the stubs; they are built by its build.py')
    stubs = parser.parse_args().stubs
    if stubs:
        with tempfile.TemporaryDirectory() as scratch:
            with_stubs(stubs, Path(scratch))
    else:
        compile_all()


def compile_all():
    """The functions of both models; of any size, since the compiled code is the same."""
    import numpy as np

    from models.model_bce import ModelBCE
    from models.model_salgan import ModelSALGAN
    from models.prediction import Predictor
    from utils.architecture import generator_layout

    Predictor([np.zeros(shape, np.float32) for _, _, shape in generator_layout()], 64, 48)
    ModelBCE(64, 48).compile()
    ModelSALGAN(64, 48).compile()


def with_stubs(stubs, scratch):
    """`compile_all` in a process of its own, in which backend/cuda.py finds the stubs for the libraries."""
    build = runpy.run_path(str(stubs / 'build.py'))['build']
    found = importlib.util.find_spec('salgan_gpu')  # as in backend/cuda.py, which cannot run before
    assert found and found.submodule_search_locations, 'requirements/gpu.py comes first'
    folder = Path(found.submodule_search_locations[0], 'lib')
    build('driver', scratch / 'libcuda.so.1')
    build('cublas', scratch / 'libcublas.so')
    build('cudnn', scratch / 'libcudnn.so.8')
    with in_place_of(folder / 'libcublas.so', scratch), in_place_of(folder / 'libcudnn.so', scratch):
        flags = [os.environ.get('THEANO_FLAGS'), f'gpuarray.cache_path={scratch / "kernels"}']
        environment = {'LD_LIBRARY_PATH': str(scratch), 'THEANO_FLAGS': ','.join(filter(None, flags))}
        subprocess.run([sys.executable, __file__], check=True, env={**os.environ, **environment})


@contextlib.contextmanager
def in_place_of(library, scratch):
    """A link to the stub under the library's name, for as long."""
    aside = library.with_suffix('.aside')
    library.rename(aside)
    try:
        library.symlink_to(next(scratch.glob(f'{library.name}*')))
        yield
    finally:
        library.unlink()
        aside.rename(library)


if __name__ == '__main__':
    main()
