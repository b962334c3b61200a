"""What a user should know while it happens."""

import functools
import sys

from backend import checks


def announce_compilation():
    """Says, before the first C++ module of this process is compiled, that this is done once.

    A warm start compiles nothing and says nothing. A compilation that fails ends in a sentence.
    """
    from theano.gof.cmodule import GCC_compiler

    compile_str = GCC_compiler.compile_str
    said: list = []

    @functools.wraps(compile_str)
    def announcing(*arguments, **keywords):
        if not said:
            said.append(True)
            print(
                'compiling the networks for this machine: once, about a minute; kept for later runs',
                file=sys.stderr,
            )
        try:
            return compile_str(*arguments, **keywords)
        except Exception as error:
            checks.compilation_failed(error)
            raise

    GCC_compiler.compile_str = staticmethod(announcing)
