"""A Dockerfile without a Docker engine: read, and its steps run in a folder that is the image's root."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT

# by which a machine reaches its registries
NETWORK = re.compile(r'.*_proxy|PIP_CERT|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE', re.IGNORECASE)
NETWORK_FILES = ['/etc/resolv.conf', '/etc/hosts', '/etc/ssl/certs/ca-certificates.crt']


def instructions(path):
    """[(name, argument)], lines that go on put together."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith('#')]
    text = re.sub(r'\\\n', ' ', '\n'.join(lines))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def copied(argument):
    """[(file of the checkout, where it goes)] of a COPY; only what git has, as a fresh clone would."""
    *sources, target = argument.split()
    known = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    pairs = []
    for source in sources:
        if source.endswith('/'):
            found = [(name, name[len(source) :]) for name in known if name.startswith(source)]
        else:
            found = [(n, os.path.basename(n)) for n in known if '/' not in n and fnmatch.fnmatch(n, source)]
        assert found, f'nothing is copied of {source}'
        pairs += [(ROOT / name, os.path.join(target, below)) for name, below in found]
    return pairs


class Image:
    """What a Dockerfile makes, in the folder `root`, which holds a Debian as FROM names it."""

    def __init__(self, root):
        self.root, self.user, self.folder = root, '0', '/'
        self.variables: dict = {}
        self.start: list = []

    def build(self, path):
        """Runs every step but FROM."""
        for name, argument in instructions(path)[1:]:
            getattr(self, f'do_{name.lower()}')(argument)

    def do_run(self, argument):
        self.execute(['/bin/sh', '-c', argument], check=True)

    def do_copy(self, argument):
        for source, target in copied(argument):
            path = self.root / os.path.join(self.folder, target).lstrip('/')
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, path)

    def do_workdir(self, argument):
        self.folder = os.path.join(self.folder, argument)
        (self.root / self.folder[1:]).mkdir(parents=True, exist_ok=True)

    def do_env(self, argument):
        name, _, value = argument.partition('=')
        self.variables[name] = value

    do_arg = do_env

    def do_user(self, argument):
        self.user = argument.replace('$UID', self.variables['UID'])

    def do_volume(self, argument):
        assert (self.root / argument[1:]).is_dir()

    def do_entrypoint(self, argument):
        self.start = json.loads(argument)

    def do_cmd(self, argument):
        pass

    def container(self, *arguments, **variables):
        """`docker run IMAGE ARGUMENTS`; the finished process."""
        return self.execute([*self.start, *arguments], **variables)

    def execute(self, command, check=False, **variables):
        for name in NETWORK_FILES:  # before every step: an earlier one may have written its own
            if os.path.exists(name):
                (self.root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(name, self.root / name[1:])
        home = '/root' if self.user == '0' else '/home/salgan'
        network = {name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)}
        path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
        environment = {'PATH': path, 'HOME': home, **network, **self.variables, **variables}
        inside = f'cd {self.folder} && exec {shlex.join(command)}'
        result = subprocess.run(
            [
                *(
                    'unshare',
                    '--mount',
                    '--fork',
                    'sh',
                    '-c',
                    'mount -t proc proc "$0/proc" && exec chroot "$@"',
                ),
                *(self.root, f'--userspec={self.user}:{self.user}', self.root, '/bin/sh', '-c', inside),
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or result.returncode == 0, (
            f'{command}: {result.stdout[-3000:]}{result.stderr[-3000:]}'
        )
        return result


def debian(root, suite):
    """The smallest Debian, in the folder `root`; a sentence where it cannot be made."""
    if os.geteuid() != 0:
        return 'a root folder of Debian is made by root only'
    tool = root.with_name('debootstrap')
    try:
        tool.mkdir()
        subprocess.run(
            ['apt-get', 'download', '-q', 'debootstrap'], cwd=tool, check=True, capture_output=True
        )
        (package,) = Path(tool).glob('*.deb')
        subprocess.run(['dpkg-deb', '--extract', package, tool], check=True, capture_output=True)
        subprocess.run(
            [tool / 'usr' / 'sbin' / 'debootstrap', '--variant=minbase', suite, root],
            env={**os.environ, 'DEBOOTSTRAP_DIR': str(tool / 'usr' / 'share' / 'debootstrap')},
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        return f'debootstrap cannot make a Debian here: {error} {getattr(error, "stdout", "")[-500:]}'
    return None
