"""An ImageNet ResNet's weights: which files fit, what is folded, and what is said of others."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mue_cli.errors import CheckpointError, MissingStepError
from mue_cli.model.resnet import ResNet
from mue_cli.model.resnet_weights import IMAGENET_MEAN, IMAGENET_STD, load_resnet, pixel_doubt

REAL = os.environ.get("MUE_RESNET50", "")
"""A real ResNet-50's file, its first convolution rescaled for (x - 0.5) / 0.5; none comes along."""


def trunk(blocks: tuple[int, int, int] = (3, 4, 6), width: int = 8) -> ResNet:
    return ResNet(blocks, width).eval()


def weights(seed: int = 0, **changes: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    model = trunk()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return {**model.state_dict(), **changes}


def written(folder: Path, tensors: dict[str, Tensor], name: str = "r.safetensors") -> Path:
    path = folder / name
    if name.endswith(".pth"):
        torch.save(tensors, path)
    else:
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return path


@pytest.mark.parametrize("name", ["r.safetensors", "r.pth"])
def test_both_kinds_of_file_fill_the_trunk_and_what_ofa_drops_is_passed_over(
    tmp_path: Path, name: str
) -> None:
    tensors = weights()
    more = {"fc.weight": torch.ones(10, 16), "layer4.0.conv1.weight": torch.ones(4, 4, 1, 1)}
    model = trunk()
    load_resnet(model, written(tmp_path, tensors | more, name), "half")
    own = model.state_dict()
    assert all(torch.equal(own[key], tensors[key]) for key in own if "num_batches" not in key)


def test_half_precision_numbers_become_float32(tmp_path: Path) -> None:
    tensors = {key: value.half() if value.ndim == 4 else value for key, value in weights().items()}
    model = trunk()
    load_resnet(model, written(tmp_path, tensors), "half")
    assert model.conv1.weight.dtype == torch.float32


def test_imagenets_pixels_are_folded_into_the_first_convolution(tmp_path: Path) -> None:
    """Away from the border, our pixels through folded weights give what ImageNet's give through the
    file's own.
    """
    tensors, ours, theirs = weights(), trunk(), trunk()
    path = written(tmp_path, tensors)
    load_resnet(ours, path, "imagenet")
    load_resnet(theirs, path, "half")
    pixels = torch.rand(1, 3, 40, 40)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    folded = ours.bn1(ours.conv1((pixels - 0.5) / 0.5))
    direct = theirs.bn1(theirs.conv1((pixels - mean[:, None, None]) / std[:, None, None]))
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert torch.allclose(folded[inner], direct[inner], atol=1e-4)
    assert not torch.allclose(folded, direct, atol=1e-2), "the border differs, as is said"


def test_a_resnet_of_another_depth_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, weights())
    with pytest.raises(CheckpointError, match="is a ResNet-50, the model's trunk is a ResNet-101"):
        load_resnet(trunk((3, 4, 23)), path)


def test_missing_misshapen_foreign_and_broken_tensors_are_named(tmp_path: Path) -> None:
    tensors = weights()
    del tensors["bn1.bias"]
    with pytest.raises(CheckpointError, match=r"missing bn1\.bias"):
        load_resnet(trunk(), written(tmp_path, tensors))
    with pytest.raises(CheckpointError, match=r"unknown visual\.proj"):
        load_resnet(trunk(), written(tmp_path, weights(**{"visual.proj": torch.ones(2)})))
    wrong = weights(**{"conv1.weight": torch.ones(8, 3, 3, 3)})
    with pytest.raises(
        CheckpointError, match=r"conv1.weight is \(8, 3, 3, 3\), expected \(8, 3, 7"
    ):
        load_resnet(trunk(), written(tmp_path, wrong))
    broken = weights(**{"bn1.bias": torch.full((8,), torch.nan)})
    with pytest.raises(CheckpointError, match=r"bn1\.bias has values that are not finite"):
        load_resnet(trunk(), written(tmp_path, broken))


def test_a_file_that_is_not_there_or_no_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingStepError, match="no ResNet weights at"):
        load_resnet(trunk(), tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello, this is no file of weights")
    with pytest.raises(CheckpointError, match="neither a safetensors nor a PyTorch file"):
        load_resnet(trunk(), tmp_path / "text.pth")


@pytest.mark.skipif(not REAL, reason="MUE_RESNET50 names no file of real weights")
def test_a_real_resnet_50_fits() -> None:
    model = trunk(width=64)
    load_resnet(model, Path(REAL), "half")
    features = model(torch.rand(1, 3, 160, 160) * 2 - 1)
    assert features.shape == (1, 1024, 10, 10)
    assert 0.05 < features.mean() < 1.0


def trained_on(images: Tensor, pixels: str) -> dict[str, Tensor]:
    """Return weights whose first norm knows what the first convolution answers to images in [0,
    1] that come in this form.
    """
    model = trunk()
    mean, std = (torch.tensor(each)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
    came = (images - mean) / std if pixels == "imagenet" else (images - 0.5) / 0.5
    answer = model.conv1(came)
    model.bn1.running_mean.copy_(answer.mean((0, 2, 3)))
    model.bn1.running_var.copy_(answer.var((0, 2, 3)))
    return model.state_dict()


@torch.no_grad()
@pytest.mark.parametrize("pixels", ["imagenet", "half"])
def test_weights_that_want_other_pixels_are_doubted_and_others_are_not(
    tmp_path: Path, pixels: str
) -> None:
    torch.manual_seed(3)
    photographs = (torch.rand(8, 3, 5, 5) * 0.9).repeat_interleave(8, 2).repeat_interleave(8, 3)
    path = written(tmp_path, trained_on(photographs, pixels))
    for said in ("imagenet", "half"):
        model = trunk()
        load_resnet(model, path, said)  # type: ignore[arg-type]
        doubt = pixel_doubt(model, photographs * 2.0 - 1.0, said)  # type: ignore[arg-type]
        if said == pixels:
            assert doubt is None
        else:
            assert doubt is not None and f"with {pixels} it would be 1." in doubt
        smooth = pixel_doubt(model, torch.zeros(1, 3, 40, 40), said)  # type: ignore[arg-type]
        assert smooth is None, "odd pictures are no reason"
