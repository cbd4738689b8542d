"""The numbers a model computes with at inference, by name. Speed against score: `mue evaluate`
shows both.

| name | what | where |
| --- | --- | --- |
| float32 | exact: what the weights say | everywhere |
| bfloat16 | half the memory traffic; 8 bits of mantissa, so a near-tie may fall the other way | CPUs with bfloat16 products, GPUs |
| int8 | linear layers and head with 8-bit weights; what enters them is scaled call by call, so a batch's neighbours can matter | CPUs |
"""

import copy
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import nn

from mue_cli.errors import MueError
from mue_cli.inference.cpu import packed, packed_part
from mue_cli.model.ofa import OFA


def at_precision(model: OFA, name: str) -> OFA:
    """Return a copy of a float32 model, in evaluation mode, for inference. Raises MueError for int8
    where it cannot be had.
    """
    return _PRECISIONS[name](model)


def head_at_precision(readout: nn.Module, name: str) -> nn.Module:
    """Return a copy of a float32 readout of the same kind as `at_precision` makes the model's own
    head of.
    """
    return _READOUT_PRECISIONS[name](readout)


def _int8(model: OFA) -> OFA:
    """Quantise the layers of both stacks and the head; positions, norms, image projection and
    ResNet stay float32.
    """
    if model.encoder.embed_tokens.weight.device.type != "cpu":
        raise MueError("int8 is for CPUs", "use bfloat16 on a GPU")
    fast = packed(model)
    fast = copy.copy(fast)
    fast._modules = dict(fast._modules)
    for name in ("encoder", "decoder"):
        part = copy.copy(fast._modules[name])
        assert part is not None
        part._modules = {
            **part._modules,
            "layers": _quantised(model.get_submodule(f"{name}.layers")),
        }
        fast._modules[name] = part
    weight = model.encoder.embed_tokens.weight
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    head.weight = nn.Parameter(weight.detach(), requires_grad=False)
    fast.decoder.__dict__["project_out"] = _quantised(nn.Sequential(head))
    return fast


def _quantised(module: nn.Module) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # PyTorch announces that this will move to a package of its own
            return torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)
    except (AttributeError, RuntimeError) as error:
        raise MueError(
            f"this PyTorch cannot quantise: {str(error).splitlines()[0]}", "use float32 or bfloat16"
        ) from None


_PRECISIONS: Mapping[str, Callable[[OFA], OFA]] = {
    "float32": packed,
    "bfloat16": lambda model: packed(model, torch.bfloat16),
    "int8": _int8,
}
_READOUT_PRECISIONS: Mapping[str, Callable[[nn.Module], nn.Module]] = {
    "float32": packed_part,
    "bfloat16": lambda readout: packed_part(readout, torch.bfloat16),
    "int8": _quantised,
}
