"""OFA's settings as three programs write them: Hugging Face, fairseq, and this one's OFAConfig.

What a file does not say, the shapes of its tensors do.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from mue_cli.errors import CheckpointError, RecipeError
from mue_cli.model.config import OFAConfig, checked
from mue_cli.model.convert import SHARED_EMBEDDING, Shape


@dataclass(frozen=True)
class Settings:
    """What tensor shapes do not tell. A field is None where the file is silent; then the value of
    every released file holds.

    sizes: OFAConfig field -> value, to be compared with what the shapes say.
    """

    attn_scale_factor: float | None = None
    scale_embedding: bool | None = None
    dropout: float | None = None
    drop_path: float | None = None
    sizes: Mapping[str, object] | None = None


def config_of(shapes: Mapping[str, Shape], settings: Settings, source: str) -> OFAConfig:
    """Return the sizes of a file from its tensors' shapes (Hugging Face names), and from its
    settings what shapes do not tell.

    Raises CheckpointError when a tensor that tells a size is missing, or the settings say otherwise
    than the shapes.
    """

    def shape(name: str, rank: int) -> Shape:
        own = shapes.get(name)
        if own is None or len(own) != rank:
            state = "missing" if own is None else f"{own}, expected {rank} dimensions"
            raise CheckpointError(
                f"{source} is no whole OFA: {name} is {state}",
                "is it the right file, and complete?",
            )
        return own

    vocab_size, embed_dim = shape(SHARED_EMBEDDING, 2)
    token_rows, num_heads = shape("encoder.token_rel_pos_table_list.0.weight", 2)
    resnet = "encoder.embed_images"

    def count(name: str) -> int:
        return _count(shapes, name, source)

    stated = {
        "attn_scale_factor": settings.attn_scale_factor,
        "scale_embedding": settings.scale_embedding,
    }
    rates = {"dropout": settings.dropout, "drop_path": settings.drop_path}
    values = dict(
        vocab_size=vocab_size,
        embed_dim=embed_dim,
        ffn_dim=shape("encoder.layers.0.fc1.weight", 2)[0],
        num_heads=num_heads,
        num_encoder_layers=count("encoder.layers"),
        num_decoder_layers=count("decoder.layers"),
        resnet_blocks=tuple(count(f"{resnet}.layer{stage}") for stage in (1, 2, 3)),
        resnet_width=shape(f"{resnet}.conv1.weight", 4)[0],
        max_positions=shape("encoder.embed_positions.weight", 2)[0] - 2,
        token_buckets=(token_rows + 1) // 2,
        image_buckets=isqrt(max(shape("encoder.embed_image_positions.weight", 2)[0] - 1, 0)),
        normformer="encoder.layers.0.self_attn.c_attn" in shapes,
        embedding_norms="encoder.layernorm_embedding.weight" in shapes,
        type_embedding="encoder.type_embedding.weight" in shapes,
        **{name: value for name, value in (stated | rates).items() if value is not None},
    )
    config = checked_config(values, source)
    _agree(config, settings.sizes or {}, source)
    return config


def checked_config(values: Mapping[str, object], source: str) -> OFAConfig:
    """Return the config of what a file says. Raises CheckpointError for values that no model can
    have.
    """
    try:
        return checked(values, source)
    except RecipeError as error:
        raise CheckpointError(
            error.message, error.hint or "take the file from a source you trust"
        ) from None


def _count(shapes: Mapping[str, Shape], name: str, source: str) -> int:
    """Count what is numbered below a name. Raises CheckpointError for a gap: a single large number
    must not make a large model.
    """
    numbers = {
        int(match[1])
        for match in map(re.compile(rf"{re.escape(name)}\.(\d{{1,5}})\.").match, shapes)
        if match
    }
    gap = next((number for number in range(len(numbers)) if number not in numbers), None)
    if gap is not None:
        raise CheckpointError(
            f"{source} is no whole OFA: {name}.{gap} is missing",
            "is it the right file, and complete?",
        )
    return len(numbers)


def _agree(config: OFAConfig, sizes: Mapping[str, object], source: str) -> None:
    for name, said in sizes.items():
        own = getattr(config, name)
        if own != said:
            raise CheckpointError(
                f"the settings of {source} say {name} {said!r}, its tensors {own!r}",
                "weights and settings must belong together",
            )


_HF_SIZES = {
    "vocab_size": "vocab_size",
    "d_model": "embed_dim",
    "encoder_ffn_dim": "ffn_dim",
    "encoder_attention_heads": "num_heads",
    "encoder_layers": "num_encoder_layers",
    "decoder_layers": "num_decoder_layers",
    "max_position_embeddings": "max_positions",
    "token_bucket_size": "token_buckets",
    "image_bucket_size": "image_buckets",
    "normformer": "normformer",
    "layernorm_embedding": "embedding_norms",
    "add_type_embedding": "type_embedding",
}
_HF_FIXED = {
    "activation_function": "gelu",
    "encoder_normalize_before": True,
    "decoder_normalize_before": True,
    "share_decoder_input_output_embed": True,
    "entangle_position_embedding": False,
    "interpolate_position": False,
    "scale_resids": False,
    "share_attn_bias": False,
    "use_gamma_feature": False,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
"""Settings of which only one value is built here; every released file has it."""
_FAIRSEQ_FIXED = {
    "activation_fn": "gelu",
    "encoder_normalize_before": True,
    "decoder_normalize_before": True,
    "share_all_embeddings": True,
    "disable_entangle": True,
    "entangle_position_embedding": False,
    "interpolate_position": False,
    "scale_resids": False,
    "share_attn_bias": False,
    "use_gamma_feature": False,
}
_RESNETS = {
    "resnet18": (2, 2, 2),
    "resnet34": (3, 4, 6),
    "resnet50": (3, 4, 6),
    "resnet101": (3, 4, 23),
    "resnet152": (3, 8, 36),
}


def settings_from_hf(raw: Mapping[str, Any], source: str) -> Settings:
    """Read a config.json. Raises CheckpointError when it is no OFA's, lacks a size or asks for what
    is not built here.

    The class behind it has the medium size as defaults, so a missing size would silently be
    medium's.
    """
    if raw.get("model_type", "ofa") != "ofa":
        raise CheckpointError(
            f"{source} describes a model of type {raw['model_type']!r}, expected 'ofa'",
            "only OFA can be loaded",
        )
    missing = [
        name
        for name in ("vocab_size", "d_model", "encoder_layers", "decoder_layers")
        if name not in raw
    ]
    if missing:
        raise CheckpointError(
            f"{source} lacks {', '.join(missing)}",
            "take the config.json that belongs to the weights",
        )
    _refuse_others(raw, _HF_FIXED, source)
    sizes = {ours: raw[theirs] for theirs, ours in _HF_SIZES.items() if theirs in raw}
    return Settings(
        raw.get("attn_scale_factor"),
        raw.get("scale_embedding"),
        raw.get("dropout"),
        raw.get("encoder_drop_path_rate"),
        sizes | _trunk(raw.get("resnet_type")),
    )


def settings_from_fairseq(raw: Mapping[str, Any], source: str) -> Settings:
    """Read the model's part of fairseq's `cfg`, or its older `args`. Raises CheckpointError for
    what is not built here.
    """
    _refuse_others(raw, _FAIRSEQ_FIXED, source)
    unscaled = raw.get("no_scale_embedding")
    return Settings(
        raw.get("attn_scale_factor"),
        None if unscaled is None else not unscaled,
        raw.get("dropout"),
        raw.get("encoder_drop_path_rate"),
        _trunk(raw.get("resnet_type")),
    )


def _trunk(resnet_type: object) -> dict[str, object]:
    return (
        {"resnet_blocks": _RESNETS[resnet_type]}
        if isinstance(resnet_type, str) and resnet_type in _RESNETS
        else {}
    )


def _refuse_others(raw: Mapping[str, Any], fixed: Mapping[str, object], source: str) -> None:
    for name, built in fixed.items():
        value = raw.get(name, built)
        silent = value is None and not built  # None switches off what has to be on
        if not silent and not (isinstance(value, bool | int | str) and value == built):
            raise CheckpointError(
                f"{source} has {name} {raw[name]!r}, only {built!r} is built here",
                "no released OFA has another value",
            )


def hf_config(config: OFAConfig) -> dict[str, object]:
    """Return the config.json of a model. A trunk that Hugging Face has no name for gets resnet_type
    None.
    """
    blocks = next(
        (name for name, blocks in reversed(_RESNETS.items()) if blocks == config.resnet_blocks),
        None,
    )
    sizes = {theirs: getattr(config, ours) for theirs, ours in _HF_SIZES.items()}
    return {
        "model_type": "ofa",
        "architectures": ["OFAModel"],
        **sizes,
        "decoder_ffn_dim": config.ffn_dim,
        "decoder_attention_heads": config.num_heads,
        "patch_layernorm_embedding": config.embedding_norms,
        "code_layernorm_embedding": config.embedding_norms,
        "attn_scale_factor": config.attn_scale_factor,
        "scale_embedding": config.scale_embedding,
        "dropout": config.dropout,
        "encoder_drop_path_rate": config.drop_path,
        "decoder_drop_path_rate": config.drop_path,
        "resnet_drop_path_rate": 0.0,
        "resnet_type": blocks if config.resnet_width == 64 else None,
        "resnet_model_path": None,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "classifier_dropout": 0.0,
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "code_image_size": 128,
        "init_std": config.init_std,
        "decoder_start_token_id": 0,
        "forced_eos_token_id": 2,
        "is_encoder_decoder": True,
        "use_cache": True,
        **_HF_FIXED,
    }
