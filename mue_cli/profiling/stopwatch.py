"""Time of named parts of a program, each without the parts inside it; together they are the
whole.
"""

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Stopwatch:
    """seconds, calls: by part.

    synchronize: waits for the device before each reading of the clock. On a GPU that keeps parts
    from overlapping: watched, the whole takes longer.
    """

    def __init__(
        self,
        synchronize: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._synchronize, self._clock = synchronize, clock
        self._inside: list[float] = []  # per part that is running: time spent in parts inside it

    def timed(self, part: str, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function that does the same and adds its time to `part`."""

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            start = self._read()
            self._inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                elapsed = self._read() - start
                self.seconds[part] += elapsed - self._inside.pop()
                self.calls[part] += 1
                if self._inside:
                    self._inside[-1] += elapsed

        return run

    def rename(self, part: str, name: str) -> None:
        """Move what a part has gathered so far to another name."""
        self.seconds[name] += self.seconds.pop(part, 0.0)
        self.calls[name] += self.calls.pop(part, 0)

    def _read(self) -> float:
        if self._synchronize is not None:
            self._synchronize()
        return self._clock()
