"""Finds the libraries, headers and supported card that device=cuda needs, or stops with one sentence.

libgpuarray opens libcuda.so, libnvrtc.so and libcublas.so, but the driver and NVIDIA's packages only have
versioned names. requirements/gpu.py makes libraries with these names that depend on the real ones; libraries
loaded here are found when libgpuarray opens them.
"""

import contextlib
import ctypes
import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from backend import compile_folder, flags
from backend.errors import CannotRun

FOLDER = 'salgan_gpu'  # as in requirements/gpu.py
HEADERS = Path(__file__).with_name('include')  # cudnn.h with the calls that Theano needs and it lacks
LIBRARIES = ('libgpuarray.so', 'libcuda.so', 'libnvrtc.so', 'libcublas.so', 'libcudnn.so')
CPU = 'run on the CPU by leaving the device out of THEANO_FLAGS'
NEWEST = 9, 0  # the compute capability reported to libgpuarray for newer cards (requirements/capability.cpp)
MAJOR, MINOR = 75, 76  # attributes of a device: its compute capability
MEGABYTE = 2**20
ROOM = 300  # megabytes of the card that are left to cuBLAS, cuDNN and the kernels
FORWARD = 'dnn.conv.algo_fwd'
TRIED, NAMED = 'time_on_shape_change', 'guess_on_shape_change'

_loaded: dict = {}  # library -> ctypes.CDLL


def wanted():
    """The device that THEANO_FLAGS request, unless it is the CPU."""
    device = flags.value('device', 'cpu')
    return device if device.startswith(('cuda', 'opencl')) else None


def prepare():
    """Before `import theano`: finds everything, and checks that the card is supported."""
    device = wanted()
    if not device:
        return
    # on cards since 2020, cuBLAS and cuDNN round float32 to TF32 by default
    os.environ.setdefault('NVIDIA_TF32_OVERRIDE', '0')
    # note: deviation 32: those of 2017 were `small` forward and `none` for the gradients
    flags.add({name: TRIED for name in flags.DETERMINISTIC if flags.value(name) is None})
    _find()
    try:
        importlib.import_module('pygpu')
    except Exception as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise CannotRun(
            f'device={device} needs libgpuarray and pygpu ({reason}): `make gpu` installs them on Debian 12, '
            f'docker/README.md tells of an image; or {CPU}'
        ) from None
    if device.startswith('cuda'):
        driver = _driver(device)
        card = _card(driver, device)
        _compiler(driver, card, device)
        with _context(driver, card):
            _cudnn()
            _clip_cnmem(driver)


def in_use(reason):
    """After `import theano`: checks that it uses the requested card; Theano would continue on the CPU.

    Parameters
    ----------
    reason : Exception or None
        What Theano logged if it could not use the card.
    """
    device = wanted()
    if not device:
        return
    import theano.gpuarray
    from theano.gpuarray import dnn

    if not theano.gpuarray.pygpu_activated:
        said = f' ({_text(reason)})' if reason else ''
        raise CannotRun(
            f'device={device} was asked for and cannot be used{said}: check the driver and what else runs on '
            f'the card with `nvidia-smi`, or {CPU}'
        )
    if device.startswith('cuda') and not dnn.dnn_present() and theano.config.dnn.enabled == 'auto':
        _without_cudnn((dnn.dnn_present.msg or 'no reason given').strip().splitlines()[0])


def _text(error):
    """An exception's sentence; those of libgpuarray are bytes."""
    first = error.args[0] if error.args else error
    return ' '.join((first.decode(errors='replace') if isinstance(first, bytes) else str(first)).split())


def report():
    """One line: the card that Theano uses, and its libraries."""
    from theano.gpuarray import dnn, type

    device = wanted()
    if not device.startswith('cuda'):
        return f'device={device}: {type.get_context(None).devname}'
    driver = ctypes.CDLL('libcuda.so.1')
    (major, minor), name = _capability(driver, _card(driver, device))
    if dnn.dnn_present():
        version = dnn.version()
        size = 10000 if version >= 90000 else 1000  # from 9 on, two digits more for the minor version
        cudnn = f'cuDNN {version // size}.{version % size // 100}.{version % 100}'
    else:
        cudnn = 'no cuDNN'
    return (
        f'device={device}: {name}, '
        f'compute capability {major}.{minor}, {_driver_version()}, {cudnn}, TF32 {"on" if tf32() else "off"}'
    )


def without_trials():
    """Inside the block, forward convolutions get the algorithm that cuDNN names, not the fastest of trials.

    It is the same each time, and so are the results; unless the user says otherwise.
    """
    import theano

    ours = FORWARD not in flags.GIVEN and theano.config.dnn.conv.algo_fwd == TRIED
    return theano.configparser.change_flags(**({FORWARD: NAMED} if ours else {}))


def tf32():
    """Whether float32 may be rounded to TF32: only if the user requests it (include/cudnn.h)."""
    return os.environ.get('NVIDIA_TF32_OVERRIDE') == '1'


def _find():
    """Tells Theano and the compiler where the libraries and headers are, and loads the libraries."""
    folder = _package(FOLDER)
    if not folder:
        return  # installed without `make gpu`: pygpu and Theano search for themselves
    library = folder / 'lib'
    nvidia = _package('nvidia') or folder
    headers = sorted(path for path in nvidia.glob('*/include'))
    # passed in these variables: Theano has no flag for so many folders
    _prepend('CPATH', folder / 'include', *headers)
    _prepend('LIBRARY_PATH', library)
    settings = {'dnn.include_path': HEADERS, 'dnn.bin_path': library}
    # Theano keeps modules under a key that holds the compiler's flags, but nothing of a header
    header = hashlib.sha256((HEADERS / 'cudnn.h').read_bytes()).hexdigest()[:8]
    flags.add({'gcc.cxxflags': f'{flags.value("gcc.cxxflags", "")} -DSALGAN_CUDNN=0x{header}'.strip()})
    settings['print_active_device'] = False  # `python -m backend` prints it
    runtime = 'cu13' if (nvidia / 'cu13').is_dir() else 'cuda_runtime'  # packages of CUDA 13 share a folder
    settings['cuda.include_path'] = nvidia / runtime / 'include'
    flags.add({name: str(path) for name, path in settings.items() if flags.value(name) is None})
    # NVRTC of CUDA 13 does not find its own part beside itself
    parts = sorted(nvidia.glob('*/lib/libnvrtc-builtins.so.*'))
    for path in (*parts, *(library / name for name in LIBRARIES)):
        # by its real path, from which NVIDIA's libraries find their own parts
        with contextlib.suppress(OSError):  # a missing library is reported where it is needed
            _loaded[path.name] = ctypes.CDLL(os.path.realpath(path))


def _package(name):
    spec = importlib.util.find_spec(name)
    return Path(list(spec.submodule_search_locations or [])[0]) if spec else None


def _prepend(variable, *folders):
    parts = [str(folder) for folder in folders] + [os.environ.get(variable, '')]
    os.environ[variable] = os.pathsep.join(filter(None, parts))


def _driver(device):
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError as error:
        raise CannotRun(
            f'device={device}: no NVIDIA driver was found ({error}): install one (in a container: '
            f'`docker run --gpus all`), or {CPU}'
        ) from None
    status = driver.cuInit(0)
    if status:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(text))
        said = text.value.decode() if text.value else f'error {status}'
        raise CannotRun(
            f"device={device}: NVIDIA's driver does not start ({said}): check it with `nvidia-smi`, or {CPU}"
        )
    return driver


def _card(driver, device):
    """The card's number, which must be one that libgpuarray can name."""
    count, card = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    number = int(device[4:]) if device[4:].isdecimal() else 0
    if number >= count.value:
        raise CannotRun(
            f'device={device}: number of cards found: {count.value}, counted from cuda0: '
            f'name one of them, or {CPU}'
        )
    driver.cuDeviceGet(ctypes.byref(card), number)
    return card


def _compiler(driver, card, device):
    """Checks that NVRTC compiles for this card, and that the driver accepts the result."""
    capability, name = _capability(driver, card)
    compiler = _loaded.get('libnvrtc.so')
    if not compiler:  # another installation's, which libgpuarray may find
        if capability[0] > NEWEST[0] and not _package(FOLDER):
            raise CannotRun(
                f'device={device}: {name} has compute capability {capability[0]}.{capability[1]}, which '
                f'libgpuarray cannot name: `make gpu` installs what it needs, or {CPU}'
            )
        return
    major, minor = ctypes.c_int(), ctypes.c_int()
    compiler.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    needed = major.value, minor.value
    has = cuda_version(driver)
    if has < needed:
        raise CannotRun(
            f"device={device}: NVIDIA's driver here is for CUDA {has[0]}.{has[1]}, but CUDA "
            f'{needed[0]}.{needed[1]} is installed: update the driver, or {CPU}'
        )
    known = _capabilities(compiler)
    if min(capability, NEWEST) not in known:
        raise CannotRun(
            f'device={device}: {name} has compute capability {capability[0]}.{capability[1]}, and '
            f"Theano's GPU back end runs on {known[0][0]}.{known[0][1]} and newer with CUDA "
            f'{needed[0]}.{needed[1]}: use another card, or {CPU}'
        )
    if capability > NEWEST and flags.value('gpuarray.cache_path') is None:
        # libgpuarray stores kernels by the reported capability: a real 9.0 must not get these
        flags.add({'gpuarray.cache_path': _kernels('gpuarray_kernels-{}{}'.format(*capability))})


def _kernels(name):
    """A folder for kernels, inside that of Theano's modules if its name is known: that is the user's own."""
    folder, own = compile_folder.base(), flags.value('compiledir_format', '')
    if flags.value('compiledir') is None and '%' not in own:
        folder = os.path.join(folder, own)
    return os.path.join(folder, name)


def cuda_version(driver):
    """The newest CUDA that the driver knows: (major, minor)."""
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    return version.value // 1000, version.value % 1000 // 10


def _capability(driver, card):
    """((major, minor), name)"""
    value, name, capability = ctypes.c_int(), ctypes.create_string_buffer(256), []
    for attribute in (MAJOR, MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, card)
        capability.append(value.value)
    driver.cuDeviceGetName(name, len(name), card)
    return tuple(capability), name.value.decode(errors='replace')


def _capabilities(compiler):
    """The compute capabilities that NVRTC compiles for, in ascending order."""
    count = ctypes.c_int()
    compiler.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    compiler.nvrtcGetSupportedArchs(found)
    return [divmod(each, 10) for each in sorted(found)]


@contextlib.contextmanager
def _context(driver, card):
    """The card's context, current inside the block. It is left for libgpuarray, which takes it over.

    Creating it again would take a second, and cuDNN would have to notice. A context with special flags, as
    gpuarray.sched requests, must be created by libgpuarray.
    """
    context = ctypes.c_void_p()
    driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), card)
    driver.cuCtxPushCurrent_v2(context)
    try:
        yield
    finally:
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
        if flags.value('gpuarray.sched', 'default') != 'default':
            driver.cuDevicePrimaryCtxRelease(card)


def _clip_cnmem(driver):
    """Limits lib.cnmem to the free memory.

    The context and a desktop may use part of the 95 % of a card that `lib.cnmem=1` stands for. The modern
    setting, gpuarray.preallocate, is left as the user gave it.
    """
    asked = flags.value('lib.cnmem')
    if asked is None or asked != flags.value('gpuarray.preallocate'):
        return
    try:
        asked = float(asked)
    except ValueError:
        return  # Theano says what is wrong with it
    available, total = ctypes.c_size_t(), ctypes.c_size_t()
    driver.cuMemGetInfo_v2(ctypes.byref(available), ctypes.byref(total))
    wanted = min(asked, 0.95) * total.value / MEGABYTE if asked <= 1 else asked  # as Theano counts
    most = available.value // MEGABYTE - ROOM
    if wanted > most > 1:
        flags.add({'gpuarray.preallocate': most})


def _cudnn():
    """Disables cuDNN, with a notice, if it does not start on this card."""
    if flags.value('dnn.enabled') is not None:
        return
    cudnn = _loaded.get('libcudnn.so')
    if not cudnn:
        if _package(FOLDER):
            _without_cudnn('its library cannot be loaded')
            flags.add({'dnn.enabled': 'False'})
        return
    handle = ctypes.c_void_p()
    status = cudnn.cudnnCreate(ctypes.byref(handle))
    if not status:
        cudnn.cudnnDestroy(handle)
    else:
        cudnn.cudnnGetErrorString.restype = ctypes.c_char_p
        _without_cudnn(cudnn.cudnnGetErrorString(status).decode())
        flags.add({'dnn.enabled': 'False'})


def _without_cudnn(reason):
    print(f'cuDNN cannot be used ({reason}): convolutions by cuBLAS, slower', file=sys.stderr)


def _driver_version():
    try:
        version = Path('/sys/module/nvidia/version').read_text(encoding='ascii').strip()
    except OSError:
        version = 'for CUDA {}.{}'.format(*cuda_version(ctypes.CDLL('libcuda.so.1')))
    return f'driver {version}'
