"""A frozen trunk's features: what the trunk gives, once, and whole or not there."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mue_cli.data.images import preprocess
from mue_cli.errors import DataError
from mue_cli.model.resnet import ResNet
from mue_cli.training import features as module
from mue_cli.training.features import Features, cached_features, features_key

SIZE = 40


@pytest.fixture
def trunk() -> ResNet:
    torch.manual_seed(0)
    return ResNet((1, 1, 1), 8).eval()


@pytest.fixture
def pictures() -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (70, SIZE, SIZE, 3), dtype=np.uint8)
    return [Image.fromarray(each) for each in pixels]


def compute(trunk: ResNet, pictures: list[Image.Image], folder: Path, **options) -> Features:
    key = features_key(trunk, SIZE, "these")
    return cached_features(trunk, pictures, SIZE, folder, key, torch.device("cpu"), **options)


def test_features_are_the_trunks_own_in_bfloat16(trunk, pictures, tmp_path) -> None:
    found = compute(trunk, pictures, tmp_path)
    with torch.no_grad():
        expected = trunk(preprocess(pictures, SIZE)).permute(0, 2, 3, 1)
    assert len(found) == 70
    assert found[3].shape == (3, 3, 128)
    for row in (0, 31, 32, 69):
        assert torch.allclose(found[row].float(), expected[row], rtol=2**-7, atol=1e-6)


def test_they_are_computed_once(trunk, pictures, tmp_path) -> None:
    first = compute(trunk, pictures, tmp_path)
    moved = first.path.stat().st_mtime_ns
    again = compute(trunk, pictures, tmp_path)
    assert again.path == first.path
    assert again.path.stat().st_mtime_ns == moved


def test_weights_size_and_pictures_decide_the_key(trunk) -> None:
    other = copy.deepcopy(trunk)
    other.bn1.running_mean += 1
    keys = {
        features_key(trunk, SIZE, "these"),
        features_key(other, SIZE, "these"),
        features_key(trunk, SIZE + 16, "these"),
        features_key(trunk, SIZE, "those"),
    }
    assert len(keys) == 4
    assert features_key(copy.deepcopy(trunk), SIZE, "these") in keys


def test_a_run_that_was_stopped_is_gone_on_with(trunk, pictures, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PICTURES_AT_ONCE", 8)
    monkeypatch.setattr(module, "ROWS_PER_NOTE", 16)

    def stop(done: int, total: int, note: str) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute(trunk, pictures, tmp_path, progress=stop)
    assert not list(tmp_path.rglob("*.bf16")), "nothing half done has the final name"
    began: list[int] = []
    found = compute(trunk, pictures, tmp_path, progress=lambda done, total, _: began.append(done))
    assert began[0] == 32
    (tmp_path / "other").mkdir()
    other = compute(trunk, pictures, tmp_path / "other")
    assert found.path.read_bytes() == other.path.read_bytes()


def test_a_note_that_says_more_than_the_file_holds_is_not_believed(
    trunk, pictures, tmp_path
) -> None:
    first = compute(trunk, pictures, tmp_path)
    first.path.rename(first.path.with_suffix(".part"))
    first.path.with_suffix(".part").write_bytes(b"")
    began: list[int] = []
    compute(trunk, pictures, tmp_path, progress=lambda done, total, _: began.append(done))
    assert began[0] == 0


def test_a_file_cut_short_is_refused(trunk, pictures, tmp_path) -> None:
    path = compute(trunk, pictures, tmp_path).path
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match="is cut short"):
        compute(trunk, pictures, tmp_path)


def test_the_size_is_said_before_anything_is_computed(trunk, pictures, tmp_path) -> None:
    said: list[tuple[int, int, str]] = []
    compute(trunk, pictures, tmp_path, progress=lambda *each: said.append(each))
    assert said[0][:2] == (0, 70)
    assert said[0][2].startswith("0.0 GB in ")
    assert json.loads(next(tmp_path.rglob("*.json")).read_text())["done"] == 70


def test_the_trunk_is_left_as_it_was(trunk, pictures, tmp_path) -> None:
    trunk.train()
    before = copy.deepcopy(trunk.state_dict())
    compute(trunk, pictures, tmp_path)
    assert trunk.training
    after = trunk.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
