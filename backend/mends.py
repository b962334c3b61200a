"""Patches: what Theano 1.0.5 and Lasagne 0.1 need and today's Python and NumPy no longer have.

Each function says what it patches. `backend/__init__.py` calls them in order.
"""

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import pickle
import shutil
import sys
import sysconfig
import tempfile
import types
import warnings

import numpy as np

_put_off: dict = {}  # modules that replace others while Theano is imported
NUMPY_2 = np.lib.NumpyVersion(np.__version__) >= '2.0.0'


def before_theano():
    """Applies every patch that is needed before the first `import theano`."""
    _numpy_names()
    _numpy_distutils()
    _distutils()
    _put_off_scipy()
    # if the compiler is not called g++, Theano's own small modules are compiled for any CPU; this is harmless
    logger = logging.getLogger('theano.gof.cmodule')
    logger.addFilter(lambda record: 'OPTIMIZATION' not in str(record.msg))
    logger.warn = logger.warning  # type: ignore[method-assign]  # the name that it uses is deprecated
    # replaces Theano's own, which polls
    sys.modules['theano.gof.compilelock'] = importlib.import_module('backend.compile_lock')


def after_theano():
    """Patches Theano itself, and what Lasagne 0.1 needs of it."""
    _put_back()
    _stable_cache()
    _shared_cache()
    if NUMPY_2:
        _autocast()
    _downsample()
    # if a function fails, Theano imports its GPU back end to describe the error
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated', module='theano')


def import_lasagne():
    """Lasagne 0.1 gets its version from pkg_resources, which setuptools dropped; it gets that and no more."""

    class Distribution:
        def __init__(self, name):
            self.version = importlib.metadata.version(name)

    real = sys.modules.get('pkg_resources')
    _module('pkg_resources', get_distribution=Distribution)
    try:
        return import_quietly('lasagne')[0]
    finally:
        del sys.modules['pkg_resources']
        if real:
            sys.modules['pkg_resources'] = real


def import_quietly(name):
    """Imports `name` without the warnings on its own old code.

    Returns
    -------
    the module, and why Theano's GPU back end could not start, an Exception or None
    """
    # what these two log is intended (no system BLAS) or reported in a sentence by cuda.in_use
    loggers = [logging.getLogger('theano.tensor.blas'), logging.getLogger('theano.gpuarray')]
    records = _Records()
    for logger in loggers:
        logger.addHandler(records)
        logger.propagate = False
    try:
        with warnings.catch_warnings(), _a_home():
            warnings.simplefilter('ignore')
            return importlib.import_module(name), records.error
    finally:
        for logger in loggers:
            logger.removeHandler(records)
            logger.propagate = True


@contextlib.contextmanager
def _a_home():
    """Provides a home inside the block: Theano looks for the user's when imported, even if it needs none."""
    without = not os.path.isabs(os.path.expanduser('~'))
    if without:
        os.environ['HOME'] = os.sep
    try:
        yield
    finally:
        if without:
            del os.environ['HOME']


class _Records(logging.Handler):
    """Keeps the last logged exception, and shows nothing."""

    error = None

    def emit(self, record):
        self.error = record.exc_info[1] if record.exc_info else self.error


def _numpy_names():
    """NumPy 1.24 removed its aliases of Python's types, NumPy 2 a few more names."""
    names: dict = {'bool': bool, 'int': int, 'float': float, 'complex': complex, 'object': object, 'str': str}
    if NUMPY_2:
        names.update(
            product=np.prod,
            float_=np.float64,
            Inf=np.inf,
            NaN=np.nan,
            MAXDIMS=64,
            ComplexWarning=np.exceptions.ComplexWarning,
            sctype2char=lambda dtype: np.dtype(dtype).char,
            cast=_Cast(),
        )
        # numpy.core warns of its new name whenever Theano asks it for the C API's version
        umath = importlib.import_module('numpy._core._multiarray_umath')
        vars(importlib.import_module('numpy.core'))['_multiarray_umath'] = umath
        _module('numpy.linalg.linalg', LinAlgError=np.linalg.LinAlgError)  # used by the GPU back end
    for name, value in names.items():
        if name not in np.__dict__:
            setattr(np, name, value)


class _Cast(dict):
    """numpy.cast of NumPy 1: `cast[dtype](x)`."""

    def __missing__(self, dtype):
        return lambda x: np.asarray(x).astype(dtype)


def _numpy_distutils():
    """numpy.distutils has gone since Python 3.12, and before that it warns and searches for a BLAS.

    Theano only needs its include folder.
    """

    class SystemInfo:
        verbosity = 0

    package = _module('numpy.distutils', __path__=[])
    package.__config__ = _module('numpy.distutils.__config__', blas_opt_info={})
    _module('numpy.distutils.misc_util', get_numpy_include_dirs=lambda: [np.get_include()])
    _module('numpy.distutils.system_info', get_info=lambda name: {}, system_info=SystemInfo)


def _distutils():
    """distutils has gone since Python 3.12: sysconfig and shutil provide what Theano uses.

    Before that it is slow to import, since setuptools changes it; `_put_back` restores it for others.
    """
    if sys.version_info >= (3, 12):
        # Theano's GPU back end imports a debugging tool that imports imp, which went at the same time
        _module('imp', find_module=importlib.util.find_spec)
    if 'distutils' in sys.modules:
        return
    _put_off['distutils'] = _module('distutils', __path__=[])
    _put_off['distutils.sysconfig'] = _module(
        'distutils.sysconfig',
        get_config_var=sysconfig.get_config_var,
        get_config_h_filename=sysconfig.get_config_h_filename,
        get_python_version=sysconfig.get_python_version,
        get_python_inc=lambda plat_specific=False, prefix=None: sysconfig.get_path(
            'platinclude' if plat_specific else 'include'
        ),
        get_python_lib=lambda plat_specific=False, standard_lib=False, prefix=None: sysconfig.get_path(
            'platstdlib' if standard_lib else 'platlib'
        ),
    )
    _put_off['distutils.spawn'] = _module(
        'distutils.spawn', find_executable=lambda name, path=None: shutil.which(name, path=path)
    )
    if sys.version_info >= (3, 12):
        _put_off.clear()  # they stay


def _put_off_scipy():
    """More than half of Theano's import time is spent on parts of SciPy that it hardly ever uses.

    Theano's `import scipy.special` and the like find an empty module, which `_put_back` removes: from then
    on SciPy imports its parts when they are first used. Theano keeps functions of scipy.linalg.blas, so it
    gets ones that fetch SciPy's when called. scipy.signal stays replaced: Theano only uses it to convolve in
    Python, without a compiler, and today's SciPy no longer has the names that Theano uses.
    """
    import scipy

    if '__getattr__' not in vars(scipy):
        return
    for part in ('stats', 'special', 'signal', 'linalg'):
        name = f'scipy.{part}'
        if name not in sys.modules:
            _put_off[name] = _module(name)
    if 'scipy.linalg' in _put_off:
        blas = {
            name: ScipyBlas(name)
            for name in (*(f'{t}gemv' for t in 'sdcz'), 'sger', 'dger', 'cgeru', 'zgeru')
        }
        _put_off['scipy.linalg.blas'] = _module('scipy.linalg.blas', **blas)


class ScipyBlas:
    """The function of scipy.linalg.blas with this name, imported when it is called."""

    def __init__(self, name):
        self.name = name

    def __call__(self, *arguments, **options):
        return getattr(importlib.import_module('scipy.linalg.blas'), self.name)(*arguments, **options)


def _put_back():
    """Removes the replacements used while Theano was imported."""
    for name, module in _put_off.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
        parent, _, child = name.rpartition('.')
        if parent in sys.modules and vars(sys.modules[parent]).get(child) is module:
            delattr(sys.modules[parent], child)
    _put_off.clear()


def _stable_cache():
    """Without these two Theano recompiles three modules in every process, and keeps each copy.

    The version of an Op from a C file is Python's hash of a str, which is random since Python 3.3; and an Op
    without properties (`__props__ = ()`) counts as having no version.
    """
    from theano.gof.op import COp, Op

    def c_code_cache_version(self):
        code = '\0'.join(self.func_codes).encode()
        version = [int(hashlib.sha256(code).hexdigest()[:12], 16)]
        if self.params_type is not None:
            version.append(self.params_type.c_code_cache_version())
        return tuple(version)

    COp.c_code_cache_version = c_code_cache_version
    ops = [Op]
    while ops:
        op = ops.pop()
        ops.extend(op.__subclasses__())
        if op.__dict__.get('__props__') == ():
            op.__props__ = ('__class__',)


def _shared_cache():
    """Theano's cache of compiled modules is read without its lock, and was not safe for that.

    A start that met the list of a module's keys half-written took the module for broken, and deleted it
    under the process that was using it; and a folder that another process deleted meanwhile ended the start.
    """
    from theano.gof.cmodule import KeyData, ModuleCache

    from backend import compile_lock

    def save_pkl(self):
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(self.key_pkl))
        try:
            with open(handle, 'wb') as file:
                pickle.dump(self, file, pickle.HIGHEST_PROTOCOL)
            os.replace(temporary, self.key_pkl)
        except BaseException:
            os.unlink(temporary)
            raise

    refresh = ModuleCache.refresh

    def refresh_and_clean_once_under_the_lock(
        self, age_thresh_use=None, delete_if_problem=False, cleanup=True
    ):
        cleanup = compile_lock.held() and not hasattr(self, 'cleaned')
        while True:
            before = os.listdir(self.dirname)
            try:
                found = refresh(self, age_thresh_use, delete_if_problem, cleanup)
                break
            except FileNotFoundError:
                if os.listdir(self.dirname) == before:
                    raise
        if cleanup:
            self.cleaned = True
        return found

    KeyData.save_pkl = save_pkl
    ModuleCache.refresh = refresh_and_clean_once_under_the_lock


def _autocast():
    """NumPy 2 calls float32(0.001) and 0.001 equal, so Theano would put float32 into float64 graphs."""
    from theano import _asarray, config
    from theano.scalar.basic import NumpyAutocaster

    original = NumpyAutocaster.__call__

    def autocast(self, x):
        if type(x) is not float or config.floatX == 'float32':
            return original(self, x)
        for dtype in self.dtypes:
            array = _asarray(x, dtype=dtype)
            if dtype != 'float16' and float(array) == x:
                break
        return array

    NumpyAutocaster.__call__ = autocast


def _downsample():
    """Lasagne 0.1 imports theano.tensor.signal.downsample, since renamed to pool."""
    from theano.tensor.signal import pool

    def max_pool_2d(input, ds, ignore_border=None, st=None, padding=(0, 0), mode='max'):
        return pool.pool_2d(input, ws=ds, ignore_border=ignore_border, stride=st, pad=padding, mode=mode)

    _module('theano.tensor.signal.downsample', max_pool_2d=max_pool_2d)


def _module(name, **attributes):
    module = types.ModuleType(name)
    module.__dict__.update(attributes)
    sys.modules[name] = module
    parent, _, child = name.rpartition('.')
    if parent:
        setattr(sys.modules[parent], child, module)
    return module
