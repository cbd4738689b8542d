"""Several processes that do one piece of work together, started by `torchrun`.

Each takes every count-th item, from its rank on; the results of all are merged once. A single
process is the case count = 1, for which nothing here costs anything.
"""

import atexit
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast

import torch
from torch import Tensor, distributed

from mue_cli.errors import MueError

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""How long the others wait while one scores or times: the end of a process is noticed at once."""
FAILURE = "mue failure"
SECONDS_FOR_NEWS = 2.0


@dataclass(frozen=True)
class Processes:
    """rank: which of `count` processes this one is. device: what it computes on."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def writes(self) -> bool:
        """Tell whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def share(self, num_items: int) -> range:
        """Return the numbers of the items that this process works on."""
        return range(self.rank, num_items, self.count)

    def merge(self, own: Sequence[T], num_items: int) -> list[T]:
        """Return the results of all processes' shares in the items' order, the same everywhere."""
        parts = self.gather(list(own))
        assert sum(map(len, parts)) == num_items
        return [parts[item % self.count][item // self.count] for item in range(num_items)]

    def gather(self, own: T) -> list[T]:
        """Return what each process has, by rank."""
        parts: list[T] = [own] * self.count
        if self.count > 1:
            with _exchange():
                distributed.all_gather_object(parts, own)
        return parts

    def add(self, values: Tensor) -> Tensor:
        """Add up the values of all processes in place, the same bits everywhere."""
        if self.count > 1:
            with _exchange():
                distributed.all_reduce(values)
        return values

    def add_all(self, tensors: Sequence[Tensor]) -> None:
        """Add up many tensors of one kind in place, in one exchange."""
        if self.count == 1 or not tensors:
            return
        flat = self.add(torch.cat([tensor.flatten() for tensor in tensors]))
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, summed in zip(tensors, flat.split(sizes), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def first(self, value: Callable[[], T]) -> T:
        """Return what the first process computes; the others wait for it."""
        parts = [value() if self.writes else None]
        if self.count > 1:
            with _exchange():
                distributed.broadcast_object_list(parts, src=0)
        return cast(T, parts[0])

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.gather(None)


ALONE = Processes()


def join(device: torch.device) -> Processes:
    """Join the processes that `torchrun` started, if it did, for as long as this one lives.

    device: cpu or cuda; each process gets a GPU of its own. Raises MueError where there are fewer
    GPUs than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(device=device)
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise MueError(
                f"process {local} has no GPU: this machine has {torch.cuda.device_count()}",
                "start as many processes as there are GPUs",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
        atexit.register(distributed.destroy_process_group)
    return Processes(rank, count, device)


class LostProcessError(MueError):
    """Another of the processes went away in the middle of common work."""


@contextmanager
def _exchange() -> Iterator[None]:
    """Say what a broken connection means. Raises LostProcessError."""
    try:
        yield
    except RuntimeError:
        raise LostProcessError(
            "another of the processes ended, and this one with it",
            "torchrun says which; what was kept before is whole",
        ) from None


@contextmanager
def ending_together(processes: Processes) -> Iterator[None]:
    """End all processes when one ends, with one message: the first process says what went wrong in
    any of them, the others end in silence.

    Raises the error of another process in the first, SystemExit in the others.
    """
    try:
        yield
    except BaseException as error:
        if processes.count == 1 or isinstance(error, SystemExit):
            raise
        if not processes.writes:
            _leave(error)
        if isinstance(error, LostProcessError | KeyboardInterrupt):
            raise _failure_elsewhere(isinstance(error, LostProcessError)) or error from None
        raise


def _leave(error: BaseException) -> NoReturn:
    """Tell the first process of an error of this one, and end."""
    if isinstance(error, Exception) and not isinstance(error, LostProcessError):
        if not isinstance(error, MueError | OSError):
            traceback.print_exception(error, file=sys.__stderr__)
        with suppress(Exception):  # nobody is left to be told
            _store().set(FAILURE, pickle.dumps(error).hex())
    raise SystemExit(2 if isinstance(error, Exception) else 130) from None


def _failure_elsewhere(is_sure: bool) -> Exception | None:
    """Return what another process told of its end, where one is sure to have ended after a while;
    None for one that could tell nothing.
    """
    deadline = time.monotonic() + (SECONDS_FOR_NEWS if is_sure else 0.0)
    with suppress(Exception, KeyboardInterrupt):  # the store may be gone, and torchrun ends us
        while not _store().check([FAILURE]):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
        return cast(Exception, pickle.loads(bytes.fromhex(_store().get(FAILURE).decode())))
    return None


def _store() -> Any:
    return distributed.distributed_c10d._get_default_store()
