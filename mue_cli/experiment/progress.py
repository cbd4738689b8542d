"""How a procedure tells how far it is; the commands draw bars of it, a notebook ignores it."""

import time
from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Called now and then during long work.

    label: what is being done. done, total: samples, steps or settings; total 0: a line of talk, the
    note alone. note: shown beside it.
    """

    def __call__(self, label: str, done: int, total: int, note: str = "") -> None: ...


def silent(label: str, done: int, total: int, note: str = "") -> None:
    """Ignore progress."""


class Counter(Protocol):
    """What the rooms below call: done, and the total where they know it."""

    def __call__(self, done: int, total: int = 0) -> None: ...


def counting(progress: Progress, label: str, total: int) -> Counter:
    """Return a callback for the rooms below. total: where they do not know it."""

    fallback = total

    def count(done: int, total: int = 0) -> None:
        progress(label, done, total if total > 0 else fallback)

    return count


class Rate:
    """Counts what is done and says how fast that goes."""

    def __init__(self, unit: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._unit, self._clock = unit, clock
        self._began = clock()

    def note(self, done: int) -> str:
        """Return the rate since the beginning, in three figures."""
        seconds = self._clock() - self._began
        return f"{done / seconds:.3g} {self._unit}/s" if done and seconds > 0 else ""
