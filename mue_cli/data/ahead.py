"""Work done ahead of who needs it, in threads, without changing its order: pictures are decoded
while the model computes.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

WORKERS = min(4, os.cpu_count() or 1)


def ahead(
    work: Callable[[A], B], items: Iterable[A], window: int, workers: int = WORKERS
) -> Iterator[B]:
    """Yield work(item) in order, computed in threads, never more than `window` results ahead of who
    takes them.

    An error of an item comes out where its result would. `items` is read by the taker's thread and
    may be endless.
    """
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(workers)
    rest = iter(items)
    try:
        waiting.extend(pool.submit(work, item) for item in islice(rest, window))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
