"""Work spread over threads, its results taken in order."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def in_order(function, items, workers, ahead=None):
    """`map(function, items)` in so many threads; at most `ahead` results (default: 4 a thread) are held.

    Threads are enough where the work is OpenCV's, zlib's or the disk's, which all release Python's lock.
    What `function` raises is raised here, when its turn comes; what has not begun by then never does.
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
