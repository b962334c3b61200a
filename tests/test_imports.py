"""Which package may import which: the floors of the house."""

import importlib
import re
import sys

import pytest

from tests.conftest import ROOT
from tests.helpers.modules import MODULES, PACKAGES, imports
from utils import VERSION

# Whoever stands here may import these of the others, and no more.
ALLOWED = {'backend': set(), 'models': {'backend', 'utils'}, 'utils': set()}
HEAVY = {'theano', 'lasagne', 'pygpu'}
SCRIPTS = sorted(path.stem for path in ROOT.glob('0?-*.py'))


def test_who_imports_whom():
    wrong = []
    for name, path in MODULES.items():
        package = name.partition('.')[0]
        forbidden = set(PACKAGES) - ALLOWED[package] - {package} | (HEAVY if package == 'utils' else set())
        found = {module.partition('.')[0] for module in imports(name, path)}
        wrong += [f'{name} imports {other}' for other in sorted(found & forbidden)]
    assert not wrong


def test_what_models_take_of_utils_is_light():
    """The networks need the architecture, which needs nothing: no file, no image."""
    wanted = {
        module
        for name, path in MODULES.items()
        if name.startswith('models') and name != 'models.names_of_2017'
        for module in imports(name, path)
    }
    assert {module for module in wanted if module.startswith('utils')} == {'utils.architecture'}
    assert imports('utils.architecture', MODULES['utils.architecture']) == {'typing'}


def test_the_backend_knows_no_option_of_the_scripts():
    """It says how much fits into memory, `utils.command_line` how to ask for less."""
    helps = [importlib.import_module(name).parser().format_help() for name in SCRIPTS]
    options = {option for text in helps for option in re.findall(r'--[a-z][a-z-]+', text)}
    assert {'--batch-size', '--size'} < options
    for path in sorted((ROOT / 'backend').glob('*.py')):
        named = set(re.findall(r'--[a-z][a-z-]+', path.read_text())) - {'--version'}  # the compiler's
        assert not named & options, path


def test_there_are_no_circles():
    graph = {name: imports(name, path) & MODULES.keys() for name, path in MODULES.items()}
    done: set = set()

    def follow(name, above):
        assert name not in above, ' -> '.join([*above[above.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name] - {name}):
                follow(other, [*above, name])
            done.add(name)

    for name in sorted(graph):
        follow(name, [])


def test_the_check_sees_what_it_must(tmp_path):
    """A check that finds nothing would pass as well."""
    path = tmp_path / 'a.py'
    path.write_text(
        'import os\nfrom utils import files\ndef f():\n    import theano\n    from models import start\n'
        'def __getattr__(name):\n    import lasagne\n'
    )
    assert imports('a', path) == {'os', 'utils.files', 'theano', 'models.start', 'lasagne'}
    assert 'lasagne' not in imports('utils', path)


@pytest.mark.parametrize('name', SCRIPTS)
def test_scripts_can_be_imported_and_have_one_form(name, capsys):
    module = importlib.import_module(name)
    parser = module.parser()
    assert callable(module.main) and parser.description
    with pytest.raises(SystemExit) as end:
        parser.parse_args(['--version'])
    assert end.value.code == 0 and capsys.readouterr().out == f'SalGAN {VERSION}\n'
    path = ROOT / f'{name}.py'
    lines = path.read_text().splitlines()
    assert lines[0] == '#!/usr/bin/env python3' and path.stat().st_mode & 0o111
    assert lines[-2:] == ["if __name__ == '__main__':", '    run(main)']
    assert sys.modules[name] is module
