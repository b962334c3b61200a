"""device=cuda on the virtual card: what is said of a card, which graphs it gets, what its kernels compile to.

tests/test_virtual_card.py holds the numbers.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend import cuda
from tests.conftest import GOLDEN, ROOT
from tests.helpers.gpu_environment import OTHERS, packages, python, run, variables

CAPABILITIES = ['50', '61', '75', '86', '90', '100', '120', '121']
# compiled four times as fast, and never run
QUICK = 'gcc.cxxflags=-O0'
# of 13 + 13 + 1 convolutions of the generator the last 6 + 13 + 1 are trained; of the discriminator all 6,
# each of them once on the truth and once on a prediction
CONVOLUTIONS = {
    'predict': {'Conv': 27},
    'bce G': {'Conv': 27, 'ConvGradW': 20, 'ConvGradI': 19},
    'salgan G': {'Conv': 39, 'ConvGradW': 20, 'ConvGradI': 25},
    'salgan D': {'Conv': 39, 'ConvGradW': 12, 'ConvGradI': 10},
}
# of maxima in the networks, of means in the content loss, and of upscaling's gradients; no gradient goes to
# the frozen encoder's first three pools, nor, when D is trained, to anything of the generator's
POOLS = {
    'predict': {'Pool': 4},
    'bce G': {'Pool': 10, 'PoolGrad': 2},
    'salgan G': {'Pool': 16, 'PoolGrad': 5},
    'salgan D': {'Pool': 12, 'PoolGrad': 6},
}
WITHOUT_CUDNN = {
    'GpuCorrMM': 'Conv',
    'GpuCorrMM_gradWeights': 'ConvGradW',
    'GpuCorrMM_gradInputs': 'ConvGradI',
    'GpuPool': 'Pool',
    'GpuMaxPoolGrad': 'PoolGrad',
    'GpuAveragePoolGrad': 'PoolGrad',
}


@pytest.fixture(scope='session')
def card():
    return packages()


def started(card, flags='', **others):
    """(exit status, stdout, stderr) of `python -m backend`."""
    result = python('-m', 'backend', **variables(card, flags, **others))
    assert 'Traceback' not in result.stderr
    # that it waited for another process of the tests does not count
    lines = result.stderr.splitlines(keepends=True)
    errors = ''.join(line for line in lines if not line.startswith('another process is compiling'))
    return result.returncode, result.stdout, errors


# --- what is said of a card ---


def test_one_line_says_what_was_found(card):
    assert started(card) == (
        0,
        'device=cuda: Virtual card, compute capability 8.6, driver for CUDA 12.6, cuDNN 9.10.2, TF32 off\n',
        '',
    )
    status, line, _ = started(card, CARD_CAPABILITY='50', NVIDIA_TF32_OVERRIDE='1')
    assert status == 0 and 'compute capability 5.0' in line and line.endswith('TF32 on\n')


@pytest.mark.long
def test_every_card_from_maxwell_to_blackwell_is_named(card):
    for capability in CAPABILITIES:
        status, line, errors = started(card, CARD_CAPABILITY=capability)
        assert (status, errors) == (0, '')
        assert f'compute capability {int(capability) / 10}, ' in line


@pytest.mark.parametrize(
    ('environment', 'sentence'),
    [
        ({'LD_LIBRARY_PATH': ''}, 'device=cuda: no NVIDIA driver was found (libcuda.so.1: '),
        ({'CARD_INIT': '100'}, "device=cuda: NVIDIA's driver does not start (an error of the virtual card)"),
        (
            {'CARD_CUDA': '12010'},
            "device=cuda: NVIDIA's driver here is for CUDA 12.1, but CUDA 12.2 is installed",
        ),
        ({'CARD_CAPABILITY': '35'}, 'device=cuda: Virtual card has compute capability 3.5, and Theano'),
        (
            {'CARD_MEMORY': '50000000'},
            'device=cuda was asked for and cannot be used (Can not enable cuDNN as ',
        ),
    ],
)
def test_what_cannot_run_is_one_sentence_and_the_way_out(environment, sentence, card):
    status, output, errors = started(card, **environment)
    assert (status, output) == (2, '')
    assert errors.startswith(sentence) and errors.count('\n') == 1, errors
    assert errors.endswith(' or run on the CPU by leaving the device out of THEANO_FLAGS\n')


def test_a_card_that_is_not_there(card):
    status, _, errors = started(card, 'device=cuda1')
    assert status == 2 and errors.startswith('device=cuda1: number of cards found: 1, counted from cuda0: ')


def test_03_ends_in_the_sentence(card, seeded_weights, tmp_path):
    command = ('03-predict.py', GOLDEN / 'network' / 'predict_exact.png', '--weights', seeded_weights)
    result = python(*command, '--output', tmp_path, **variables(card, CARD_CAPABILITY='35'))
    assert result.returncode == 2
    assert result.stderr.count('\n') == 1 and 'use another card, or run on the CPU' in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_cudnn_it_goes_on_and_says_so(card):
    status, line, errors = started(card, CARD_CUDNN='4')
    assert status == 0 and 'no cuDNN' in line
    assert errors == 'cuDNN cannot be used (an error of the virtual card): convolutions by cuBLAS, slower\n'
    status, line, errors = started(card, 'dnn.enabled=False')
    assert (status, errors) == (0, '') and 'no cuDNN' in line


def test_cnmem_is_kept_in_the_pool_of_today(card):
    code = (
        'from backend import theano; from theano.gpuarray.type import get_context;'
        'context = get_context(None); print(context.free_gmem / context.total_gmem)'
    )
    result = python('-c', code, **variables(card, 'lib.cnmem=0.5', CARD_MEMORY=str(10**9)))
    assert result.returncode == 0, result.stderr
    assert 0.45 < float(result.stdout) < 0.51
    # a desktop has 400 MB: 600 are free, of which 300 MB are left for cuBLAS and cuDNN
    taken = {'CARD_MEMORY': str(1000 * 2**20), 'CARD_TAKEN': str(400 * 2**20)}
    result = python('-c', code, **variables(card, 'lib.cnmem=1', **taken))
    assert result.returncode == 0, result.stderr
    assert 0.28 < float(result.stdout) < 0.31
    status, _, errors = started(card, 'gpuarray.preallocate=1', **taken)
    assert status == 2 and 'Trying to preallocate' in errors


def test_where_debian_s_packages_cannot_be_had_it_says_so(tmp_path):
    if sys.version_info[:2] != (3, 11):
        pytest.skip('pygpu is there for Python 3.11 only')
    result = python('requirements/gpu.py', '--target', tmp_path, PATH='/nowhere')
    assert result.returncode == 2 and result.stderr.count('\n') == 1
    assert result.stderr.startswith(
        'Debian 12 has python3-pygpu, libgpuarray3, libgpuarray-dev, and they cannot'
    )
    assert list(tmp_path.iterdir()) == []


# --- newer cards ---

ASK = """
import ctypes, os, sys
for name in sys.argv[1:]:
    driver = ctypes.CDLL(name)
    heard = []
    for attribute in (75, 76, 10):
        value = ctypes.c_int()
        assert driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0) == 0
        heard.append(value.value)
    print(*heard)
"""


def test_libgpuarray_hears_9_0_of_newer_cards_and_nobody_else_does(card):
    libraries = [card / 'salgan_gpu' / 'lib' / 'libcuda.so', 'libcuda.so.1']
    for capability, heard in (('86', '8 6 32'), ('90', '9 0 32'), ('100', '9 0 32'), ('121', '9 0 32')):
        result = python('-c', ASK, *libraries, **variables(card, CARD_CAPABILITY=capability))
        major, minor = divmod(int(capability), 10)
        assert result.stdout.splitlines() == [heard, f'{major} {minor} 32'], result.stderr
    result = python('-c', ASK, libraries[0], **variables(card, LD_LIBRARY_PATH=''))
    assert result.returncode == 1  # no driver, and no crash


PREPARE = """
import os, sys, types
package = types.ModuleType('backend')  # without Theano, which backend/__init__.py imports
package.__path__ = ['backend']
sys.modules['backend'] = package
from backend import compile_folder, cuda, flags
compile_folder.prepare()
given = os.environ['THEANO_FLAGS']
for capability in sys.argv[1:]:
    os.environ.update(CARD_CAPABILITY=capability, THEANO_FLAGS=given)
    cuda.prepare()
    print(flags.value('gpuarray.cache_path'))
"""


def test_kernels_of_newer_cards_are_kept_apart(card, tmp_path):
    """libgpuarray would offer one that was compiled for 12.0 to a 9.0, since both are called 9.0."""
    base = f'base_compiledir={tmp_path}'
    result = python('-c', PREPARE, *CAPABILITIES, **variables(card, base))
    assert result.returncode == 0, result.stderr
    folders = result.stdout.splitlines()
    assert folders[:5] == ['None'] * 5
    for folder, capability in zip(folders[5:], CAPABILITIES[5:]):
        # in the folder in `base_compiledir` that is this user's
        assert re.fullmatch(rf'{tmp_path}/compiledir_own-\S+/gpuarray_kernels-{capability}', folder), folder
    result = python('-c', PREPARE, '120', **variables(card, f'{base},gpuarray.cache_path=mine'))
    assert result.stdout == 'mine\n', result.stderr


def test_the_context_is_made_once(card):
    """Or, with flags of its own, by libgpuarray."""
    _, _, errors = started(card, CARD_LOG='1')
    assert 'the context ends' not in errors
    status, _, errors = started(card, 'gpuarray.sched=multi', CARD_LOG='1')
    assert (status, errors) == (0, 'the context ends\n')


# --- include/cudnn.h: what it puts back, bounds and forbids ---

HEADER = r"""
#include <cudnn.h>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
extern "C" int (gpucontext_property)(gpucontext *, int property, void *value) {
  *(size_t *)value = property == GA_CTX_PROP_LARGEST_MEMBLOCK ? (size_t)20 << 30 : 7;
  return 0;
}
static void print_math(cudnnConvolutionDescriptor_t convolution) {
  cudnnMathType_t math;
  cudnnGetConvolutionMathType(convolution, &math);
  std::printf("%s ", math == CUDNN_FMA_MATH ? "fma" : math == CUDNN_DEFAULT_MATH ? "default" : "other");
}
int main() {
  cudnnConvolutionFwdAlgo_t forward;
  cudnnConvolutionBwdFilterAlgo_t filter;
  cudnnConvolutionBwdDataAlgo_t data;
  for (size_t limit : {(size_t)1 << 62, (size_t)2000, (size_t)10}) {
    int a = cudnnGetConvolutionForwardAlgorithm(nullptr, nullptr, nullptr, nullptr, nullptr,
        CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT, limit, &forward);
    int b = cudnnGetConvolutionBackwardFilterAlgorithm(nullptr, nullptr, nullptr, nullptr, nullptr,
        CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT, limit, &filter);
    int c = cudnnGetConvolutionBackwardDataAlgorithm(nullptr, nullptr, nullptr, nullptr, nullptr,
        CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT, limit, &data);
    if (a == CUDNN_STATUS_SUCCESS && b == a && c == a)
      std::printf("%d %d %d\n", (int)forward, (int)filter, (int)data);
    else if (a == CUDNN_STATUS_NOT_SUPPORTED && b == a && c == a)
      std::printf("none\n");
  }
  for (int property : {GA_CTX_PROP_LARGEST_MEMBLOCK, GA_CTX_PROP_NUMPROCS}) {
    size_t value = 0;
    gpucontext_property(nullptr, property, &value);
    std::printf("%zu\n", value);
  }
  const int one[] = {1, 1};
  cudnnConvolutionDescriptor_t convolution;
  cudnnCreateConvolutionDescriptor(&convolution);
  for (const char *tf32 : {"0", "", "1"}) {
    setenv("NVIDIA_TF32_OVERRIDE", tf32, 1);
    cudnnSetConvolutionNdDescriptor(convolution, 2, one, one, one, CUDNN_CONVOLUTION, CUDNN_DATA_FLOAT);
    print_math(convolution);
    cudnnSetConvolutionMathType(convolution, CUDNN_DEFAULT_MATH);
    print_math(convolution);
    cudnnSetConvolutionMathType(convolution, CUDNN_TENSOR_OP_MATH);
    print_math(convolution);
    cudnnSetConvolutionNdDescriptor(convolution, 2, one, one, one, CUDNN_CONVOLUTION, CUDNN_DATA_DOUBLE);
    print_math(convolution);
  }
}
"""


@pytest.mark.parametrize(
    'which', ['pinned', *(pytest.param(other, marks=pytest.mark.nightly) for other in OTHERS)]
)
def test_cudnn_s_header(which, tmp_path):
    folder = packages(which)
    (tmp_path / 'header.cpp').write_text(HEADER)
    includes = [ROOT / 'backend' / 'include', folder / 'salgan_gpu' / 'include']
    includes += sorted(folder.glob('nvidia/*/include'))
    library = next(folder.glob('nvidia/cudnn/lib/libcudnn.so.?'))
    flags = [*(f'-I{path}' for path in includes), f'-Wl,-rpath,{library.parent}']
    run('g++', *flags, tmp_path / 'header.cpp', library, '-o', tmp_path / 'a')
    *chosen, workspace, other, math = run(tmp_path / 'a').stdout.splitlines()
    # offered are 7, forward only and never chosen, 5, which needs 2^60 bytes, 4, which fails, and 3, which
    # needs 1000 bytes
    assert chosen == ['5 5 5', '3 3 3', 'none']
    assert (int(workspace), int(other)) == (2**30, 7)
    # TF32 is forbidden whatever the environment says, but for the user's own word
    forbidden, allowed = ['fma', 'fma', 'other', 'default'], ['default', 'default', 'other', 'default']
    assert math.split() == [*forbidden, *forbidden, *allowed]


def test_modules_are_compiled_anew_for_another_header(card):
    """Theano's keys hold the compiler's flags, and these a digest of the header."""
    digest = hashlib.sha256((cuda.HEADERS / 'cudnn.h').read_bytes()).hexdigest()[:8]
    code = 'from backend import theano; print(theano.config.gcc.cxxflags)'
    result = python('-c', code, **variables(card, QUICK))
    assert result.stdout.split()[-1] == f'-DSALGAN_CUDNN=0x{digest}', result.stderr


# --- the graphs ---


def graphs(card, flags, capability, *modes, **others):
    environment = variables(card, flags, CARD_CAPABILITY=capability, **others)
    result = python('tests/helpers/gpu_graph.py', *modes, **environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def check(found, names):
    """Convolutions, pools and their gradients are `names` on the card, and nothing but shapes on the host."""
    for function, graph in found.items():
        counted: dict = {}
        for op, count in graph['card'].items():
            if op in names:
                counted[names[op]] = counted.get(names[op], 0) + count
            else:
                assert not re.search('Conv(?!Desc)|Corr|Pool', op), op
        assert counted == {**CONVOLUTIONS[function], **POOLS[function]}, function
        # left on the host: the sizes of batches, maps and filters, computed before anything is allocated
        for what in graph['host']:
            assert re.search(r': (int64 [01]d|bool 0d)$', what), what


def with_cudnn():
    kinds = {kind for of in (*CONVOLUTIONS.values(), *POOLS.values()) for kind in of}
    return {f'GpuDnn{kind}': kind for kind in kinds}


@pytest.mark.long
def test_every_function_is_cudnns_and_every_kernel_assembles(card, tmp_path):
    """Kernels are NVIDIA's NVRTC's for 9.0, and ptxas stands for the driver that translates them."""
    found = graphs(card, QUICK, '120', 'bce', 'salgan', CARD_PTX=os.fspath(tmp_path))
    check(found, with_cudnn())
    assert algorithms(found) == {'GpuDnnConv tried', 'GpuDnnConvGradI tried', 'GpuDnnConvGradW tried'}
    kernels = sorted(tmp_path.glob('*.ptx'))
    assert len(kernels) > 300
    assemble(card, kernels, 'sm_100', 'sm_120')


def assemble(card, kernels, *architectures):
    assembler = card / 'nvidia' / 'cuda_nvcc' / 'bin' / 'ptxas'
    assembler.chmod(0o755)  # pip keeps no permissions
    texts = [path.read_text() for path in kernels]
    assert {target for text in texts for target in re.findall(r'\.target (\S+)', text)} == {'sm_90'}
    jobs = [(path, f'--gpu-name={name}') for path in kernels for name in architectures]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: run(assembler, job[1], job[0], '--output-file', os.devnull), jobs))


@pytest.mark.nightly
@pytest.mark.parametrize('which', OTHERS)
def test_other_libraries(which):
    check(graphs(packages(which), '', '120', 'bce', 'salgan', CARD_CUDA='13000'), with_cudnn())


@pytest.mark.nightly
@pytest.mark.parametrize('capability', CAPABILITIES)
def test_every_function_at_every_capability(capability, card):
    check(graphs(card, '', capability, 'bce', 'salgan'), with_cudnn())


@pytest.mark.nightly
@pytest.mark.parametrize('capability', ['75', '90'])
def test_every_function_without_cudnn(capability, card):
    check(graphs(card, 'dnn.enabled=False', capability, 'bce', 'salgan'), WITHOUT_CUDNN)


@pytest.mark.nightly
def test_deterministic_algorithms(card):
    found = graphs(card, 'deterministic=more', '86', 'bce', 'salgan')
    assert algorithms(found) == {
        'GpuDnnConv small',
        'GpuDnnConvGradW deterministic',
        'GpuDnnConvGradI deterministic',
    }


def algorithms(found):
    named = {algorithm for graph in found.values() for algorithm in graph['algorithms']}
    return {algorithm.replace(cuda.TRIED, 'tried') for algorithm in named}


# --- memory ---


def test_too_large_a_batch_ends_with_the_one_that_fits(card, seeded_weights, tmp_path):
    image = GOLDEN / 'network' / 'predict_small.png'
    for name in 'abcdefgh':
        shutil.copy(image, tmp_path / f'{name}.png')
    command = ['03-predict.py', tmp_path, '--weights', seeded_weights, '--output', tmp_path / 'maps']
    environment = variables(card, QUICK, computes=True, CARD_MEMORY=str(151 * 2**20))
    result = python(*command, '--size', '64x48', '--batch-size', '8', **environment)
    assert result.returncode == 3, result.stderr
    assert 'kept; a batch of 8 is too large, one of 4 fits: --batch-size 4\n' in result.stderr


# --- the benchmark ---


def test_the_benchmark_needs_a_card(card):
    result = python('benchmarks/gpu.py', **variables(card, LD_LIBRARY_PATH=''))
    assert (result.returncode, result.stdout) == (2, '')
    assert result.stderr.startswith('device=cuda: no NVIDIA driver') and result.stderr.count('\n') == 1


@pytest.mark.long
def test_the_benchmark_prints_its_table_and_writes_it_for_an_issue(card, tmp_path):
    """The speed means nothing here."""
    options = ['--only', 'speed', '--torch', 'none', '--size', '32x32', '--runs', '1', '--batches', '2']
    options += ['--updates', '--find', '1', '--issue', tmp_path / 'issue.md']
    result = python('benchmarks/gpu.py', *options, **variables(card, QUICK, computes=True))
    assert result.returncode == 0, result.stderr
    rows = re.findall(r'^predict 2: (ours[a-zA-Z0-9, ]*) +[\d.]+ +[\d.]+ +(\d+)$', result.stdout, re.M)
    assert [name.strip() for name, _ in rows] == ['ours', 'ours, as in 2017', 'ours, cuDNN tries']
    assert all(int(megabytes) > 127 for _, megabytes in rows)  # the weights alone
    algorithms = re.findall(r'^  algorithm (\d): .* error (\S+)$', result.stdout, re.M)
    # the virtual card's algorithm 7 is wrong
    assert len(algorithms) > 50 and all((float(error) < 1e-5) == (n != '7') for n, error in algorithms)
    issue = (tmp_path / 'issue.md').read_text()
    assert issue.startswith('`benchmarks/gpu.py --only speed') and f'```\n{result.stdout}```\n' in issue
