"""Names and settings of released files, both directions, over the complete key lists."""

import pytest
import torch
from released_files import golden_config, released_keys, released_shapes
from small_ofa import CASES, golden_model

from mue_cli.errors import CheckpointError
from mue_cli.model.config import preset
from mue_cli.model.convert import carried_shapes, hf_name, is_buffer, is_fairseq
from mue_cli.model.released_settings import (
    Settings,
    config_of,
    hf_config,
    settings_from_fairseq,
    settings_from_hf,
)

SIZES = ("tiny", "medium", "base", "large", "huge")


def test_every_fairseq_name_of_base_becomes_hugging_faces():
    pairs = released_keys()["fairseq_to_hf"]
    assert len(pairs) == 967
    for fairseq, hf in pairs.items():
        if hf is None:
            assert is_buffer(fairseq)
            continue
        assert hf_name(fairseq) == hf
        assert is_fairseq(fairseq) == (fairseq != hf)
        assert hf_name(hf) == hf


@pytest.mark.parametrize("size", SIZES)
def test_the_sizes_of_released_files_follow_from_their_shapes(size):
    assert config_of(released_shapes(size), Settings(), "file") == preset(size)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_carried_along_has_the_released_shapes(size):
    shapes = released_shapes(size)
    assert all(shapes[name] == shape for name, shape in carried_shapes(preset(size)).items())


@pytest.mark.parametrize("size", SIZES)
def test_settings_written_for_hugging_face_read_back(size):
    config = preset(size, drop_path=0.1)
    settings = settings_from_hf(hf_config(config), "config.json")
    assert config_of(released_shapes(size), settings, "file") == config


@pytest.mark.parametrize("case", CASES)
def test_settings_written_are_those_of_the_reference(case):
    """The side of generated images is no setting of this program: what is written is that of the
    released files.
    """
    written, reference = hf_config(golden_model(case).config), golden_config(case)
    both = written.keys() & reference.keys() - {"code_image_size"}
    assert len(both) > 30
    differing = {
        name: (written[name], reference[name]) for name in both if written[name] != reference[name]
    }
    assert differing == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "bart"}, "of type 'bart', expected 'ofa'"),
        ({"model_type": "ofa"}, "lacks vocab_size, d_model, encoder_layers, decoder_layers"),
        (
            {**hf_config(preset("tiny")), "entangle_position_embedding": True},
            "has entangle_position_embedding True, only False",
        ),
        (
            {**hf_config(preset("tiny")), "encoder_normalize_before": False},
            "has encoder_normalize_before False, only True",
        ),
    ],
)
def test_settings_that_are_not_built_here_are_refused(settings, message):
    with pytest.raises(CheckpointError, match=message):
        settings_from_hf(settings, "config.json")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"disable_entangle": False}, "has disable_entangle False, only True"),
        ({"disable_entangle": None}, "has disable_entangle None, only True"),
        ({"entangle_position_embedding": True}, "has entangle_position_embedding True, only False"),
        ({"scale_resids": True}, "has scale_resids True, only False"),
        ({"scale_resids": torch.zeros(2)}, "has scale_resids tensor.*, only False"),
    ],
)
def test_fairseq_settings_that_are_not_built_here_are_refused(settings, message):
    with pytest.raises(CheckpointError, match=message):
        settings_from_fairseq(settings, "model.pt")


def test_settings_that_contradict_the_tensors_are_refused():
    with pytest.raises(CheckpointError, match="say embed_dim 768, its tensors 256"):
        config_of(
            released_shapes("tiny"),
            settings_from_hf(hf_config(preset("base")), "config.json"),
            "file",
        )
    with pytest.raises(
        CheckpointError, match=r"say resnet_blocks \(3, 8, 36\), its tensors \(3, 4, 6\)"
    ):
        config_of(
            released_shapes("tiny"),
            settings_from_fairseq({"resnet_type": "resnet152"}, "model.pt"),
            "file",
        )


def test_a_file_without_the_tensors_that_tell_sizes_is_no_ofa():
    shapes = released_shapes("tiny")
    del shapes["encoder.image_proj.weight"], shapes["encoder.embed_positions.weight"]
    with pytest.raises(
        CheckpointError, match=r"no whole OFA: encoder\.embed_positions\.weight is missing"
    ):
        config_of(shapes, Settings(), "file")
    with pytest.raises(
        CheckpointError, match=r"embed_tokens\.weight is \(5,\), expected 2 dimensions"
    ):
        config_of(shapes | {"encoder.embed_tokens.weight": (5,)}, Settings(), "file")
