"""Ctrl-C and SIGTERM while a model trains: the step is finished and saved before anything ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedTraining(KeyboardInterrupt):
    """A training that ended because it was told to, its state saved. number: of the signal."""

    def __init__(self, number: int, message: str = "the state is kept") -> None:
        super().__init__(message)
        self.number = number


class StopRequest:
    """A signal that came, kept until it suits. A second Ctrl-C does not wait."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._at_once = False

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Take the place of the signals' handlers; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal end what is inside, with StoppedTraining: for work that leaves no trace."""
        self._at_once = True
        try:
            if self.number is not None:
                raise StoppedTraining(self.number)
            yield
        finally:
            self._at_once = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
        if self._at_once:
            raise StoppedTraining(number)
