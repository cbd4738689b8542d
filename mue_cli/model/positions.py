"""Which row of a relative-position table belongs to a pair of positions, and which absolute
position a patch has.

OFA keeps positions out of the content: attention adds a learned absolute bias (query-position times
key-position, shared by all layers) and a per-layer relative bias looked up here. The tables are
constants and kept; they are made outside inference mode, so that training can use them.
Shape letters: L text tokens, P patches of an h x w grid.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """How a stream is laid out: its patch grid (None without an image), then its text tokens.
    Biases depend on this alone.
    """

    grid: tuple[int, int] | None
    num_text: int

    @property
    def num_patches(self) -> int:
        return self.grid[0] * self.grid[1] if self.grid else 0

    def __len__(self) -> int:
        return self.num_patches + self.num_text


def token_bucket_rows(buckets: int) -> int:
    """Return the number of rows of a token relative-position table."""
    return 2 * buckets - 1


def image_bucket_rows(buckets: int) -> int:
    """Return the number of rows of an image relative-position table (three are kept for image
    codes, unused here).
    """
    return (2 * buckets - 1) ** 2 + 3


@lru_cache(maxsize=128)
@torch.inference_mode(False)
def token_buckets(length: int, buckets: int, max_positions: int) -> Tensor:
    """Return (L, L) table rows for query i and key j: exact near the diagonal, logarithmic beyond
    buckets / 2.
    """
    offsets = [
        _token_bucket(offset, buckets, max_positions) for offset in range(1 - length, length)
    ]
    position = torch.arange(length)
    relative = position[:, None] - position[None, :]
    return torch.tensor(offsets)[relative + length - 1]


def _token_bucket(relative: int, buckets: int, max_positions: int) -> int:
    middle = buckets // 2
    distance = abs(relative)
    if distance > middle:
        far = math.log(distance / middle) / math.log((max_positions - 1) / middle) * (middle - 1)
        distance = math.ceil(far) + middle
    return int(math.copysign(distance, relative)) + buckets - 1


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def image_buckets(grid: tuple[int, int], buckets: int) -> Tensor:
    """Return (P, P) table rows for query and key patches of the grid, row-major."""
    row, column = _rows_and_columns(grid)
    down = row[:, None] - row[None, :] + buckets - 1
    right = column[:, None] - column[None, :] + buckets - 1
    return down * (2 * buckets - 1) + right


def image_positions(grid: tuple[int, int], buckets: int) -> Tensor:
    """Return (P,) absolute position ids of the patches; a row of the table holds `buckets` columns
    and id 0 is reserved.
    """
    row, column = _rows_and_columns(grid)
    return row * buckets + column + 1


def _rows_and_columns(grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    height, width = grid
    index = torch.arange(height * width)
    return index // width, index % width
