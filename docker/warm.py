"""Compiles everything that the scripts need into Theano's compile folder, in advance.

    python docker/warm.py [--card tests/virtual_card]

With --card, compiles for device=cuda on a machine without a card, with a virtual card's driver, cuBLAS and
cuDNN. The compiled code works on every card; kernels, which are compiled for one card, are left out.
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
    parser.add_argument('--card', type=Path, help='folder of the virtual card, which its build.py builds')
    card = parser.parse_args().card
    if card:
        with tempfile.TemporaryDirectory() as scratch:
            with_card(card, Path(scratch))
    else:
        compile_all()


def compile_all():
    """The functions of both models; the size does not matter, since the compiled code is the same."""
    import numpy as np

    from models.model_bce import ModelBCE
    from models.model_salgan import ModelSALGAN
    from models.prediction import Predictor
    from utils.architecture import generator_layout

    Predictor([np.zeros(shape, np.float32) for _, _, shape in generator_layout()], 64, 48)
    ModelBCE(64, 48).compile()
    ModelSALGAN(64, 48).compile()


def with_card(card, scratch):
    """`compile_all` in a separate process, in which backend/cuda.py finds the virtual card."""
    build = runpy.run_path(str(card / 'build.py'))['build']
    found = importlib.util.find_spec('salgan_gpu')  # as in backend/cuda.py, which cannot run before
    assert found and found.submodule_search_locations, 'requirements/gpu.py comes first'
    folder = Path(found.submodule_search_locations[0], 'lib')
    packages = folder.parents[1]
    build('driver', scratch / 'libcuda.so.1', packages)
    build('cublas', scratch / 'libcublas.so', packages)
    build('cudnn', scratch / os.path.basename(os.path.realpath(folder / 'libcudnn.so')), packages)
    with in_place_of(folder / 'libcublas.so', scratch), in_place_of(folder / 'libcudnn.so', scratch):
        flags = [os.environ.get('THEANO_FLAGS'), f'gpuarray.cache_path={scratch / "kernels"}']
        environment = {'LD_LIBRARY_PATH': str(scratch), 'THEANO_FLAGS': ','.join(filter(None, flags))}
        subprocess.run([sys.executable, __file__], check=True, env={**os.environ, **environment})


@contextlib.contextmanager
def in_place_of(library, scratch):
    """Inside the block, a link to the virtual card's library under the library's name."""
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
