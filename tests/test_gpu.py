"""device=cuda without a card: everything but the arithmetic, on stubs of the driver, cuBLAS and cuDNN."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import GOLDEN, ROOT
from tests.helpers.gpu_environment import packages, run, variables

CAPABILITIES = ['75', '86', '90']
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
# of maxima in the networks, and of means in the content loss; no gradient goes to the frozen encoder's first
# three pools, nor, when D is trained, to anything of the generator's
POOLS = {
    'predict': {'Pool': 4},
    'bce G': {'Pool': 6, 'PoolGrad': 2},
    'salgan G': {'Pool': 12, 'PoolGrad': 5},
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


def python(*arguments, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, *map(os.fspath, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=850,
        env=environment,
    )


def started(card, flags='', **others):
    """(exit status, stdout, stderr) of `python -m backend`."""
    result = python('-m', 'backend', **variables(card, flags, **others))
    assert 'Traceback' not in result.stderr
    return result.returncode, result.stdout, result.stderr


# --- what is said of a card ---


def test_one_line_says_what_was_found(card):
    assert started(card) == (
        0,
        'device=cuda: Stub, compute capability 8.6, driver for CUDA 12.6, cuDNN 8.9.7, TF32 off\n',
        '',
    )
    status, line, _ = started(card, STUB_CAPABILITY='50', NVIDIA_TF32_OVERRIDE='1')
    assert status == 0 and 'compute capability 5.0' in line and line.endswith('TF32 on\n')


@pytest.mark.parametrize(
    ('environment', 'sentence'),
    [
        ({'LD_LIBRARY_PATH': ''}, 'device=cuda: there is no driver of NVIDIA here (libcuda.so.1: '),
        ({'STUB_INIT': '100'}, "device=cuda: NVIDIA's driver does not start (an error of the stub)"),
        ({'STUB_CUDA': '12020'}, "device=cuda: NVIDIA's driver here is for CUDA 12.2, and CUDA 12.6 is what"),
        ({'STUB_CAPABILITY': '35'}, 'device=cuda: Stub has compute capability 3.5, and Theano'),
        ({'STUB_CAPABILITY': '100'}, 'device=cuda: Stub has compute capability 10.0, and Theano'),
        ({'STUB_CAPABILITY': '120'}, 'device=cuda: Stub has compute capability 12.0, and Theano'),
        (
            {'STUB_MEMORY': '50000000'},
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
    assert status == 2 and errors.startswith('device=cuda1: 1 cards are here, and they count from cuda0 on')


def test_03_ends_in_the_sentence(card, seeded_weights, tmp_path):
    command = ('03-predict.py', GOLDEN / 'network' / 'predict_exact.png', '--weights', seeded_weights)
    result = python(*command, '--output', tmp_path, **variables(card, STUB_CAPABILITY='100'))
    assert result.returncode == 2
    assert result.stderr.count('\n') == 1 and 'use another card, or run on the CPU' in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_cudnn_it_goes_on_and_says_so(card):
    status, line, errors = started(card, STUB_CUDNN='4')
    assert status == 0 and 'no cuDNN' in line
    assert errors == 'cuDNN cannot be used (an error of the stub): convolutions by cuBLAS, slower\n'
    status, line, errors = started(card, 'dnn.enabled=False')
    assert (status, errors) == (0, '') and 'no cuDNN' in line


def test_cnmem_is_kept_in_the_pool_of_today(card):
    code = (
        'from backend import theano; from theano.gpuarray.type import get_context;'
        'context = get_context(None); print(context.free_gmem / context.total_gmem)'
    )
    result = python('-c', code, **variables(card, 'lib.cnmem=0.75', STUB_MEMORY=str(10**9)))
    assert result.returncode == 0, result.stderr
    assert 0.2 < float(result.stdout) < 0.26


def test_where_debian_s_packages_cannot_be_had_it_says_so(tmp_path):
    if sys.version_info[:2] != (3, 11):
        pytest.skip('pygpu is there for Python 3.11 only')
    result = python('requirements/gpu.py', '--target', tmp_path, PATH='/nowhere')
    assert result.returncode == 2 and result.stderr.count('\n') == 1
    assert result.stderr.startswith(
        'Debian 12 has python3-pygpu, libgpuarray3, libgpuarray-dev, and they cannot'
    )
    assert list(tmp_path.iterdir()) == []


# --- cuDNN's calls that are put back ---

CHOICES = r"""
#include <cudnn.h>
#include <cstdio>
#include <initializer_list>
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
}
"""


@pytest.mark.parametrize('cudnn', [8, pytest.param(9, marks=pytest.mark.long)])
def test_the_calls_that_cudnn_8_took_away_choose_within_the_limit(cudnn, tmp_path):
    folder = packages(cudnn)
    (tmp_path / 'choices.cpp').write_text(CHOICES)
    includes = [f'-I{path}' for path in (ROOT / 'backend' / 'include', *folder.glob('nvidia/*/include'))]
    library = next(folder.glob('nvidia/cudnn/lib/libcudnn.so.*'))
    run(
        'g++',
        *includes,
        tmp_path / 'choices.cpp',
        library,
        f'-Wl,-rpath,{library.parent}',
        '-o',
        tmp_path / 'a',
    )
    # the stub offers 5, which needs 2^60 bytes, then 4, which fails, then 3, which needs 1000 bytes
    assert run(tmp_path / 'a').stdout == '5 5 5\n3 3 3\nnone\n'


# --- the graphs ---


def graphs(card, flags, capability, *modes):
    environment = variables(card, flags, STUB_CAPABILITY=capability)
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


def test_prediction_and_bce_are_cudnns(card):
    check(graphs(card, QUICK, '86', 'bce'), with_cudnn())


@pytest.mark.long
@pytest.mark.parametrize('cudnn', [8, 9])
@pytest.mark.parametrize('capability', CAPABILITIES)
def test_every_function_is_cudnns(cudnn, capability):
    check(graphs(packages(cudnn), '', capability, 'bce', 'salgan'), with_cudnn())


@pytest.mark.long
@pytest.mark.parametrize('capability', CAPABILITIES)
def test_every_function_without_cudnn(capability, card):
    check(graphs(card, 'dnn.enabled=False', capability, 'bce', 'salgan'), WITHOUT_CUDNN)


@pytest.mark.long
def test_deterministic_algorithms(card):
    found = graphs(card, 'deterministic=more', '86', 'bce', 'salgan')
    assert {algorithm for graph in found.values() for algorithm in graph['algorithms']} == {
        'GpuDnnConv small',
        'GpuDnnConvGradW deterministic',
        'GpuDnnConvGradI deterministic',
    }


# --- memory ---


def test_too_large_a_batch_ends_with_the_one_that_fits(card, seeded_weights, tmp_path):
    """The maps of a card that computes nothing are nothing; what is held to is how much it has to hold."""
    images = [GOLDEN / 'network' / name for name in ('predict_exact.png', 'predict_small.png')]
    command = ['03-predict.py', *images, '--weights', seeded_weights, '--output', tmp_path / 'maps']
    environment = variables(card, QUICK, STUB_MEMORY=str(190 * 2**20))
    result = python(*command, '--batch-size', '2', **environment)
    assert result.returncode == 3, result.stderr
    assert 'kept; a batch of 2 is too large, one of 1 fits: --batch-size 1\n' in result.stderr


# --- the benchmark ---


def test_the_benchmark_needs_a_card(card):
    result = python('benchmarks/gpu.py', **variables(card, LD_LIBRARY_PATH=''))
    assert (result.returncode, result.stdout) == (2, '')
    assert result.stderr.startswith('device=cuda: there is no driver') and result.stderr.count('\n') == 1


def test_the_benchmark_prints_its_table(card):
    """Of a card that computes nothing, so that only the memory means something."""
    options = ['--only', 'speed', '--torch', 'none', '--size', '64x48', '--runs', '1']
    options += ['--batches', '2', '--updates']
    result = python('benchmarks/gpu.py', *options, **variables(card, QUICK))
    assert result.returncode == 0, result.stderr
    rows = re.findall(r'^predict 2: (ours|ours, cuDNN chooses) +[\d.]+ +[\d.]+ +(\d+)$', result.stdout, re.M)
    assert [name for name, _ in rows] == ['ours', 'ours, cuDNN chooses']
    assert all(int(megabytes) > 127 for _, megabytes in rows)  # the weights alone
