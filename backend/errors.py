"""What Theano cannot run with or without, as an exception and, where nobody handles it, one sentence."""

import sys


class CannotRun(Exception):
    """Theano cannot run here, or not with these settings: one sentence that says what to do.

    An ordinary exception to programs and notebooks. A program that does not handle it ends with the sentence
    alone and exit status 2, as the scripts do for a user's other mistakes.
    """

    def __init__(self, sentence):
        super().__init__(sentence)
        if sys.excepthook is not _end:
            _before.append(sys.excepthook)
            sys.excepthook = _end


_before: list = []  # what was the hook until then


def _end(kind, error, traceback):
    if isinstance(error, CannotRun):
        print(error, file=sys.stderr)
        raise SystemExit(2)
    _before[-1](kind, error, traceback)
