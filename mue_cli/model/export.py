"""A model as Hugging Face's OFA reads it: config.json, pytorch_model.bin, vocab.json, merges.txt.

The weights are a PyTorch file, since the transformers branch that knows OFA is older than
safetensors. Buffers are left out: they follow from the sizes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from mue_cli.files import replacing, write_text
from mue_cli.model.checkpoint import SETTINGS_FILE, weights_of
from mue_cli.model.convert import SHARED_EMBEDDING, TIED, carried_shapes
from mue_cli.model.ofa import OFA
from mue_cli.model.released_settings import hf_config
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.model.vocabulary import HF

WEIGHTS_FILE = "pytorch_model.bin"
FILES = (SETTINGS_FILE, WEIGHTS_FILE, *HF)


@dataclass(frozen=True)
class Exported:
    """files: what was written. notes: what a reader of the folder has to know."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def export_hf(model: OFA, tokenizer: Tokenizer, folder: Path) -> Exported:
    """Write a model and its vocabulary in Hugging Face's layout; each file appears whole or not at
    all.
    """
    settings = hf_config(model.config)
    weights = weights_of(model)
    absent = {
        name: shape for name, shape in carried_shapes(model.config).items() if name not in weights
    }
    # Zero tables and plain norms: image generation was never learned, and nothing else reads them.
    weights |= {
        name: torch.ones(shape)
        if name.endswith(("ln.weight", "embedding.weight"))
        else torch.zeros(shape)
        for name, shape in absent.items()
    }
    weights |= dict.fromkeys(TIED, weights[SHARED_EMBEDDING])
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS_FILE) as unfinished:
        torch.save(weights, unfinished)
    tokenizer.save_bpe(folder)
    write_text(folder / SETTINGS_FILE, json.dumps(settings, indent=2) + "\n")
    notes = []
    if absent:
        notes.append(
            f"{len(absent)} tensors of the decoder that only image generation uses "
            "were never learned here: written as zeros"
        )
    if settings["resnet_type"] is None:
        notes.append(
            "no OFA elsewhere has this trunk: other programs cannot build the model, this one can"
        )
    return Exported(tuple(folder / name for name in FILES), tuple(notes))
