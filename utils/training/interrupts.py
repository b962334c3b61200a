"""Ctrl-C during training: once to stop cleanly, twice to stop at once."""

import contextlib
import os
import signal
import threading

from utils.command_line import INTERRUPTED, say


@contextlib.contextmanager
def held_back():
    """Within this block Ctrl-C (or SIGTERM) sets the event that it yields; a second one ends the process.

    Python only runs signal handlers between its own instructions, for which an update of the network can take
    minutes. So a thread listens on the descriptor to which Python writes every signal at once.
    """
    asked = threading.Event()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def listen():
        while os.read(reading, 1):
            if asked.is_set():
                say('ended at once')
                os._exit(INTERRUPTED)
            asked.set()
            say('finishing the current update, then ending with a checkpoint; Ctrl-C again ends at once')
        os.close(reading)

    handlers = {number: signal.signal(number, _nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield asked
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writing)


def _nothing(number, frame):
    """Does nothing: the listening thread does the work."""
