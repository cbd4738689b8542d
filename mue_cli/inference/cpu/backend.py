"""A model's copy for inference on a CPU: the same layers, with matrices in the layout that oneDNN
multiplies fastest.

PyTorch gives float32 products to another library, which reaches less than half of oneDNN's rate on
some processors and reads the weights of a single word at a third of the memory's speed. Here linear
layers and the head are packed once, batch norm is folded into the convolutions, ReLU into both.
Results differ from the model's own by rounding alone.

On others it is oneDNN that reads the weights of a single word too slowly; columns that lie in one
piece are read a quarter faster. There the decoder keeps its matrices that way too, for single rows.
"""

import copy
import time
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mue_cli.inference.cpu.choice import Choice, conditions, kept_choice
from mue_cli.inference.cpu.linear import PackedLinear
from mue_cli.inference.cpu.resnet import FoldedResNet, Kernel, convolve
from mue_cli.model.ofa import OFA
from mue_cli.model.resnet import ResNet

SMALLEST = 2**17
"""Matrices with fewer elements stay as they are: calling the operator would cost more than it
saves.
"""
OF_SINGLE_WORDS = (
    *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
    *(f"cross_attn.{name}_proj" for name in ("q", "out")),
    *("fc1", "fc2"),
)
"""The matrices of a decoder layer that every word goes through."""
TRIAL = (8192, 1024)
"""A matrix larger than a core's own caches."""
TRIES = 7


def packed(model: OFA, dtype: torch.dtype = torch.float32) -> OFA:
    """Return a copy of a float32 model on a CPU that computes the same, faster; norms and
    embeddings are shared, matrices are not.

    It follows no later change of the weights. dtype: float32 or bfloat16, of all it holds. Where
    packing cannot be had, on a GPU, with a PyTorch that lacks the operators, or in bfloat16 on a
    processor without such products, it is the model itself, or a plain copy in the other precision.
    """
    weight = model.encoder.embed_tokens.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not operators_work(dtype):
        return model if weight.dtype in (dtype, torch.float64) else copy.deepcopy(model).to(dtype)
    fast = _converted(model, dtype)
    assert isinstance(fast, OFA)
    if weight.numel() >= SMALLEST:
        fast.decoder.output_projection = PackedLinear(weight, None, dtype)
    if dtype == torch.float32 and columns_are_faster():
        _keep_columns(fast, model)
    return fast


def packed_part(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a copy of a float32 module, such as an exit head, with its matrices packed where that
    can be had; see `packed`.
    """
    if next(module.parameters()).device.type != "cpu" or not operators_work(dtype):
        return module if dtype == torch.float32 else copy.deepcopy(module).to(dtype)
    return _converted(module, dtype)


@cache
def operators_work(dtype: torch.dtype = torch.float32) -> bool:
    """Tell whether this PyTorch can pack on this processor, by packing and comparing: the operators
    are those its own compiler uses, and no promise.
    """
    generator = torch.Generator().manual_seed(0)
    x, weight, bias, image, kernel = (
        torch.randn(*shape, generator=generator).to(dtype)
        for shape in ((3, 8), (16, 8), (16,), (1, 4, 6, 6), (8, 4, 3, 3))
    )
    try:
        linear = PackedLinear(weight, bias, dtype)(x)
        convolved = convolve(image, Kernel(kernel, bias[:8], 2, 1, dtype), relu=True)
    except (AttributeError, RuntimeError):
        return False
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    return torch.allclose(linear, F.linear(x, weight, bias), atol=tolerance) and torch.allclose(
        convolved, F.relu(F.conv2d(image, kernel, bias[:8], 2, 1)), atol=tolerance
    )


@cache
def columns_are_faster() -> bool:
    """Tell whether a single row is multiplied faster by columns than by the packed matrix:
    processors differ. Measured once per machine; not where that cannot be kept.
    """
    never = Choice(False, "nothing can be kept in the cache folder")
    return kept_choice("columns", conditions(trial=TRIAL), _measure_columns, never).value


def _measure_columns() -> Choice:
    weight = torch.ones(TRIAL)
    packed_alone, with_columns = PackedLinear(weight, None), PackedLinear(weight, None)
    with_columns.keep_columns(weight)
    row = torch.ones(1, TRIAL[1])
    tries = [(_seconds(packed_alone, row), _seconds(with_columns, row)) for _ in range(TRIES)]
    packed_ms, columns_ms = (1e3 * min(each) for each in zip(*tries, strict=True))
    figures = f"one row of {TRIAL[0]} x {TRIAL[1]}: {columns_ms:.3f} ms by columns"
    return Choice(columns_ms < packed_ms, f"{figures}, {packed_ms:.3f} ms packed")


def _seconds(linear: nn.Module, x: Tensor) -> float:
    start = time.perf_counter()
    linear(x)
    return time.perf_counter() - start


def _keep_columns(fast: OFA, model: OFA) -> None:
    for layer, plain in zip(fast.decoder.stack(), model.decoder.stack(), strict=True):
        for name in OF_SINGLE_WORDS:
            linear, source = layer.get_submodule(name), plain.get_submodule(name)
            if isinstance(linear, PackedLinear) and isinstance(source, nn.Linear):
                linear.keep_columns(source.weight)
    head = fast.decoder.output_projection
    if isinstance(head, PackedLinear):
        # The copy embeds from the head's columns, so that it needs no embedding beside them.
        columns = head.keep_columns(model.encoder.embed_tokens.weight)
        embedding = nn.Embedding.from_pretrained(columns)
        fast.encoder.embed_tokens = fast.decoder.embed_tokens = embedding


def _converted(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    if isinstance(module, nn.Linear) and module.weight.numel() >= SMALLEST:
        return PackedLinear(module.weight, module.bias, dtype)
    if isinstance(module, ResNet):
        return FoldedResNet(module, dtype)
    twin = copy.copy(module)
    twin._modules = {
        name: child if child is None else _converted(child, dtype)
        for name, child in module._modules.items()
    }
    if dtype != torch.float32:
        twin._parameters = {
            name: None if p is None else nn.Parameter(p.detach().to(dtype))
            for name, p in module._parameters.items()
        }
    return twin
