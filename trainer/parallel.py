"""A function of many items on all cores, results in the order of the items.

For work that leaves Python: Arrow, numpy and TensorFlow compute without the GIL. Imports the
standard library only.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# More threads than that wait for the one that feeds them.
MAX_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`function` of each item, computed by as many threads as there are cores.

    Items are taken by the calling thread, two more at a time than there are threads, so that
    memory stays bounded. What an item or a function raises is raised in its place, after the
    results before it; items that are not begun then are dropped.
    """
    num_threads = min(MAX_THREADS, os.cpu_count() or 1)
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(num_threads)
    error: Exception | None = None
    iterator = iter(items)
    try:
        while error is None:
            try:
                pending.append(pool.submit(function, next(iterator)))
            except StopIteration:
                break
            except Exception as raised:  # noqa: BLE001 - raised again below, in its place
                error = raised
            # One more than there are threads, so that none waits for the caller.
            if len(pending) > num_threads + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
    if error is not None:
        raise error
