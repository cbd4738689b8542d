"""The most this machine gives: the rate of large matrix products and the speed of reading memory,
as a program reaches them.
"""

import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import cast

import torch

from mue_cli.inference.precision import at_precision
from mue_cli.model.config import OFAConfig
from mue_cli.model.layers import EncoderLayer
from mue_cli.model.ofa import OFA

SECONDS = 0.5
"""How long each ceiling is tried; the best try counts, since neighbours on the machine can only
slow one down.
"""
BUFFER_BYTES = 2**29
"""Far more than the caches of one processor hold."""
DIM, FFN_DIM = 1024, 4096
ROWS = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class Ceilings:
    """Billions a second. gflops_packed: of products the way the model computes them. gflops_mm: by
    torch.mm. gbytes_read: of memory.
    """

    gflops_packed: float
    gflops_mm: float
    gbytes_read: float

    @property
    def gflops(self) -> float:
        """The better of the two ways."""
        return max(self.gflops_packed, self.gflops_mm)

    def best(self, other: "Ceilings") -> "Ceilings":
        """Return the higher of each: a machine that was busy for a while can do what it did at
        another time.
        """
        return Ceilings(*map(max, astuple(self), astuple(other)))

    def least_ms(self, flops: float, bytes_read: float) -> float:
        """Return the least time this machine needs for so many operations on so many bytes."""
        return max(flops / self.gflops, bytes_read / self.gbytes_read) / 1e6


@torch.inference_mode()
def measure_ceilings(
    precision: str, device: torch.device, synchronize: Callable[[], object] | None = None
) -> Ceilings:
    """Measure all three now, with the threads there are. Raises MueError for a precision that
    cannot be had.
    """
    model = at_precision(_one_layer().to(device), precision)
    linear, dtype = (
        cast(EncoderLayer, model.encoder.layers[0]).fc1,
        model.encoder.embed_positions.weight.dtype,
    )
    x, matrix = (
        torch.randn(size, device=device, dtype=dtype)
        for size in ((ROWS[device.type], DIM), (DIM, FFN_DIM))
    )
    buffer = torch.ones(BUFFER_BYTES // 4, device=device)
    products = 2.0 * len(x) * DIM * FFN_DIM
    return Ceilings(
        gflops_packed=products / _best(lambda: linear(x), synchronize) / 1e9,
        gflops_mm=products / _best(lambda: torch.mm(x, matrix), synchronize) / 1e9,
        gbytes_read=buffer.nbytes / _best(buffer.sum, synchronize) / 1e9,
    )


def _one_layer() -> OFA:
    """Return a model whose feed-forward layer is a large matrix: what prepares the model for speed
    prepares this one likewise.
    """
    return OFA(
        OFAConfig(
            8,
            DIM,
            FFN_DIM,
            16,
            1,
            1,
            (1, 1, 1),
            resnet_width=4,
            max_positions=8,
            token_buckets=4,
            image_buckets=2,
        )
    ).eval()


def _best(program: Callable[[], object], synchronize: Callable[[], object] | None) -> float:
    """Return the shortest time of a program in seconds."""
    wait = synchronize or (lambda: None)
    program()
    wait()
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 2:
        start = time.perf_counter()
        program()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)
