"""Weights as others release them: golden weights in Hugging Face's and fairseq's layout, and a
small vocabulary in both.
"""

import argparse
import functools
import gzip
import json
from pathlib import Path

import golden_weights
import torch
from small_ofa import GOLDEN, golden_result
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def released_keys() -> dict:
    """Return name and shape of every tensor of the released sizes, and fairseq's names of base with
    Hugging Face's (None: dropped).
    """
    return json.loads(gzip.decompress((GOLDEN / "released_keys.json.gz").read_bytes()))


def released_shapes(size: str) -> Shapes:
    return {name: tuple(shape) for name, shape in released_keys()["shapes"][size].items()}


def golden_state(case: str) -> dict[str, Tensor]:
    """Return a golden case's weights under Hugging Face's names, those for image generation
    included. The tensors are the same ones each time: tests must not change them.
    """
    return dict(_made_once(case))


@functools.cache
def _made_once(case: str) -> dict[str, Tensor]:
    shapes = json.loads((GOLDEN / case / "key_shapes.json").read_text())
    return golden_weights.state_dict(shapes, golden_result(case)["salt"])


def fairseq_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under fairseq's names. Written apart from the program's own map: by what
    the parts are called there.
    """
    renamed = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[1] == "layers":
            within = {
                "ffn_layer_norm": "ffn_layernorm",
                "cross_attn": "encoder_attn",
                "cross_attn_layer_norm": "encoder_attn_layer_norm",
                "cross_attn_mid_layer_norm": "cross_attn_ln",
                "self_attn_mid_layer_norm": "attn_ln" if parts[0] == "encoder" else "self_attn_ln",
            }
            parts[3] = within.get(parts[3], parts[3])
        renamed[".".join(parts)] = tensor
    return renamed


def golden_config(case: str) -> dict:
    return json.loads((GOLDEN / case / "config.json").read_text())


def write_hf(folder: Path, state: dict[str, Tensor], config: dict | None = None) -> Path:
    """Write a Hugging Face folder, weights as pytorch_model.bin; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "pytorch_model.bin")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def fairseq_container(
    state: dict[str, Tensor], ema: dict[str, Tensor] | None = None, **settings: object
) -> dict:
    """Return what a fairseq .pt holds; `settings` replace those of the released scripts."""
    released = dict(
        arch="ofa_base",
        activation_fn="gelu",
        scale_attn=True,
        scale_fc=True,
        scale_heads=True,
        scale_resids=False,
        disable_entangle=True,
        interpolate_position=False,
        no_scale_embedding=True,
        encoder_normalize_before=True,
        decoder_normalize_before=True,
        share_all_embeddings=True,
        attn_scale_factor=2,
        dropout=0.1,
        encoder_drop_path_rate=0.1,
    )
    version = {"encoder.version": torch.tensor([3.0]), "decoder.version": torch.tensor([3.0])}
    return {
        "args": None,
        "cfg": {
            "_name": None,
            "model": argparse.Namespace(**{**released, **settings}),
            "task": {"_name": "caption"},
        },
        "model": fairseq_state(state) | version,
        "criterion": None,
        "optimizer_history": [{"num_updates": 3, "optimizer_name": "FairseqAdam"}],
        "task_state": {},
        "extra_state": {
            "epoch": 2,
            "val_loss": 1.5,
            **({"ema": fairseq_state(ema)} if ema else {}),
        },
        "last_optimizer_state": {
            "state": {0: {"exp_avg": torch.ones(3)}},
            "param_groups": [{"lr": 1e-5}],
        },
    }


def write_fairseq(
    path: Path, state: dict[str, Tensor], ema: dict[str, Tensor] | None = None, **settings: object
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(fairseq_container(state, ema, **settings), path)
    return path
