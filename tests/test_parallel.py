"""Threads, and their results in order."""

import threading
import time

import pytest

from utils.parallel import in_order


@pytest.mark.parametrize('workers', [1, 3])
@pytest.mark.parametrize('ahead', [None, 0, 1, 50])
def test_results_are_in_order(workers, ahead):
    def slow_at_first(i):
        time.sleep(0.002 * (10 - i))
        return i * i

    assert list(in_order(slow_at_first, iter(range(10)), workers, ahead)) == [i * i for i in range(10)]


def test_no_more_is_taken_than_may_be_held():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    results = in_order(lambda i: i, items(), 2, ahead=3)
    for i in range(20):
        assert next(results) == i
        assert len(taken) <= i + 1 + 3
    results.close()


def test_an_error_comes_in_its_turn_and_the_rest_is_not_begun():
    begun = []

    def work(i):
        begun.append(i)
        if i == 3:
            raise ValueError('the fourth')
        time.sleep(0.01)
        return i

    results = in_order(work, range(1000), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match='the fourth'):
        next(results)
    assert len(begun) < 20
    assert threading.active_count() < 10


def test_nothing_to_do():
    assert list(in_order(str, [], 2)) == []
