"""What a user should know while it happens."""

import functools
import sys

from backend import checks
from backend.errors import CannotRun

_said: list = []


def compiling():
    """Says, before the first C++ of this process is compiled, that this is done once."""
    if not _said:
        _said.append(True)
        print(
            'compiling the networks for this machine: once, about a minute; kept for later runs',
            file=sys.stderr,
        )


def waiting():
    """Says that another process compiles, before this one waits for it; once, and not beside `compiling`."""
    if not _said:
        _said.append(True)
        print('another process compiles the networks for this machine: waiting for it', file=sys.stderr)


def announce_compilation():
    """Makes Theano say so too, and end in CannotRun where it cannot compile or keep what it compiles.

    A warm start compiles nothing and says nothing.
    """
    from theano.compile.function_module import FunctionMaker
    from theano.gof.cmodule import GCC_compiler, ModuleCache

    GCC_compiler.compile_str = staticmethod(_announced(GCC_compiler.compile_str))
    ModuleCache.module_from_key = _announced(ModuleCache.module_from_key, ())
    for name in ('__init__', 'create'):
        setattr(FunctionMaker, name, _raising_cannot_run(getattr(FunctionMaker, name)))


class _Failed(BaseException):
    """Holds a CannotRun on its way through Theano, whose optimiser swallows exceptions."""


def _announced(function, compiles=(compiling,)):
    @functools.wraps(function)
    def announced(*arguments, **keywords):
        for say in compiles:
            say()
        try:
            with checks.compiling():
                return function(*arguments, **keywords)
        except CannotRun as error:
            raise _Failed(error) from None

    return announced


def _raising_cannot_run(function):
    @functools.wraps(function)
    def raising(*arguments, **keywords):
        try:
            return function(*arguments, **keywords)
        except _Failed as failed:
            raise failed.args[0] from None

    return raising
