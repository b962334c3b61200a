"""Ctrl-C during training: held back once, obeyed at once the second time."""

import os
import signal
import subprocess
import sys
import threading
import time

from tests.conftest import ROOT
from utils.training.interrupts import held_back


def test_one_is_held_back_and_asks_for_an_end(capsys):
    said = ''
    before = signal.getsignal(signal.SIGINT)
    for number in (signal.SIGINT, signal.SIGTERM):
        with held_back() as asked:
            assert not asked.is_set()
            os.kill(os.getpid(), number)
            assert asked.wait(10)
            deadline = time.monotonic() + 10
            while not said.endswith('stops at once\n') and time.monotonic() < deadline:
                time.sleep(0.01)  # it is said after the event
                said += capsys.readouterr().err
        assert said.count('finishing the current update') == 1
        said = ''
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_nothing_is_left_behind():
    threads, files = threading.active_count(), len(os.listdir('/proc/self/fd'))
    for _ in range(20):
        with held_back():
            pass
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    assert len(os.listdir('/proc/self/fd')) <= files


def test_the_second_ends_the_process_though_python_code_does_not_run():
    """As during an update: the main thread is in C, and lets others run now and then."""
    code = (
        'import ctypes, signal, sys, threading\n'
        'from utils.training.interrupts import held_back\n'
        'with held_back():\n'
        '    print("ready", flush=True)\n'
        '    left = 60\n'
        '    while left: left = ctypes.CDLL(None).sleep(left)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == 'ready\n'
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.count('\n') == 2
    assert 'stopped at once' in said
