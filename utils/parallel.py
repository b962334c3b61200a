"""Spreads work over threads and returns the results in order."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def in_order(function, items, workers, ahead=None):
    """`map(function, items)` in this many threads; at most `ahead` results (default: 4 per thread) are held.

    Threads suffice if the work is done by OpenCV, zlib or the disk, which all release Python's lock. An
    exception of `function` is raised here when its turn comes; calls not yet begun by then never begin.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > (4 * workers if ahead is None else ahead):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
