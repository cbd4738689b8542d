"""A model's copy for inference on a CPU: the same layers, with matrices in the layout that oneDNN
multiplies fastest.

PyTorch gives float32 products to another library, which reaches less than half of oneDNN's rate on
some processors and reads the weights of a single word at a third of the memory's speed. Here linear
layers and the head are packed once, batch norm is folded into the convolutions, ReLU into both.
Results differ from the model's own by rounding alone.

On others it is oneDNN that reads the weights of a single word too slowly; columns that lie in one
piece are read a quarter faster. There the decoder keeps its matrices that way too, for single rows.

Shape letters: B rows, C channels, I image side, h and w grid sides.
"""

import copy
import time
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mue_cli.model.ofa import OFA
from mue_cli.model.resnet import Bottleneck, ResNet, are_features

PICTURES_AT_ONCE = 1
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


def packed(model: OFA, dtype: torch.dtype = torch.float32) -> OFA:
    """Return a copy of a float32 model on a CPU that computes the same, faster; norms and
    embeddings are shared, matrices are not.

    It follows no later change of the weights. dtype: float32 or bfloat16, of all it holds. Where
    packing cannot be had, on a GPU or with a PyTorch that lacks the operators, it is the model
    itself, or a plain copy in the other precision.
    """
    weight = model.encoder.embed_tokens.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not operators_work():
        return model if weight.dtype in (dtype, torch.float64) else copy.deepcopy(model).to(dtype)
    fast = _converted(model, dtype)
    assert isinstance(fast, OFA)
    if weight.numel() >= SMALLEST:
        # In place of the method; no submodule, since the weight is the embedding's.
        fast.decoder.__dict__["project_out"] = PackedLinear(weight, None, dtype)
    if dtype == torch.float32 and columns_are_faster():
        _keep_columns(fast, model)
    return fast


def packed_part(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a copy of a float32 module, such as a readout, with its matrices packed where that can
    be had; see `packed`.
    """
    if next(module.parameters()).device.type != "cpu" or not operators_work():
        return module if dtype == torch.float32 else copy.deepcopy(module).to(dtype)
    return _converted(module, dtype)


@cache
def operators_work() -> bool:
    """Tell whether this PyTorch can pack, by packing and comparing: the operators are those its own
    compiler uses, and no promise.
    """
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, generator=generator) for shape in ((3, 8), (16, 8), (16,))
    )
    image, kernel = (
        torch.randn(1, 4, 6, 6, generator=generator),
        torch.randn(8, 4, 3, 3, generator=generator),
    )
    try:
        linear = PackedLinear(weight, bias)(x)
        convolved = _convolve(image, _Kernel(kernel, bias[:8], 2, 1), relu=True)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.allclose(linear, F.linear(x, weight, bias), atol=1e-5) and torch.allclose(
        convolved, F.relu(F.conv2d(image, kernel, bias[:8], 2, 1)), atol=1e-5
    )


@cache
def columns_are_faster() -> bool:
    """Tell whether a single row is multiplied faster by columns than by the packed matrix, by
    timing both: processors differ.
    """
    weight = torch.ones(TRIAL)
    packed_alone, with_columns = PackedLinear(weight, None), PackedLinear(weight, None)
    with_columns.keep_columns(weight)
    row = torch.ones(1, TRIAL[1])
    tries = [(_seconds(packed_alone, row), _seconds(with_columns, row)) for _ in range(7)]
    packed_best, columns_best = map(min, zip(*tries, strict=True))
    return columns_best < packed_best


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
    head = fast.decoder.__dict__.get("project_out")
    if head is not None:
        # The copy embeds from the head's columns, so that it needs no embedding beside them.
        embedding = nn.Embedding.from_pretrained(
            head.keep_columns(model.encoder.embed_tokens.weight)
        )
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


class PackedLinear(nn.Module):
    """x W^T + b with W packed; a single row is multiplied by columns once they are kept."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype), None)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.columns: Tensor | None = None

    def keep_columns(self, weight: Tensor) -> Tensor:
        """Keep the matrix, (out, in), a second time with every column in one piece; return it."""
        self.columns = weight.detach().t().contiguous().t()
        return self.columns

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        if self.columns is not None and x.numel() == self.columns.shape[1]:
            return F.linear(x, self.columns, self.bias)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.weight, self.bias, "none", [], "")


class _Kernel:
    """A convolution and the batch norm behind it as one convolution."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        stride: int,
        padding: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.weight = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias, self.stride, self.padding = bias.detach().to(dtype), [stride] * 2, [padding] * 2


def _folded(convolution: nn.Module, norm: nn.Module, dtype: torch.dtype) -> _Kernel:
    """Fold running statistics, scale and shift into the kernel: norm(conv(x)) = (s w) * x + (b - s
    mean), s = scale / deviation.
    """
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = convolution.weight * scale[:, None, None, None]
    return _Kernel(
        weight,
        norm.bias - scale * norm.running_mean,
        convolution.stride[0],
        int(convolution.padding[0]),
        dtype,
    )


def _convolve(x: Tensor, kernel: _Kernel, relu: bool) -> Tensor:
    arguments: tuple[Any, ...] = (
        x,
        kernel.weight,
        kernel.bias,
        kernel.padding,
        kernel.stride,
        [1, 1],
        1,
    )
    return torch.ops.mkldnn._convolution_pointwise.default(
        *arguments, "relu" if relu else "none", [], ""
    )


class FoldedResNet(nn.Module):
    """ResNet in evaluation mode: channels last, batch norm folded, ReLU with the convolution."""

    def __init__(self, trunk: ResNet, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.stem = _folded(trunk.conv1, trunk.bn1, dtype)
        stages = (trunk.layer1, trunk.layer2, trunk.layer3)
        self.blocks = [
            _FoldedBlock(block, dtype)
            for stage in stages
            for block in stage
            if isinstance(block, Bottleneck)
        ]

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, 3, I, I) into (B, C, h, w), as ResNet does, picture by picture: several at once
        only leave the caches. Features pass as they are.
        """
        if are_features(images):
            return images
        parts = [self._features(part) for part in images.split(PICTURES_AT_ONCE)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _features(self, images: Tensor) -> Tensor:
        x = _convolve(images.contiguous(memory_format=torch.channels_last), self.stem, relu=True)
        x = F.max_pool2d(x, 3, 2, padding=1)
        for block in self.blocks:
            x = block(x)
        return x


class _FoldedBlock:
    def __init__(self, block: Bottleneck, dtype: torch.dtype) -> None:
        self.first = _folded(block.conv1, block.bn1, dtype)
        self.second = _folded(block.conv2, block.bn2, dtype)
        self.third = _folded(block.conv3, block.bn3, dtype)
        shortcut = block.downsample
        self.shortcut = (
            _folded(shortcut[0], shortcut[1], dtype)
            if isinstance(shortcut, nn.Sequential)
            else None
        )

    def __call__(self, x: Tensor) -> Tensor:
        out = _convolve(_convolve(x, self.first, relu=True), self.second, relu=True)
        shortcut = x if self.shortcut is None else _convolve(x, self.shortcut, relu=False)
        return F.relu_(_convolve(out, self.third, relu=False).add_(shortcut))
