"""Weights for the image trunk alone: an ImageNet ResNet-50, -101 or -152 under torchvision's names,
as OFA starts from.

The file is safetensors or PyTorch's, with or without the fourth stage and the classifier, which OFA
drops. Pixels come as (x - 0.5) / 0.5 here; where weights were trained with ImageNet's mean and
deviation, the difference is folded into the first convolution and its norm. That is exact but for
the outermost pixels, where zeros are padded: black there before, grey now.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mue_cli.errors import CheckpointError, MissingStepError
from mue_cli.model.resnet import ResNet
from mue_cli.model.tensor_file import open_tensors

Pixels = Literal["imagenet", "half"]
"""imagenet: (x - mean) / deviation of ImageNet, as torchvision's weights want; half: (x - 0.5) /
0.5, as OFA's."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
STAGES = {(3, 4, 6): "ResNet-50", (3, 4, 23): "ResNet-101", (3, 8, 36): "ResNet-152"}
UNUSED = ("layer4.", "fc.")
COUNTER = "num_batches_tracked"
SHOWN = 3
FAR, NEAR = 1.7, 1.3
"""An answer this many times as strong as in training, or as weak, is odd; this many is not."""


def load_resnet(trunk: ResNet, path: Path, pixels: Pixels = "imagenet") -> None:
    """Fill the trunk from a file. pixels: what the weights were trained with.

    Raises MissingStepError without a file, CheckpointError naming tensors that are missing, of
    another shape, unknown or not finite, and when the file is of a deeper or shallower ResNet.
    """
    if not path.is_file():
        raise MissingStepError(
            f"no ResNet weights at `{path}`", "model.resnet_weights names a .safetensors or .pth"
        )
    file = open_tensors(path)
    shapes = {name: shape for name, shape in file.shapes.items() if not name.startswith(UNUSED)}
    _check_depth(shapes, trunk, path)
    own = {name: tensor for name, tensor in trunk.state_dict().items() if COUNTER not in name}
    _check_names(shapes, own, path)
    weights = {name: tensor.float().clone() for name, tensor in file.read(list(own))}
    _raise_for(
        [f"{name} has values that are not finite" for name in own if not _finite(weights[name])],
        path,
    )
    if pixels == "imagenet":
        _fold_pixels(weights)
    trunk.load_state_dict(weights, strict=False)


@torch.no_grad()
def pixel_doubt(trunk: ResNet, images: Tensor, pixels: Pixels) -> str | None:
    """Say why `pixels` seems not to be what the trunk's weights were trained with, None where all
    is well.

    images: (B, 3, I, I), as the trunk gets them. The first norm remembers how strongly its
    convolution answered in training; under the wrong `pixels` it answers 2.2 times as strongly to
    photographs, or as weakly, and what the later layers make of that is worth little.
    """
    other: Pixels = "half" if pixels == "imagenet" else "imagenet"
    scale, shift = _half_to_imagenet()
    changed = (images - shift) / scale if pixels == "imagenet" else images * scale + shift
    now, then = _strength(trunk, images), _strength(trunk, changed)
    if _is_within(now, FAR) or not _is_within(then, NEAR):
        return None
    return (
        f"with model.resnet_pixels={pixels} the ResNet answers {now:.1f} times as strongly as when "
        f"its weights were trained, with {other} it would be {then:.1f} times: which is it?"
    )


def _strength(trunk: ResNet, images: Tensor) -> float:
    """Return how strongly the first convolution answers, as a multiple of what its norm knows; the
    median of the channels.
    """
    norm, answer = trunk.bn1, trunk.conv1(images)  # (B, C, h, w)
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    squares = (answer - mean[:, None, None]).square().mean((0, 2, 3)) / variance
    return float(squares.sqrt().median())


def _is_within(ratio: float, factor: float) -> bool:
    return 1.0 / factor < ratio < factor


def _check_depth(shapes: Mapping[str, tuple[int, ...]], trunk: ResNet, path: Path) -> None:
    """A wrong depth is one mistake, not a list of missing tensors."""
    blocks = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{stage}.")})
        for stage in (1, 2, 3)
    )
    wanted = (len(trunk.layer1), len(trunk.layer2), len(trunk.layer3))
    if blocks == wanted or blocks not in STAGES:
        return
    raise CheckpointError(
        f"{path} is a {STAGES[blocks]}, the model's trunk is {_title(wanted)}",
        f"--set model.config.resnet_blocks={list(blocks)}",
    )


def _title(blocks: tuple[int, int, int]) -> str:
    return f"a {STAGES[blocks]}" if blocks in STAGES else f"one of {blocks} blocks"


def _check_names(
    shapes: Mapping[str, tuple[int, ...]], own: Mapping[str, Tensor], path: Path
) -> None:
    problems = [f"missing {name}" for name in own if name not in shapes]
    problems += [f"unknown {name}" for name in shapes if name not in own and COUNTER not in name]
    problems += [
        f"{name} is {shapes[name]}, expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in shapes and shapes[name] != tuple(tensor.shape)
    ]
    _raise_for(problems, path)


def _raise_for(problems: list[str], path: Path) -> None:
    if not problems:
        return
    more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    raise CheckpointError(
        f"{path} does not fit the model's ResNet: {'; '.join(problems[:SHOWN])}{more}",
        "it takes ResNet-50, -101 or -152 under torchvision's names",
    )


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _half_to_imagenet() -> tuple[Tensor, Tensor]:
    """Return scale and shift, (3, 1, 1), that turn y = (x - 0.5) / 0.5 into (x - mean) / std."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    return (0.5 / std)[:, None, None], ((0.5 - mean) / std)[:, None, None]


def _fold_pixels(weights: dict[str, Tensor]) -> None:
    """Let conv1 and bn1 take (x - 0.5) / 0.5. The constant's share of a convolution moves into the
    norm's running mean.
    """
    scale, shift = _half_to_imagenet()
    kernel = weights["conv1.weight"]  # (C, 3, 7, 7)
    constant = torch.einsum("oikl,i->o", kernel, shift.flatten())
    weights["conv1.weight"] = kernel * scale
    weights["bn1.running_mean"] = weights["bn1.running_mean"] - constant
