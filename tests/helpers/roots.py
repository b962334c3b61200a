"""A Debian in a folder, and commands that run with it as their root: what a fresh machine has, no more."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

# by which a machine reaches its registries
NETWORK = re.compile(r'.*_proxy|PIP_CERT|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE', re.IGNORECASE)
NETWORK_FILES = ['/etc/resolv.conf', '/etc/hosts', '/etc/ssl/certs/ca-certificates.crt']
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def debian(root, suite):
    """The smallest Debian, in the folder `root`; a sentence where it cannot be made."""
    if os.geteuid() != 0:
        return 'needs root: a root folder of Debian'
    trouble = _debootstrap(root, '--variant=minbase', suite)
    if trouble:
        return trouble
    # an archive that is mirrored once in a while has lists whose date is over
    (root / 'etc/apt/apt.conf.d/90old-lists').write_text('Acquire::Check-Valid-Until "false";\n')
    return None


def unpacked(root, suite, architecture, *packages):
    """The files of Debian's packages for another architecture, and of what they depend on, in `root`.

    Nothing of them is configured, since nothing of them can be run here but by an emulator. Returns a
    sentence where it cannot be done.
    """
    if os.geteuid() != 0:
        return 'needs root: a root folder of Debian'
    archive = root.with_name(f'{root.name}-packages')
    what = [f'--arch={architecture}', '--variant=minbase', f'--include={",".join(packages)}']
    trouble = _debootstrap(archive, '--download-only', *what, suite)
    if trouble:
        return trouble
    root.mkdir()
    for package in sorted(archive.glob('var/cache/apt/archives/*.deb')):
        subprocess.run(['dpkg-deb', '--extract', package, root], check=True)
    shutil.rmtree(archive)
    return None


def _debootstrap(root, *arguments):
    """Runs Debian's debootstrap into `root`; a sentence where that fails."""
    tool = root.with_name(f'{root.name}-debootstrap')
    try:
        tool.mkdir(parents=True)
        subprocess.run(
            ['apt-get', 'download', '-q', 'debootstrap'], cwd=tool, check=True, capture_output=True
        )
        (package,) = Path(tool).glob('*.deb')
        subprocess.run(['dpkg-deb', '--extract', package, tool], check=True, capture_output=True)
        subprocess.run(
            [tool / 'usr' / 'sbin' / 'debootstrap', *arguments, root],
            env={**os.environ, 'DEBOOTSTRAP_DIR': str(tool / 'usr' / 'share' / 'debootstrap')},
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        return f'no root folder of Debian: {error} {(getattr(error, "stdout", None) or "")[-500:]}'
    finally:
        shutil.rmtree(tool, ignore_errors=True)
    return None


def execute(
    root, command, user='0', folder='/', network=True, read_only=False, check=False, timeout=None, **variables
):
    """Runs a command with `root` as its root folder; the finished process, its output as text.

    Parameters
    ----------
    root : path
    command : list of str
    user : str
        Its number; it is the group's too.
    folder : str
        The working folder, inside.
    network : bool
        False for none at all, not even the loopback device.
    read_only : bool
        Nothing can be written but to an empty /tmp, as in an image of Apptainer's.
    check : bool
        Whether another exit status than 0 is an error.
    timeout : seconds
    variables : str
        All that is in the environment, beside PATH and what reaches registries.
    """
    if network:
        for name in NETWORK_FILES:  # before every command: an earlier one may have written its own
            if os.path.exists(name):
                (root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(name, root / name[1:])
    reached = {name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)}
    inside = f'cd {shlex.quote(folder)} && exec {shlex.join(map(str, command))}'
    mounts = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$@"'
    if read_only:
        bound = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && mount -t tmpfs tmpfs "$0/tmp"'
        mounts = f'{bound} && {mounts}'
    result = subprocess.run(
        [
            *('unshare', '--mount', *(() if network else ('--net',)), '--fork', 'sh', '-c', mounts),
            *(root, f'--userspec={user}:{user}', root, '/bin/sh', '-c', inside),
        ],
        env={'PATH': PATH, **(reached if network else {}), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors='replace',
        timeout=timeout,
        check=False,
    )
    assert not check or result.returncode == 0, (
        f'{shlex.join(map(str, command))}: {result.stdout[-3000:]}{result.stderr[-3000:]}'
    )
    return result
