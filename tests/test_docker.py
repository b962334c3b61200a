"""docker/: its rules, what a container starts, and every step of both images, where no Docker engine is."""

import os
import re
import runpy
import shutil
import subprocess
import sys

import pytest

from backend import flags
from tests.conftest import GOLDEN, ROOT
from tests.helpers.dockerfile import Image, copied, instructions
from tests.helpers.roots import debian, execute

DOCKER = ROOT / 'docker'
DOCKERFILES = sorted(DOCKER.glob('Dockerfile.*'))
IMAGE = GOLDEN / 'network' / 'predict_small.png'


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def dockerfile(request):
    return request.param


def test_hadolint_has_nothing_to_say(dockerfile):
    tool = shutil.which('hadolint', path=os.path.dirname(sys.executable))
    if not tool:
        pytest.skip('hadolint is not installed')
    result = subprocess.run(
        [tool, '--failure-threshold', 'style', dockerfile], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (0, '')


def test_everything_in_an_image_is_pinned_and_nobody_is_root(dockerfile):
    steps = instructions(dockerfile)
    assert re.fullmatch(r'debian:bookworm-20\d{6}-slim', dict(steps)['FROM'])
    runs = ' && '.join(argument for name, argument in steps if name == 'RUN')
    installs = re.findall(r'apt-get install ([^&]*)', runs)
    packages = [word for words in installs for word in words.split() if not word.startswith('-')]
    assert packages and all('=' in package for package in packages)
    assert re.findall(r'pip install [^&]*', runs)
    for command in re.findall(r'pip install [^&]*', runs):
        assert '--require-hashes' in command and '--no-cache-dir' in command
    names = [name for name, _ in steps]
    assert 'USER' in names[: names.index('ENTRYPOINT')] and dict(steps)['USER'] == '$UID'
    assert dict(steps)['WORKDIR'] == '/data'  # the last one


def test_every_requirement_of_the_card_has_a_hash():
    text = (ROOT / 'requirements' / 'gpu.txt').read_text()
    for line in re.findall(r'^\S+==\S+.*\n.*', text, re.MULTILINE):
        assert '--hash=sha256:' in line


def test_settings_are_read_and_can_be_overridden(monkeypatch, dockerfile):
    name = dict(instructions(dockerfile))['ENV'].partition('=')[2]
    monkeypatch.setenv('THEANORC', name.replace('/opt/salgan', str(ROOT)))
    monkeypatch.delenv('THEANO_FLAGS', raising=False)
    assert flags.value('device') == {'gpu': 'cuda', 'cpu': 'cpu'}[dockerfile.suffix[1:]]
    assert flags.value('compiledir') == '/var/cache/salgan'
    monkeypatch.setenv('THEANO_FLAGS', 'device=cuda1')
    assert flags.value('device') == 'cuda1'


@pytest.fixture
def files(dockerfile, tmp_path):
    """The folder that the COPY steps make, in a plain folder."""
    for name, argument in instructions(dockerfile):
        for source, target in copied(argument) if name == 'COPY' else ():
            if not target.startswith('/'):
                (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, tmp_path / target)
    return tmp_path


def entry(folder, *arguments, cwd=None, **environment):
    command = [sys.executable, folder / 'docker' / 'entry.py', *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment})


def test_weights_and_tests_stay_outside(files):
    names = {path.name for path in files.iterdir()}
    assert {'backend', 'models', 'utils', 'requirements'} < names
    assert not {'weights', 'tests', '.git'} & names
    assert not list(files.rglob('*.npz')) + list(files.rglob('*.pkl'))


def test_one_entry_point_for_the_four_scripts(files):
    scripts = sorted(path.name for path in ROOT.glob('0*.py'))
    result = entry(files)
    assert result.returncode == 0 and result.stderr == ''
    assert all(f'\n    {name}' in result.stdout for name in scripts)
    result = entry(files, '05-no.py')
    assert result.returncode == 2 and result.stderr.startswith('05-no.py: no such script\n')
    for name in scripts:
        result = entry(files, name, '--help')
        assert result.returncode == 0 and result.stdout.startswith(f'usage: {name}'), result.stderr


def test_relative_paths_are_those_of_the_working_folder(files, seeded_weights, tmp_path_factory):
    data = tmp_path_factory.mktemp('data')
    (data / 'images').mkdir()
    shutil.copy(IMAGE, data / 'images' / 'a.png')
    options = ('--images', 'images', '--output', 'saliency', '--weights', seeded_weights, '--size', '64x48')
    result = entry(files, '03-predict.py', *options, cwd=data)
    assert result.returncode == 0, result.stderr
    assert (data / 'saliency' / 'a.jpg').exists()


def test_apptainer_takes_the_steps_of_the_image_for_the_cpu():
    sections = re.split(r'^%(\w+)\n', (DOCKER / 'salgan.def').read_text(), flags=re.MULTILINE)
    parts = dict(zip(sections[1::2], sections[2::2]))
    docker = instructions(DOCKER / 'Dockerfile.cpu')
    assert sections[0].split() == ['Bootstrap:', 'docker', 'From:', dict(docker)['FROM']]
    copied_there = [line.split()[0] for line in parts['files'].splitlines() if line.split()]
    assert copied_there == [
        name for step, argument in docker if step == 'COPY' for name in argument.split()[:-1]
    ]
    runs = [' '.join(part.split()) for step, text in docker if step == 'RUN' for part in text.split('&&')]
    ours = [' '.join(line.split()) for line in parts['post'].splitlines() if line.strip()]
    extra = {'set -e', 'cd /opt/salgan', 'mkdir -p /var/cache/salgan'}
    users = ('useradd', 'install --directory')
    assert [line.replace(' /opt ', ' ') for line in ours if line not in extra and 'export' not in line] == [
        line for line in runs if not line.startswith(users)
    ]
    setting = dict(docker)['ENV']
    assert f'export {setting}' in parts['environment'] and f'export {setting}' in parts['post']
    assert docker[-2][1] == '["/opt/venv/bin/python", "/opt/salgan/docker/entry.py"]'
    assert '/opt/venv/bin/python /opt/salgan/docker/entry.py "$@"' in parts['runscript']


def test_who_cannot_write_to_the_image_gets_a_copy_of_what_is_compiled_there(monkeypatch, tmp_path):
    entry = runpy.run_path(str(DOCKER / 'entry.py'))
    names = entry['compile_folder'].__globals__
    names['COMPILED'] = tmp_path / 'image'
    (tmp_path / 'image').mkdir()
    (tmp_path / 'image' / 'module.so').write_text('compiled')
    for name, place in (('TMPDIR', 'taken'), ('XDG_CACHE_HOME', 'cache')):
        monkeypatch.setenv(name, str(tmp_path / place))
    (tmp_path / 'taken' / f'salgan-{os.geteuid()}').mkdir(parents=True)
    (tmp_path / 'taken' / f'salgan-{os.geteuid()}').chmod(0o777)  # not safe: the next is used
    copy = tmp_path / 'cache' / f'salgan-{os.geteuid()}' / 'compiled'

    monkeypatch.setenv('THEANO_FLAGS', '')
    entry['compile_folder']()  # it can be written to
    assert os.environ['THEANO_FLAGS'] == '' and not copy.exists()
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    for _ in range(2):
        monkeypatch.setenv('THEANO_FLAGS', 'floatX=float32')
        entry['compile_folder']()
        assert os.environ['THEANO_FLAGS'] == f'floatX=float32,compiledir="{copy}"'
        assert [path.name for path in copy.iterdir()] == ['module.so']
        assert flags.value('compiledir') == str(copy)
    monkeypatch.setenv('THEANO_FLAGS', 'base_compiledir=/mine')
    entry['compile_folder']()
    assert os.environ['THEANO_FLAGS'] == 'base_compiledir=/mine'


def test_conda_s_environment_is_the_pinned_one():
    lines = [line.strip(' -"') for line in (ROOT / 'environment.yml').read_text().splitlines()]
    assert 'python=3.11' in lines and 'gxx' in lines and 'require-hashes' in lines
    (requirements,) = [line for line in lines if line.startswith('r ')]
    assert (ROOT / requirements[2:]).exists()


# --- the steps themselves, in a root folder of Debian ---


@pytest.fixture(scope='module')
def bookworm(tmp_path_factory):
    root = tmp_path_factory.mktemp('debian') / 'root'
    trouble = debian(root, 'bookworm')
    if trouble:
        pytest.skip(trouble)
    yield root
    shutil.rmtree(root)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_every_step_runs(dockerfile, bookworm, seeded_weights, tmp_path):
    """Takes 4 GB on the disk for the card's image."""
    root = tmp_path / 'root'
    subprocess.run(['cp', '--archive', bookworm, root], check=True)
    image = Image(root)
    image.build(dockerfile)
    for folder in ('images', 'weights'):
        (root / 'data' / folder).mkdir()
    shutil.copy(IMAGE, root / 'data' / 'images' / 'a.png')
    shutil.copy(seeded_weights, root / 'data' / 'weights' / 'gen_modelWeights0090.npz')
    modules = set(root.glob('var/cache/salgan/**/*.so'))
    assert len(modules) > 20
    assert image.container('--help').returncode == 0
    result = image.container('03-predict.py', '--images', 'images', '--output', 'saliency')
    if dockerfile.suffix == '.cpu':
        assert result.returncode == 0, result.stderr
        assert (root / 'data' / 'saliency' / 'a.jpg').stat().st_uid == 1000
        assert set(root.glob('var/cache/salgan/**/*.so')) == modules  # it was all there
        assert 'compiling' not in result.stderr
        # as Apptainer runs it: read-only, by any user, whose home is not there
        elsewhere = ['--images', '/data/images', '--weights', '/data/weights/gen_modelWeights0090.npz']
        command = [*image.start, '03-predict.py', *elsewhere, '--output', '/tmp/saliency']
        variables = {**image.variables, 'HOME': '/home/nobody'}
        read_only = execute(root, command, user='4242', folder='/tmp', read_only=True, **variables)
        assert read_only.returncode == 0, read_only.stderr
        assert 'compiling' not in read_only.stderr
    else:
        assert result.returncode == 2
        assert result.stderr.startswith('device=cuda: no NVIDIA driver was found')
        assert result.stderr.count('\n') == 1
        on_the_cpu = image.container(
            *('03-predict.py', '--images', 'images', '--output', 'saliency'), THEANO_FLAGS='device=cpu'
        )
        assert on_the_cpu.returncode == 0, on_the_cpu.stderr
        assert not list(root.glob('var/cache/salgan/gpuarray_kernels/*'))
        image.user = '0'  # once more: nothing is left to compile
        again = image.execute(
            ['/opt/venv/bin/python', '/opt/salgan/docker/warm.py', '--card', '/tmp/virtual_card']
        )
        assert (again.returncode, again.stderr) == (0, '')
    shutil.rmtree(root)
