"""Theano and Lasagne as they run today, and the sentences where they cannot."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import namedtuple

import numpy as np
import pytest

from backend import CannotRun, checks, compile_folder, flags, theano
from tests.conftest import GOLDEN, ROOT, run_python, script

SMALL_FUNCTION = """
from backend import lasagne, theano
x = theano.tensor.matrix('x')
f = theano.function([x], theano.tensor.exp(x).sum(axis=0) * 2)
print(f([[0, 1]]).tolist()[0], theano.config.device, theano.config.floatX)
"""


def start(code=SMALL_FUNCTION, folder=ROOT, **environment):
    return subprocess.Popen(
        [sys.executable, '-W', 'error::DeprecationWarning', '-W', 'error::FutureWarning', '-c', code],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def ended(process):
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def refused(**environment):
    """The sentence with which the import ends; the exit status is 2 and nothing else is said."""
    status, output, errors = ended(start(**environment))
    assert status == 2, errors
    assert output == '' and errors.count('\n') == 1, errors
    return errors


def quiet(errors):
    """Whether nothing is said but what may be: that it compiles, and that another process does."""
    notices = 'compiling the networks for this machine: once|another process is compiling the networks'
    return not re.sub(rf'({notices}).*\n', '', errors)


# --- what runs ---


def test_no_warning_and_no_word():
    status, output, errors = ended(start())
    assert status == 0, errors
    assert output == '2.0 cpu float32\n'
    assert quiet(errors), errors


def test_two_processes_on_a_cold_cache_and_a_third_that_compiles_nothing(tmp_path):
    """From a checkout whose name has a space, which Theano's own handling of flags does not bear."""
    shutil.copytree(ROOT / 'backend', tmp_path / 'a checkout' / 'backend')
    settings = {'THEANO_FLAGS': f'base_compiledir={tmp_path / "cache"}'}
    folder = tmp_path / 'a checkout'
    for status, output, errors in map(ended, [start(folder=folder, **settings) for _ in range(2)]):
        assert status == 0, errors
        assert output == '2.0 cpu float32\n'
        assert quiet(errors), errors
    compiled = sorted(tmp_path.glob('cache/*/*/*.so'))
    assert compiled
    status, output, errors = ended(start(folder=folder, **settings))
    assert (status, output, errors) == (0, '2.0 cpu float32\n', '')
    assert sorted(tmp_path.glob('cache/*/*/*.so')) == compiled


def test_float64(seeded_weights, tmp_path):
    image = GOLDEN / 'network' / 'predict_exact.png'
    result = script(
        *('03-predict.py', image, '--weights', seeded_weights, '--output', tmp_path, '--format', 'npy'),
        THEANO_FLAGS='floatX=float64',
    )
    assert result.returncode == 0, result.stderr
    ours = np.load(tmp_path / 'predict_exact.npy')
    record = np.load(GOLDEN / 'network' / 'predict_full.npz')['exact_map']
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, record, rtol=0, atol=1e-5)


SCRIPTS = sorted(path.name for path in ROOT.glob('0?-*.py')) + ['weights/fetch.py']
HEAVY = {
    'numpy',
    'cv2',
    'scipy',
    'theano',
    'lasagne',
    'backend',
    'models',
    'matplotlib',
    'tensorboardX',
    'ot',
}


@pytest.mark.parametrize('name', SCRIPTS)
def test_help_imports_nothing_heavy_and_names_every_default(name):
    result = subprocess.run(
        [sys.executable, '-X', 'importtime', ROOT / name, '--help'],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition('|')[2].strip().partition('.')[0] for line in result.stderr.splitlines()}
    assert 'argparse' in imported
    assert not imported & HEAVY
    options = re.split(r'\n  (?=--\w)', result.stdout.partition('options:')[2] or result.stdout)[1:]
    assert options
    for option in options:
        assert '(default:' in ' '.join(option.split()), option


# --- THEANO_FLAGS ---


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """A function: what Theano is given for THEANO_FLAGS and the text of a .theanorc."""

    def translated(theano_flags, theanorc=''):
        (tmp_path / 'theanorc').write_text(theanorc)
        monkeypatch.setenv('THEANORC', str(tmp_path / 'theanorc'))
        monkeypatch.setenv('THEANO_FLAGS', theano_flags)
        flags.translate()
        given = theano.configparser.parse_config_string(os.environ['THEANO_FLAGS'], issue_warnings=False)
        assert {name: flags.value(name) for name in given} == given  # read as Theano reads it
        return given

    return translated


def test_the_defaults(settings):
    given = settings('')
    assert given['floatX'] == 'float32' and given['blas.ldflags'] == ''
    assert 'device' not in given


@pytest.mark.parametrize(
    ('theano_flags', 'theanorc', 'expected', 'notice'),
    [
        (
            'mode=FAST_RUN,device=gpu,floatX=float32,lib.cnmem=1,optimizer_including=cudnn',  # the README's
            '',
            {'device': 'cuda', 'gpuarray.preallocate': '1', 'optimizer_including': 'cudnn'},
            'device=gpu is spelt device=cuda since Theano 1.0\n',
        ),
        ('device=gpu0', '', {'device': 'cuda0'}, 'device=gpu0 is spelt device=cuda0 since Theano 1.0\n'),
        ('device=cuda1', '', {'device': 'cuda1'}, ''),
        ('device=cpu', '[global]\ndevice=gpu', {'device': 'cpu'}, ''),
        (
            '',
            '[global]\ndevice = gpu1',
            {'device': 'cuda1'},
            'device=gpu1 is spelt device=cuda1 since Theano 1.0\n',
        ),
        ('', '[lib]\ncnmem = 0.8', {'gpuarray.preallocate': '0.8'}, ''),
        ('lib.cnmem=1,gpuarray.preallocate=0.5', '', {'gpuarray.preallocate': '0.5'}, ''),
        (
            'deterministic=more,dnn.conv.algo_bwd_data=none',
            '',
            {
                'dnn.conv.algo_fwd': 'small',
                'dnn.conv.algo_bwd_filter': 'deterministic',
                'dnn.conv.algo_bwd_data': 'none',
            },
            '',
        ),
        ('floatX=float64', '', {'floatX': 'float64'}, ''),
        ('floatX=float32,floatX=float64', '', {'floatX': 'float64'}, ''),
        ('"blas.ldflags=-L/a folder -lopenblas"', '', {'blas.ldflags': '-L/a folder -lopenblas'}, ''),
        ('base_compiledir="/a, b"', '', {'base_compiledir': '/a, b'}, ''),
        ('device=cpu,', '', {'device': 'cpu'}, ''),
    ],
)
def test_flags_of_2017_and_the_user_s_own(theano_flags, theanorc, expected, notice, settings, capsys):
    given = settings(theano_flags, theanorc)
    assert {name: given[name] for name in expected} == expected
    assert capsys.readouterr().err == notice


def test_theanorc_s_own_choices_stand(settings):
    given = settings('', '[global]\nfloatX = float64\n[blas]\nldflags = -lopenblas\n[gcc]\ncxxflags = -O1')
    assert 'floatX' not in given and 'blas.ldflags' not in given
    assert flags.value('floatX') == 'float64'
    if 'gcc.cxxflags' in given:  # NumPy 2
        assert given['gcc.cxxflags'].startswith('-O1 ')


@pytest.mark.parametrize(
    ('theano_flags', 'message'),
    [
        ('device="gpu', 'THEANO_FLAGS=device="gpu cannot be read (No closing quotation)'),
        ('floatX=float128', 'Theano does not take its settings in THEANO_FLAGS or .theanorc: Invalid value'),
        ('device=tpu', 'Theano does not take its settings in THEANO_FLAGS or .theanorc: Invalid value'),
    ],
)
def test_flags_that_theano_does_not_take(theano_flags, message):
    assert refused(THEANO_FLAGS=theano_flags).startswith(message)


def test_a_theanorc_that_is_none(tmp_path):
    (tmp_path / 'theanorc').write_text('device gpu\n')
    sentence = refused(THEANORC=str(tmp_path / 'theanorc'))
    assert sentence.startswith('Theano does not take its settings') and str(tmp_path) in sentence


# --- the card ---


@pytest.mark.parametrize(
    ('pygpu', 'message'),
    [
        (
            None,
            "device=cuda0 needs libgpuarray and pygpu (No module named 'pygpu'): `make gpu` installs them",
        ),
        (
            'raise ImportError("libgpuarray.so.3: cannot open")',
            'device=cuda0 needs .*libgpuarray.so.3: cannot open',
        ),
        ('raise RuntimeError("no driver")', 'device=cuda0 needs .*no driver'),
        ('', "device=cuda0: (no NVIDIA driver was found|NVIDIA's driver does not start)"),
    ],
)
def test_no_card_is_said_and_the_cpu_not_taken(pygpu, message, tmp_path):
    if pygpu is None and importlib.util.find_spec('pygpu'):
        pytest.skip('pygpu is here')
    if pygpu is not None:
        (tmp_path / 'pygpu').mkdir()
        (tmp_path / 'pygpu' / '__init__.py').write_text(pygpu)
    sentence = refused(THEANO_FLAGS='device=cuda0', PYTHONPATH=str(tmp_path))
    assert re.match(message.replace('(No', r'\(No').replace("pygpu')", r"pygpu'\)"), sentence), sentence


def test_03_ends_with_the_sentence_too(seeded_weights, tmp_path):
    if importlib.util.find_spec('pygpu'):
        pytest.skip('pygpu is here')
    result = script(
        *('03-predict.py', GOLDEN / 'network' / 'predict_exact.png', '--weights', seeded_weights),
        *('--output', tmp_path),
        THEANO_FLAGS='mode=FAST_RUN,device=gpu,floatX=float32,lib.cnmem=1,optimizer_including=cudnn',
    )
    assert result.returncode == 2
    notice, sentence = result.stderr.splitlines()
    assert notice == 'device=gpu is spelt device=cuda since Theano 1.0'
    assert sentence.startswith('device=cuda needs libgpuarray and pygpu')
    assert list(tmp_path.iterdir()) == []


# --- the compiler and its folder ---


def test_no_compiler(tmp_path):
    assert refused(PATH=str(tmp_path)).startswith(
        'no C++ compiler (g++): install g++ (Debian: apt-get install g++)'
    )
    assert refused(THEANO_FLAGS='cxx=').startswith('no C++ compiler (THEANO_FLAGS sets cxx to nothing)')
    assert refused(THEANO_FLAGS='cxx=/no/g++').startswith('no C++ compiler (/no/g++)')


def test_a_compiler_that_fails(tmp_path):
    status, output, errors = ended(start(THEANO_FLAGS=f'cxx=/bin/false,base_compiledir={tmp_path}'))
    assert status == 2 and 'Traceback' not in errors
    assert errors.splitlines()[-1].startswith('the C++ compiler /bin/false failed')


def test_no_python_headers(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, 'get_path', lambda name: str(tmp_path))
    monkeypatch.setenv('THEANO_FLAGS', 'cxx=g++')
    with pytest.raises(CannotRun) as end:
        checks.compiler()
    version = f'{sys.version_info[0]}.{sys.version_info[1]}'
    assert str(end.value) == (
        f"Python's C headers are not in {tmp_path}: install them "
        f'(Debian: apt-get install python{version}-dev)'
    )


Version = namedtuple('Version', 'major minor micro')


@pytest.mark.parametrize('version', [(2, 7), (3, 8), (3, 16), (4, 0)])
def test_unsupported_pythons(version, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (*version, 0, 'final', 0))
    with pytest.raises(CannotRun, match=f'is cpython {version[0]}.{version[1]}: make the environment again'):
        checks.python()


@pytest.mark.parametrize('version', [(3, minor) for minor in range(9, 16)])
def test_supported_pythons(version, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (*version, 0, 'final', 0))
    checks.python()


def test_other_implementations(monkeypatch):
    monkeypatch.setattr(sys, 'implementation', namedtuple('Implementation', 'name')('pypy'))
    with pytest.raises(CannotRun, match='this is pypy'):
        checks.python()


def test_a_file_where_the_compile_folder_should_be(tmp_path):
    (tmp_path / 'file').touch()
    for name in ('file', 'file/below'):
        sentence = refused(THEANO_FLAGS=f'base_compiledir={tmp_path / name}')
        assert sentence.startswith(f'Theano cannot keep its compiled modules in {tmp_path / name} (')
        assert 'base_compiledir=/path/to/folder' in sentence


@pytest.mark.parametrize('filled', [False, True])
def test_a_compile_folder_on_a_read_only_disk(filled, small_disk):
    if filled:  # with what Theano has made in it while it could
        (small_disk / 'cache').mkdir()
        (small_disk / 'cache' / compile_folder.own_name()).mkdir(mode=0o700)
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    sentence = refused(THEANO_FLAGS=f'base_compiledir="{small_disk / "cache"}"')
    assert 'Read-only file system' in sentence and str(small_disk / 'cache') in sentence


def test_a_compile_folder_on_a_full_disk(small_disk):
    with open(small_disk / 'ballast', 'wb') as file, pytest.raises(OSError):
        while True:
            file.write(bytes(2**16))
            file.flush()
    assert 'No space left' in refused(THEANO_FLAGS=f'base_compiledir="{small_disk}"')


def test_a_home_that_cannot_be_written_to(tmp_path):
    (tmp_path / 'home').touch()
    assert 'cannot keep its compiled modules' in refused(HOME=str(tmp_path / 'home'), THEANO_FLAGS='')


def test_threads_that_wait_sleep_unless_the_user_says_otherwise(monkeypatch):
    for given, expected in (
        ({}, 'passive'),
        ({'OMP_WAIT_POLICY': 'active'}, 'active'),
        ({'GOMP_SPINCOUNT': '1000'}, None),
    ):
        for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        flags.wait_asleep()
        assert os.environ.get('OMP_WAIT_POLICY') == expected


def test_what_theano_hardly_uses_is_imported_when_it_is_used():
    """SciPy's parts and distutils: not with `backend`, and whole for whoever asks for them afterwards."""
    code = """
import backend, numpy as np
parts = ('stats', 'special', 'signal', 'linalg', 'interpolate')
found = [name for name in (*(f'scipy.{part}' for part in parts), 'setuptools') if name in sys.modules]
if sys.version_info < (3, 12):
    found += [n for n in sys.modules if n.partition('.')[0] == 'distutils']
import theano, theano.tensor as T
from theano.tensor import blas, blas_scipy
one = np.ones((2, 2), np.float32)
vector = blas._blas_gemv_fns[one.dtype](1., one, one[0])
matrix = blas_scipy._blas_ger_fns[one.dtype](1., one[0], one[0])
x = T.dscalar()
erf = theano.function([x], T.erf(x), mode=theano.Mode(linker='py', optimizer=None))(1)
import scipy, scipy.linalg.blas, scipy.signal
later = scipy.special.erf(1), scipy.stats.norm.cdf(0), scipy.linalg.det(one), *scipy.signal.convolve([1], [2])
print(found, vector.tolist(), matrix.tolist(), [round(float(value), 6) for value in (erf, *later)])
"""
    expected = '[] [2.0, 2.0] [[1.0, 1.0], [1.0, 1.0]] [0.842701, 0.842701, 0.5, 0.0, 2.0]\n'
    assert run_python(code, PYTHONHASHSEED='0') == expected  # a process of its own, not a fork
