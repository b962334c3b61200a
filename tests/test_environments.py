"""Settings that users have, or were once advised to try: a right map, or one sentence."""

import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from backend import flags
from tests.conftest import ROOT, script
from tests.test_backend import ended, quiet, refused, start

SCRIPTS = sorted(path.name for path in ROOT.glob('0?-*.py'))

# Theano's options, those first that its documentation and its issue threads recommend; three values of each
OPTIONS = {
    'optimizer': ['None', 'fast_compile', 'o1'],
    'mode': ['FAST_COMPILE', 'DebugMode', 'NanGuardMode'],
    'linker': ['py', 'c|py_nogc', 'vm'],
    'exception_verbosity': ['high', 'low', 'loud'],
    'compute_test_value': ['raise', 'warn', 'ignore'],
    'optimizer_excluding': ['conv_gemm', 'conv_dnn:inplace', 'fusion'],
    'optimizer_including': ['cudnn', 'local_remove_all_assert', 'conv_meta'],
    'floatX': ['float16', 'float64', 'float32'],
    'cxx': ['', '/usr/bin/g++', '/no/g++'],
    'gcc.cxxflags': ['-O0', '-march=native -fpermissive', '-fno-such-flag'],
    'blas.ldflags': ['', '-lblas', '-lmkl_rt'],
    'blas.check_openmp': ['False', 'True', 'maybe'],
    'openmp': ['True', 'False', '4'],
    'openmp_elemwise_minsize': ['0', '200000', '-1'],
    'cast_policy': ['numpy+floatX', 'custom', 'numpy'],
    'allow_gc': ['False', 'True', 'no'],
    'warn_float64': ['warn', 'raise', 'pdb'],
    'on_opt_error': ['raise', 'ignore', 'warn'],
    'on_unused_input': ['ignore', 'raise', 'warn'],
    'profile': ['True', 'False', '1'],
    'device': ['gpu', 'cuda0', 'opencl0:0'],
    'force_device': ['True', 'False', '1'],
    'deterministic': ['more', 'default', 'most'],
    'numpy.seterr_all': ['raise', 'warn', 'ignore'],
    'cmodule.mac_framework_link': ['True', 'False', '0'],
    'cmodule.remove_gxx_opt': ['True', 'False', '1'],
    'cmodule.preload_cache': ['True', 'False', '1'],
    'cycle_detection': ['fast', 'regular', 'slow'],
    'check_input': ['False', 'True', '0'],
    'compile.timeout': ['0', '1000', '-1'],
    'conv.assert_shape': ['True', 'False', '1'],
    'experimental.local_alloc_elemwise': ['True', 'False', '1'],
    'lib.amdlibm': ['True', 'False', '1'],
    'lib.cnmem': ['0.8', '1', '0'],
    'warn.ignore_bug_before': ['all', '0.7', 'None'],
    'reoptimize_unpickled_function': ['True', 'False', '1'],
    'traceback.limit': ['0', '20', '-1'],
    'nocleanup': ['True', 'False', '1'],
    'pickle_test_value': ['False', 'True', '0'],
    'int_division': ['raise', 'floatX', 'int'],
    'assert_no_cpu_op': ['raise', 'warn', 'ignore'],
    'no_such_option': ['1', '', 'True'],
}


@pytest.mark.parametrize(
    'which',
    [
        pytest.param(slice(0, 1), marks=pytest.mark.long),
        pytest.param(slice(1, 3), marks=pytest.mark.nightly),
    ],
    ids=['the first of three values', 'the others'],
)
@pytest.mark.timeout(7200)
def test_any_setting_of_theanos_gives_a_right_map_or_a_sentence(which, seeded_weights, tmp_path):
    image = ROOT / 'tests' / 'golden' / 'network' / 'predict_exact.png'
    maps = tmp_path / 'predict_exact.npy'
    options = [image, '--weights', seeded_weights, '--size', '64x48', '--format', 'npy', '--output', tmp_path]
    script('03-predict.py', *options, THEANO_FLAGS='').check_returncode()
    expected = np.load(maps)
    wrong = []
    for setting in (f'{option}={value}' for option, values in OPTIONS.items() for value in values[which]):
        maps.unlink(missing_ok=True)
        result = script('03-predict.py', *options, THEANO_FLAGS=f'"{setting}"')
        if result.returncode == 0:
            good = np.abs(np.load(maps) - expected).max() < 2e-5
        else:
            good = result.returncode == 2 and not maps.exists() and result.stderr.count('\n') <= 3
        if not good or 'Traceback' in result.stderr:
            wrong.append(f'{setting}: {result.returncode} {result.stderr}')
    assert not wrong, '\n'.join(wrong)


def test_scripts_start_without_their_folder_on_the_path(tmp_path):
    for name in SCRIPTS:
        for options, environment in ((['-I'], {}), (['-E'], {}), ([], {'PYTHONSAFEPATH': '1'})):
            result = subprocess.run(
                [sys.executable, *options, ROOT / name, '--help'],
                cwd=tmp_path,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0 and result.stdout.startswith(f'usage: {name}'), result.stderr


@pytest.mark.parametrize(
    'code', ['raise ImportError("numpy is for Python 3.6\\nPLEASE READ")', 'print "hello"', 'array = None']
)
def test_another_python_s_numpy_on_pythonpath(code, tmp_path):
    (tmp_path / 'numpy').mkdir()
    (tmp_path / 'numpy' / '__init__.py').write_text(code)
    (tmp_path / 'a.png').touch()
    path = {'PYTHONPATH': str(tmp_path)}
    for name, options in (
        ('03-predict.py', [tmp_path]),
        ('04-evaluate.py', ['--maps', tmp_path, '--fixations', tmp_path]),
    ):
        result = script(name, *options, cwd=tmp_path, **path)
        assert result.returncode == 2, result.stderr
        assert result.stderr.count('\n') == 1, result.stderr
        assert f'PYTHONPATH={tmp_path} may bring packages of another Python' in result.stderr
    assert f'PYTHONPATH={tmp_path} may bring packages' in refused(**path)


def test_a_compiler_by_conda_s_name(tmp_path):
    """$CXX names it; g++ is not on the PATH, and Theano has no warning."""
    tools = tmp_path / 'bin'
    tools.mkdir()
    for name, target in (('as', 'as'), ('ld', 'ld'), ('x86_64-conda-linux-gnu-c++', 'g++')):
        found = shutil.which(target)
        assert found
        (tools / name).symlink_to(found)
    flags = f'base_compiledir={tmp_path / "cache"}'
    compiler = {'CXX': 'x86_64-conda-linux-gnu-c++ -O2', 'PATH': str(tools)}
    status, output, errors = ended(start(THEANO_FLAGS=flags, **compiler))
    assert (status, output) == (0, '2.0 cpu float32\n'), errors
    assert quiet(errors), errors


def test_which_compiler_is_taken(monkeypatch, tmp_path):
    for name in ('g++', 'clang++-17', 'conda-linux-gnu-c++', 'other-c++', 'other-g++'):
        (tmp_path / name).write_text('')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    for given, expected in (
        ('', 'g++'),
        ('clang++-17', 'clang++-17'),
        ('ccache clang++-17 -O2', 'clang++-17'),
        (f'{tmp_path}/conda-linux-gnu-c++', f'{tmp_path}/conda-linux-gnu-c++'),
        ('other-c++', 'other-g++'),
        ('/no/such/g++', 'g++'),
        ('"g++', 'g++'),
    ):
        monkeypatch.setenv('CXX', given)
        assert flags._compiler() == expected, given


@pytest.mark.parametrize('name', ['02-train.py', '03-predict.py', '04-evaluate.py'])
def test_another_system_is_told_where_it_runs(name, seeded_weights, tmp_path):
    """As on macOS and Windows: no fcntl, no sched_getaffinity, another sys.platform."""
    (tmp_path / 'sitecustomize.py').write_text(
        'import os, sys\nsys.platform = "darwin"\nsys.modules["fcntl"] = None\ndel os.sched_getaffinity\n'
    )
    image = ROOT / 'tests' / 'golden' / 'network' / 'predict_small.png'
    options = {
        '02-train.py': ['bce', '--train', image, '--output', tmp_path / 'snapshots'],
        '03-predict.py': [image, '--weights', seeded_weights, '--output', tmp_path / 'maps'],
        '04-evaluate.py': ['--maps', tmp_path, '--fixations', tmp_path],
    }[name]
    result = script(name, *options, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 2 and result.stderr.count('\n') == 1, result.stderr
    if name != '04-evaluate.py':  # which needs nothing of Linux
        assert re.search('Linux.*darwin.*Docker.*virtual machine.*WSL 2', result.stderr), result.stderr


def test_without_pot_emd_is_left_out_and_said(tmp_path):
    """As on Python 3.15, for which there is no package of it yet."""
    (tmp_path / 'sitecustomize.py').write_text('import sys\nsys.modules["ot"] = None\n')
    record = ROOT / 'tests' / 'golden' / 'network' / 'predict_small.png'
    maps, fixations = tmp_path / 'maps', tmp_path / 'fixations'
    for folder in (maps, fixations):
        folder.mkdir()
    shutil.copy(record, maps / 'a.png')
    points = np.zeros(cv2.imread(str(record), 0).shape, np.uint8)
    points[10:40:10, 10:40:10] = 255
    cv2.imwrite(str(fixations / 'a.png'), points)
    cv2.imwrite(str(maps / 'a.png'), cv2.imread(str(record), 0))
    options = ['--maps', maps, '--fixations', fixations]
    result = script('04-evaluate.py', *options, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert 'NSS' in result.stdout and 'EMD' not in result.stdout
    assert 'EMD needs the package POT' in result.stderr
    result = script('04-evaluate.py', *options, '--metrics', 'NSS,EMD', PYTHONPATH=str(tmp_path))
    assert result.returncode == 2 and result.stderr.startswith('04-evaluate.py: EMD needs the package POT')


def test_what_cannot_be_had_is_replaced_with_a_notice(monkeypatch, capsys):
    for setting, expected in (
        ('optimizer=None', 'fast_run'),
        ('optimizer=fast_compile', 'fast_run'),
        ('mode=FAST_COMPILE', 'FAST_RUN'),
        ('compute_test_value=raise', 'off'),
    ):
        monkeypatch.setenv('THEANO_FLAGS', setting)
        monkeypatch.setattr(flags, 'GIVEN', {})
        flags.translate()
        name = setting.partition('=')[0]
        assert flags.value(name) == expected
        said = capsys.readouterr().err
        assert said.startswith(f'{setting} is not for these networks') and said.count('\n') == 1


def test_a_program_may_handle_what_cannot_run():
    code = 'try:\n    import backend\nexcept Exception as error:\n    print(type(error).__name__)\n'
    status, output, errors = ended(start(code, THEANO_FLAGS='floatX=float16'))
    assert (status, output, errors) == (0, 'CannotRun\n', '')
    assert refused(THEANO_FLAGS='floatX=float16').startswith('floatX=float16: the networks are computed in')
