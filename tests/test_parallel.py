"""Work in threads: in order, a few ahead, errors where their turn comes."""

import threading
import time

import pytest

from utils.parallel import in_order


def test_order_and_errors():
    def work(i):
        time.sleep(0.002 * (i % 3))
        return i if i != 30 else 1 // 0

    assert list(in_order(work, range(25), 4)) == list(range(25))
    got = []
    with pytest.raises(ZeroDivisionError):
        for i in in_order(work, range(100), 4):
            got.append(i)
    assert got == list(range(30))


def test_only_a_few_are_ahead():
    begun, lock = [], threading.Lock()

    def work(i):
        with lock:
            begun.append(i)
        return i

    results = in_order(work, range(1000), 2)
    for i in range(10):
        assert next(results) == i
    assert len(begun) < 30
    results.close()
    assert len(begun) < 30
