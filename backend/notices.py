"""What a user should know while it happens."""

import functools
import sys

from backend import checks

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
    """Makes Theano say so too, and end in a sentence where compilation fails.

    A warm start compiles nothing and says nothing.
    """
    from theano.gof.cmodule import GCC_compiler

    compile_str = GCC_compiler.compile_str

    @functools.wraps(compile_str)
    def announcing(*arguments, **keywords):
        compiling()
        try:
            return compile_str(*arguments, **keywords)
        except Exception as error:
            checks.compilation_failed(error)
            raise

    GCC_compiler.compile_str = staticmethod(announcing)
