"""The exception for conditions in which Theano cannot run; uncaught, it prints as one sentence."""

import sys
import traceback
from pathlib import Path

from backend import flags

ROOT = Path(__file__).resolve().parents[1]


class CannotRun(Exception):
    """Theano cannot run here, or not with these settings: one sentence that says what to do.

    Programs and notebooks can catch it like any exception. A program that does not catch it prints only the
    sentence and exits with status 2, as the scripts do for a user's other mistakes.
    """


def end_in_sentences():
    """Installs the handling that `CannotRun` describes.

    The project's own scripts also end this way if Theano fails and the user has changed its settings, which
    are then the likely reason: Theano has some two hundred settings, most of which nobody tests together.
    """
    if sys.excepthook is not _end:
        _before.append(sys.excepthook)
        sys.excepthook = _end


_before: list = []  # the previous hook


def _end(kind, error, trace):
    sentence = str(error) if isinstance(error, CannotRun) else _of_settings(error, trace)
    if sentence is None:
        _before[-1](kind, error, trace)
        return
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


def _of_settings(error, trace):
    """The sentence on the user's settings if they may be the reason, otherwise None."""
    script = getattr(sys.modules['__main__'], '__file__', None)
    names = [frame.filename for frame in traceback.extract_tb(trace)]
    theanos = any('theano' in Path(name).parts for name in names)
    if not (script and ROOT in Path(script).resolve().parents and theanos and flags.GIVEN):
        return None
    given = ','.join(f'{name}={value}' for name, value in sorted(flags.GIVEN.items()))
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return f'Theano fails with the settings {given} of THEANO_FLAGS or .theanorc ({reason}): leave them out'
