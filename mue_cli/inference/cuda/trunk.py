"""The image trunk for a GPU: batch norm folded into the convolutions, channels last.

Shape letters: B rows, C channels, I image side, h and w grid sides.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mue_cli.model.resnet import Bottleneck, ResNet, are_features


class FoldedTrunk(nn.Module):
    """ResNet in evaluation mode with its frozen batch norms folded away."""

    def __init__(self, trunk: ResNet) -> None:
        super().__init__()
        self.stem = _fused(trunk.conv1, trunk.bn1)
        stages = (trunk.layer1, trunk.layer2, trunk.layer3)
        self.blocks = nn.Sequential(
            *(
                _FoldedBlock(block)
                for stage in stages
                for block in stage
                if isinstance(block, Bottleneck)
            )
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, 3, I, I) into (B, C, h, w); features pass as they are."""
        if are_features(images):
            return images
        x = F.relu_(self.stem(images.contiguous(memory_format=torch.channels_last)))
        x = F.max_pool2d(x, 3, 2, padding=1)
        features: Tensor = self.blocks(x)
        return features


class _FoldedBlock(nn.Module):
    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.first = _fused(block.conv1, block.bn1)
        self.second = _fused(block.conv2, block.bn2)
        self.third = _fused(block.conv3, block.bn3)
        shortcut = block.downsample
        self.shortcut = (
            _fused(shortcut[0], shortcut[1])
            if isinstance(shortcut, nn.Sequential)
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu_(self.second(F.relu_(self.first(x))))
        return F.relu_(self.third(out).add_(self.shortcut(x)))


def _fused(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(copy.copy(convolution), norm)


def with_folded_trunk(module: nn.Module) -> nn.Module:
    """Return a copy of a module, sharing its parameters, whose image trunk is folded."""
    if isinstance(module, ResNet):
        return FoldedTrunk(module).eval()
    twin = copy.copy(module)
    twin._modules = {
        name: child if child is None else with_folded_trunk(child)
        for name, child in module._modules.items()
    }
    return twin
