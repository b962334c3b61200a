"""What a user should know while it happens."""

import functools
import sys


def announce_compilation():
    """Says, before the first C++ module of this process is compiled, that this is done once.

    A warm start compiles nothing and says nothing.
    """
    from theano.gof.cmodule import GCC_compiler

    compile_str = GCC_compiler.compile_str

    @functools.wraps(compile_str)
    def announcing(*arguments, **keywords):
        GCC_compiler.compile_str = staticmethod(compile_str)
        print(
            'compiling the networks for this machine: once, about a minute; kept for later runs',
            file=sys.stderr,
        )
        return compile_str(*arguments, **keywords)

    GCC_compiler.compile_str = staticmethod(announcing)
