"""The image trunk: the first three stages of a ResNet v1.5 (stride on the 3x3), 16 pixels per
output cell.

He et al., CVPR 2016; OFA drops the fourth stage and the pooling. Parameter names are torchvision's,
which OFA kept. Shape letters: B rows, C channels, I image side, h and w grid sides (I / 16, rounded
up).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION = 4


PIXEL_CHANNELS = 3


def are_features(images: Tensor) -> bool:
    """Tell whether a trunk has seen these (B, C, h, w) already: a frozen trunk's features are
    computed once and come in place of pixels.
    """
    return images.shape[1] != PIXEL_CHANNELS


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut; `downsample` where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class ResNet(nn.Module):
    """Turn (B, 3, I, I) images into (B, 16 * width, h, w) features; features pass as they are.

    blocks: bottlenecks in each stage. width: channels after the stem.
    """

    def __init__(self, blocks: tuple[int, int, int], width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.out_channels = width
        self.layer1 = self._stage(width, blocks[0], stride=1)
        self.layer2 = self._stage(2 * width, blocks[1], stride=2)
        self.layer3 = self._stage(4 * width, blocks[2], stride=2)

    def _stage(self, channels: int, num_blocks: int, stride: int) -> nn.Sequential:
        stage = []
        for block in range(num_blocks):
            stage.append(Bottleneck(self.out_channels, channels, stride if block == 0 else 1))
            self.out_channels = channels * EXPANSION
        return nn.Sequential(*stage)

    def forward(self, images: Tensor) -> Tensor:
        if are_features(images):
            return images.to(self.conv1.weight.dtype)
        images = images.contiguous(memory_format=torch.channels_last)  # 1.4 times as fast on CPUs
        x = F.relu(self.bn1(self.conv1(images)))  # (B, 3, I, I) -> (B, C, I/2, I/2)
        x = F.max_pool2d(x, 3, 2, padding=1)
        return self.layer3(self.layer2(self.layer1(x)))  # -> (B, 16 C, I/16, I/16)
