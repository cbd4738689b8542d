"""Several processes that do one piece of work together, started by `torchrun`.

Each takes every count-th item, from its rank on; the results of all are merged once. A single
process is the case count = 1, for which nothing here costs anything.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, distributed

from mue_cli.errors import MueError

T = TypeVar("T")


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
        if self.count == 1:
            return list(own)
        parts: list[Sequence[T]] = [()] * self.count
        distributed.all_gather_object(parts, list(own))
        merged = [parts[item % self.count][item // self.count] for item in range(num_items)]
        assert sum(map(len, parts)) == num_items
        return merged

    def gather(self, own: T) -> list[T]:
        """Return what each process has, by rank."""
        if self.count == 1:
            return [own]
        parts: list[T] = [own] * self.count
        distributed.all_gather_object(parts, own)
        return parts

    def add(self, values: Tensor) -> Tensor:
        """Add up the values of all processes in place, the same bits everywhere."""
        if self.count > 1:
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

    def first(self, value: T) -> T:
        """Return what the first process has."""
        if self.count == 1:
            return value
        parts = [value]
        distributed.broadcast_object_list(parts, src=0)
        return parts[0]


ALONE = Processes()


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, if it did. device: cpu or cuda; each process gets
    a GPU of its own. Raises MueError where there are fewer GPUs than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(device=device)
        return
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise MueError(
                f"process {local} has no GPU: this machine has {torch.cuda.device_count()}",
                "start as many processes as there are GPUs",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, device)
    finally:
        distributed.destroy_process_group()
