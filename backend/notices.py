"""What a user should know while it happens."""

import functools
import sys

_said = False


def compiling():
    """Says, before the first C++ of this process is compiled, that this is done once."""
    global _said
    if not _said:
        _said = True
        print(
            'compiling the networks for this machine: once, about a minute; kept for later runs',
            file=sys.stderr,
        )


def announce_compilation():
    """Makes Theano say so too. A warm start compiles nothing and says nothing."""
    from theano.gof.cmodule import GCC_compiler

    compile_str = GCC_compiler.compile_str

    @functools.wraps(compile_str)
    def announcing(*arguments, **keywords):
        GCC_compiler.compile_str = staticmethod(compile_str)
        compiling()
        return compile_str(*arguments, **keywords)

    GCC_compiler.compile_str = staticmethod(announcing)
