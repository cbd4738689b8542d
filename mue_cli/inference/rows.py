"""Which rows of a batch are meant, and their numbers as an index on a device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Rows of a batch: their numbers, out of `total`."""

    numbers: tuple[int, ...]
    total: int

    @classmethod
    def all(cls, total: int) -> "Rows":
        return cls(tuple(range(total)), total)

    @property
    def are_all(self) -> bool:
        return len(self.numbers) == self.total

    def index(self, device: torch.device) -> Tensor:
        """Return the numbers as an index tensor."""
        return index_tensor(self.numbers, device)

    def take(self, tensor: Tensor) -> Tensor:
        """Return these rows of a tensor whose first dimension is the whole batch; no copy when all
        are meant.
        """
        return tensor if self.are_all else tensor[self.index(tensor.device)]

    def where(self, flags: Sequence[bool]) -> "Rows":
        """Return the rows whose flag is set."""
        return Rows(
            tuple(number for number, flag in zip(self.numbers, flags, strict=True) if flag),
            self.total,
        )


def index_tensor(
    numbers: Sequence[int] | Sequence[tuple[int, int]], device: torch.device
) -> Tensor:
    """Return whole numbers on a device. The host does not wait for the copy."""
    return torch.tensor(numbers, dtype=torch.long).to(device, non_blocking=True)
