"""Processes forked from the tests' own: as real as any, without seconds of importing torch."""

import atexit
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from typing import IO

import torch
from conftest import Answer


class Forked:
    """A process that does some work, in its own environment and with its own stdout and stderr."""

    def __init__(self, work: Callable[[], object], stdout: int | None = None, **variables: str):
        """stdout: where the answer goes, a descriptor; None to keep it for `ended`."""
        self._kept = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        answer, talk = (file.fileno() for file in self._kept)
        streams = (answer if stdout is None else stdout, talk)
        self._process = multiprocessing.get_context("fork").Process(
            target=_do, args=(work, streams, variables)
        )
        self._process.start()

    def ended(self) -> Answer:
        """Wait for the end; return the exit code, negative for a signal, and what was said."""
        self._process.join(300)
        assert self._process.exitcode is not None, "it hangs"
        return Answer(self._process.exitcode, *map(_text, self._kept))


def _do(work: Callable[[], object], streams: tuple[int, int], variables: dict[str, str]) -> None:
    atexit._clear()  # what the tests' own process does at its end
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
    sys.__stdout__ = sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.__stderr__ = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.environ |= variables
    torch.set_num_threads(1)  # OpenMP's other threads are not forked
    try:
        work()
    finally:
        atexit._run_exitfuncs()


def launched(work: Callable[[], object], count: int) -> list[Answer]:
    """Let so many processes do some work, as torchrun does, without Java."""
    port = str(29500 + os.getpid() % 1000)
    together = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    own = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    started = [Forked(work, PATH="", **together, **each) for each in own]
    return [each.ended() for each in started]


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
