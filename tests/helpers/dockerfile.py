"""A Dockerfile without a Docker engine: read, and its steps run in a folder that is the image's root."""

import fnmatch
import json
import os
import re
import shutil
import subprocess

from tests.conftest import ROOT
from tests.helpers.roots import execute


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
        home = '/root' if self.user == '0' else '/home/salgan'
        variables = {'HOME': home, **self.variables, **variables}
        return execute(self.root, command, user=self.user, folder=self.folder, check=check, **variables)
