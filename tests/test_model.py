"""Sizes, position tables, streams, and the checkpoint."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_ofa import GOLDEN, pad, small_config, small_inputs, small_model

from mue_cli.errors import CheckpointError, MissingStepError
from mue_cli.model import checkpoint
from mue_cli.model.config import preset
from mue_cli.model.ofa import OFA
from mue_cli.model.positions import image_bucket_rows, image_buckets, image_positions, token_buckets

PARAMETERS = {
    "tiny": 33_488_336,
    "medium": 92_892_000,
    "base": 182_238_536,
    "large": 472_977_152,
    "huge": 929_486_848,
}


def image_generation_parameters(config) -> int:
    """What every released checkpoint has in its decoder for generating image tokens, and this model
    leaves out.
    """
    tables = config.num_decoder_layers * image_bucket_rows(config.image_buckets) * config.num_heads
    return (config.image_buckets**2 + 1) * config.embed_dim + 4 * config.embed_dim + tables


@pytest.mark.parametrize("name", PARAMETERS)
def test_released_sizes_have_the_published_number_of_parameters(name):
    config = preset(name)
    with torch.device("meta"):
        model = OFA(config)
    own = sum(parameter.numel() for parameter in model.parameters())
    assert own + image_generation_parameters(config) == PARAMETERS[name]


def test_token_buckets_equal_the_reference():
    golden = np.load(GOLDEN / "bucket_tables.npz")
    for buckets in (256, 4):
        table = token_buckets(1024, buckets, 1024)
        assert torch.equal(
            table[0], torch.from_numpy(golden[f"token_rp_bucket_{buckets}_first_row"])
        )
        assert torch.equal(
            table[:, 0], torch.from_numpy(golden[f"token_rp_bucket_{buckets}_first_col"])
        )


def test_image_buckets_and_positions_equal_the_reference():
    """The reference's table holds all 42 x 42 positions and one in front; ours only the patches of
    a grid.
    """
    golden = np.load(GOLDEN / "bucket_tables.npz")
    table = image_buckets((42, 42), 42)
    assert torch.equal(table[499], torch.from_numpy(golden["image_rp_bucket_42_row500"][1:]))
    assert image_positions((2, 3), 42).tolist() == [1, 2, 3, 43, 44, 45]
    small = image_buckets((2, 3), 42)
    ids = image_positions((2, 3), 42) - 1
    assert torch.equal(small, table[ids][:, ids])


@torch.inference_mode()
def test_with_decomposition_a_stream_does_not_see_the_other():
    model = small_model(1)
    images, texts = small_inputs(1, rows=2)
    other_images, _ = small_inputs(2, rows=2)
    one = model.encode(images, pad(texts), decompose=True).states
    other_text = model.encode(images, pad([text[::-1] for text in texts]), decompose=True).states
    other_image = model.encode(other_images, pad(texts), decompose=True).states
    assert torch.equal(one["image"][-1], other_text["image"][-1])
    assert torch.equal(one["text"][-1], other_image["text"][-1])
    joint, changed = (
        model.encode(pictures, pad(texts), decompose=False).states["joint"][-1]
        for pictures in (images, other_images)
    )
    num_words = pad(texts).shape[1]
    assert not torch.allclose(joint[:, -num_words:], changed[:, -num_words:])


@torch.inference_mode()
def test_padding_changes_nothing():
    model = small_model(2)
    images, texts = small_inputs(2, rows=1)
    tokens, words = pad(texts), torch.tensor([[0, 5, 6]])
    wide = torch.cat([tokens, torch.ones(1, 3, dtype=torch.long)], 1)
    for decompose in (True, False):
        a, b = (model(images, source, words, decompose)[-1] for source in (tokens, wide))
        assert torch.allclose(a, b, atol=1e-5)


def test_a_checkpoint_round_trips(tmp_path):
    model = small_model(3)
    checkpoint.save(model, tmp_path / "run" / "model.safetensors")
    loaded = checkpoint.load(tmp_path / "run" / "model.safetensors")
    assert loaded.config == model.config
    assert all(
        torch.equal(weight, loaded.state_dict()[name])
        for name, weight in model.state_dict().items()
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.safetensors"]


def damage(path, change):
    weights = load_file(path)
    change(weights)
    config = json.dumps({**small_config().__dict__})
    save_file(weights, path, metadata={"format": checkpoint.FORMAT, "config": config})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("encoder.layer_norm.weight"), r"missing encoder\.layer_norm\.weight"),
        (lambda w: w.update(surplus=torch.zeros(1)), "unknown surplus"),
        (
            lambda w: w.update({"encoder.image_proj.bias": torch.zeros(3)}),
            r"image_proj\.bias is \(3,\), expected \(32,\)",
        ),
        (
            lambda w: w["encoder.image_proj.bias"].fill_(float("nan")),
            r"image_proj\.bias has values that are not finite",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, change, message):
    path = tmp_path / "model.safetensors"
    checkpoint.save(small_model(3), path)
    damage(path, change)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(path)


def test_a_file_cut_short_and_a_foreign_file_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(small_model(3), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        checkpoint.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(
        CheckpointError, match=r"no whole OFA: encoder\.embed_tokens\.weight is missing"
    ):
        checkpoint.load(path)
    with pytest.raises(MissingStepError):
        checkpoint.load(tmp_path / "absent.safetensors")


@torch.inference_mode()
def test_a_fresh_small_preset_passes_its_deeper_layers_by():
    torch.manual_seed(0)
    model = OFA(preset("nano", 40)).eval()
    images, texts = small_inputs(0, rows=2, image_size=64, vocab_size=40)
    encoded = model.encode(images, pad(texts), decompose=True)
    for states in (*encoded.states.values(), model.decode(pad(texts), encoded)):
        assert not torch.equal(states[1], states[2])
        assert all(torch.equal(states[2], state) for state in states[3:])
