"""Modules without values, for weights that a file brings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DRAWING = (Tensor.normal_, Tensor.uniform_)


@contextmanager
def unfilled() -> Iterator[None]:
    """Make modules that are built inside on PyTorch's device "meta", and draw no values for them.

    PyTorch's own modules draw values as they are made. On "meta" that would give none either, but
    import PyTorch's compiler, which takes seconds. `allocate` gives them memory.
    """
    with torch.device("meta"), _NothingDrawn():
        yield


def allocate(module: nn.Module, device: torch.device | str | None = None) -> None:
    """Give every tensor of an unfilled module memory on a device (None: the CPU), in place; values
    are whatever was there.

    `nn.Module.to_empty` does the same, and takes half a second to import symbolic algebra. Raises
    ValueError for a tensor that the state dict does not have.
    """
    state = module.state_dict(keep_vars=True)
    once = {
        id(each): torch.empty(each.shape, dtype=each.dtype, device=device or "cpu")
        for each in state.values()
    }
    module.load_state_dict({name: once[id(each)] for name, each in state.items()}, assign=True)
    left = [name for name, each in module.named_buffers() if each.is_meta]
    if left:
        raise ValueError(f"no memory for {left}: they are in no state dict")


class _NothingDrawn(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in _DRAWING or getattr(func, "__module__", "") == torch.nn.init.__name__:
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)
