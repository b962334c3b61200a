"""THEANO_FLAGS: today's defaults, and translations of the spellings of 2017."""

import configparser
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

HEADER = Path(__file__).resolve().with_name('np2compat.h')

# settings that are often recommended, and what is used instead
REPLACED = {
    'optimizer': ({'None', 'fast_compile'}, 'fast_run', 'it would leave the convolutions in Python'),
    'mode': ({'FAST_COMPILE'}, 'FAST_RUN', 'it would leave the convolutions in Python'),
    'compute_test_value': ({'ignore', 'warn', 'raise', 'pdb'}, 'off', 'no graph here has test values'),
}

# of cuDNN's convolutions
DETERMINISTIC = {
    'dnn.conv.algo_fwd': 'small',
    'dnn.conv.algo_bwd_data': 'deterministic',
    'dnn.conv.algo_bwd_filter': 'deterministic',
}

GIVEN: dict = {}  # what the user set before anything was added


def translate():
    """Adds missing settings to THEANO_FLAGS.

    `device=gpu` becomes `device=cuda`, with a notice; `lib.cnmem=X` becomes `gpuarray.preallocate=X` (the
    numbers mean the same). Both are read from .theanorc too. `optimizer_including=cudnn` needs no change:
    Theano 1.0 accepts the name, and uses cuDNN wherever it is available. `deterministic=more` is extended to
    cuDNN's convolutions; its pools have no overlapping windows, for which the order of summation would
    matter. Unusable settings (REPLACED) are replaced by others that give the same numbers, with a notice.
    """
    import numpy as np

    added = {}
    GIVEN.update(settings())
    for name, (others, used, reason) in REPLACED.items():
        if value(name) in others:
            added[name] = used
            print(
                f'{name}={value(name)} is not for these networks ({reason}): {used} is used', file=sys.stderr
            )
    if value('cxx') is None:
        added['cxx'] = _compiler()
    device = value('device', '')
    if re.fullmatch(r'gpu\d*', device):
        added['device'] = device.replace('gpu', 'cuda')
        print(f'device={device} is spelt device={added["device"]} since Theano 1.0', file=sys.stderr)
    if value('lib.cnmem') is not None and value('gpuarray.preallocate') is None:
        added['gpuarray.preallocate'] = value('lib.cnmem')
    if value('floatX') is None:
        added['floatX'] = 'float32'  # Theano's own default is float64; SalGAN's weights are float32
    if value('blas.ldflags') is None:
        added['blas.ldflags'] = ''  # none: NumPy's own BLAS, called through Python, is always available
    if np.lib.NumpyVersion(np.__version__) >= '2.0.0' and HEADER.name not in value('gcc.cxxflags', ''):
        # found through CPATH: Theano splits these flags at spaces, which a folder's name may contain
        added['gcc.cxxflags'] = f'{value("gcc.cxxflags", "")} -include {HEADER.name}'.strip()
        os.environ['CPATH'] = os.pathsep.join(filter(None, [str(HEADER.parent), os.environ.get('CPATH')]))
    if value('deterministic') == 'more':  # Theano's own flag does not cover cuDNN
        for name, algorithm in DETERMINISTIC.items():
            if value(name) is None:
                added[name] = algorithm
    add(added)


def add(settings):
    """Appends settings to THEANO_FLAGS, in which later values override earlier ones."""
    written = [f'{name}={_quote(str(setting))}' for name, setting in settings.items()]
    os.environ['THEANO_FLAGS'] = ','.join(filter(None, [os.environ.get('THEANO_FLAGS', ''), *written]))


def _compiler():
    """$CXX if it names a compiler, as with conda; otherwise g++, conda's or Clang; 'g++' if none exists."""
    try:
        words = shlex.split(os.environ.get('CXX', ''))
    except ValueError:
        words = []
    # the compiler of `ccache g++ -O2`; of conda's two names for it, the one that Theano recognises
    named = [word for word in words if re.search(r'\+\+(-[\d.]+)?$', word)]
    named += [re.sub(r'\bc\+\+$', 'g++', word) for word in named]
    own = sorted(str(path) for path in Path(sys.base_prefix, 'bin').glob('*-conda-linux-gnu-g++'))
    return next(filter(shutil.which, [*reversed(named), 'g++', *own, 'clang++', 'c++']), 'g++')


def wait_asleep():
    """Lets OpenMP's threads sleep while they wait for each other, unless the user says otherwise.

    By default they spin. If other processes want the cores too, this takes time from the very thread that
    they wait for: a prediction was seen to need three times the processor time. Call this before OpenMP
    loads.
    """
    if 'GOMP_SPINCOUNT' not in os.environ:
        os.environ.setdefault('OMP_WAIT_POLICY', 'passive')


def value(name, default=None):
    """The user's value of `name`, from THEANO_FLAGS, then .theanorc, as in Theano; otherwise `default`."""
    return settings().get(name, default)


def settings():
    """All that the user set: {name: text}."""
    settings = _from_files()
    splitter = shlex.shlex(os.environ.get('THEANO_FLAGS', ''), posix=True)
    splitter.whitespace, splitter.whitespace_split, splitter.commenters = ',', True, ''
    for pair in splitter:
        key, equals, setting = pair.strip().partition('=')
        if equals:
            settings[key] = setting
    return settings


def _from_files():
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    names = os.environ.get('THEANORC', '~/.theanorc').split(os.pathsep)
    try:
        parser.read([os.path.expanduser(name) for name in names])
    except (configparser.Error, UnicodeDecodeError):
        return {}  # Theano says what is wrong with it
    return {
        key if section == 'global' else f'{section}.{key}': setting
        for section in parser.sections()
        for key, setting in _items(parser, section)
    }


def _items(parser, section):
    # configparser lower-cases keys; Theano's one mixed-case name is floatX
    return [('floatX' if key == 'floatx' else key, setting) for key, setting in parser.items(section)]


def _quote(setting):
    return shlex.quote(setting) if re.search(r'[\s,"]', setting) else setting
