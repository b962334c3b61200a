"""The modules of the packages, and what each imports, read from the source without running it."""

import ast

from tests.conftest import ROOT

PACKAGES = ('backend', 'models', 'utils')
# The names that scripts of 2017 import are fetched by this function, and only when they are asked for.
EXCEPTION = ('utils', '__getattr__')


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {name_of(path): path for package in PACKAGES for path in (ROOT / package).rglob('*.py')}


def imports(name, path):
    """The modules that `path` imports, at any depth."""
    tree = ast.parse(path.read_text(), str(path))
    found = set()
    waiting: list = [tree]
    while waiting:
        node = waiting.pop()
        if (name, getattr(node, 'name', None)) == EXCEPTION:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f'{name}: relative import'
            names = {f'{node.module}.{alias.name}' for alias in node.names}
            found.update(names & MODULES.keys())
            # the package itself, where it is not only a module in it that is wanted
            found.update({node.module} if names - MODULES.keys() else ())
        waiting += ast.iter_child_nodes(node)
    return found


def all_behind(*names):
    """The paths of these modules and of all that they import in their turn."""
    found: set = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports(name, MODULES[name]) & MODULES.keys()
    return {MODULES[name] for name in found}
