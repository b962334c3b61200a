"""Notices about what is happening, such as a compilation."""

import functools
import sys

from backend import checks
from backend.errors import CannotRun

_said: list = []


def compiling():
    """Says, before this process first compiles C++, that this is done only once."""
    if not _said:
        _said.append(True)
        print(
            'compiling the networks for this machine: once, about a minute; kept for later runs',
            file=sys.stderr,
        )


def waiting():
    """Says that another process is compiling, before waiting for it; once, and not after `compiling`."""
    if not _said:
        _said.append(True)
        print('another process compiles the networks for this machine: waiting for it', file=sys.stderr)


def announce_compilation():
    """Makes Theano say so too, and raise CannotRun if it cannot compile or keep the result.

    A warm start compiles nothing and says nothing.
    """
    from theano.compile.function_module import FunctionMaker
    from theano.gof.cmodule import GCC_compiler, ModuleCache

    GCC_compiler.compile_str = staticmethod(_announced(GCC_compiler.compile_str))
    ModuleCache.module_from_key = _announced(ModuleCache.module_from_key, ())
    for name in ('__init__', 'create'):
        setattr(FunctionMaker, name, _raising_cannot_run(getattr(FunctionMaker, name)))


class _Failed(BaseException):
    """Carries a CannotRun through Theano, whose optimiser swallows exceptions."""


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
