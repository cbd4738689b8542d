"""The image trunk in evaluation mode: channels last, batch norm folded, ReLU with the convolution.

Shape letters: B rows, C channels, I image side, h and w grid sides.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mue_cli.model.resnet import Bottleneck, ResNet, are_features

PICTURES_AT_ONCE = 1


class Kernel:
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


def convolve(x: Tensor, kernel: Kernel, relu: bool) -> Tensor:
    """Apply a kernel to (B, C, h, w), and ReLU with it."""
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
    """ResNet with its frozen batch norms folded into the convolutions."""

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
        x = convolve(images.contiguous(memory_format=torch.channels_last), self.stem, relu=True)
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
        out = convolve(convolve(x, self.first, relu=True), self.second, relu=True)
        shortcut = x if self.shortcut is None else convolve(x, self.shortcut, relu=False)
        return F.relu_(convolve(out, self.third, relu=False).add_(shortcut))


def _folded(convolution: nn.Module, norm: nn.Module, dtype: torch.dtype) -> Kernel:
    """Fold running statistics, scale and shift into the kernel: norm(conv(x)) = (s w) * x + (b - s
    mean), s = scale / deviation.
    """
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return Kernel(
        convolution.weight * scale[:, None, None, None],
        norm.bias - scale * norm.running_mean,
        convolution.stride[0],
        int(convolution.padding[0]),
        dtype,
    )
