"""Functions of tensors of fixed shapes, recorded once as CUDA graphs and replayed.

At one picture a layer computes for less time than the host needs to launch its kernels. A replayed
layer is one launch. What it returns lives until the same function is replayed.
"""

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

Function = Callable[..., Tensor]
Kept = TypeVar("Kept")
WARM_UPS = 2
"""Runs before recording, in which libraries choose their kernels and allocate what they need."""


class Program(Protocol):
    def __call__(self, *inputs: Tensor) -> Tensor: ...


class CudaProgram:
    """One function as a CUDA graph."""

    def __init__(self, function: Function, inputs: tuple[Tensor, ...], pool: Any) -> None:
        self._function = function  # what it closes over is read at every replay
        self._inputs = [each.clone() for each in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._output = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        for buffer, value in zip(self._inputs, inputs, strict=True):
            buffer.copy_(value)
        self._graph.replay()
        return self._output


class Recorder:
    """The programs of one model, by what they are and the shapes they take, and the tensors they
    work on.

    record: makes a program of a function and example inputs.
    """

    def __init__(
        self, record: Callable[[Function, tuple[Tensor, ...]], Program] | None = None
    ) -> None:
        if record is None:
            pool = torch.cuda.graph_pool_handle()
            record = lambda function, inputs: CudaProgram(function, inputs, pool)  # noqa: E731
        self._record = record
        self._programs: dict[Hashable, Program] = {}
        self._kept: dict[Hashable, object] = {}

    def __call__(self, name: Hashable, function: Function, *inputs: Tensor) -> Tensor:
        """Return function(*inputs). name: tells the function, and all it reads besides, apart."""
        key = (name, *((tuple(each.shape), each.dtype) for each in inputs))
        if key not in self._programs:
            self._programs[key] = self._record(function, inputs)
        return self._programs[key](*inputs)

    def kept(self, name: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return what is kept under a name for as long as programs may read it; made when first
        wanted.
        """
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]  # type: ignore[return-value]
