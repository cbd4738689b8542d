"""The golden models, and small random ones with inputs, for tests."""

import json
from pathlib import Path

import golden_weights
import numpy as np
import torch
from torch import Tensor

from mue_cli.data.batches import Batch
from mue_cli.model.config import OFAConfig
from mue_cli.model.convert import TIED
from mue_cli.model.ofa import OFA

GOLDEN = Path(__file__).parent / "golden"
CASES = ("g1_base_style", "g2_tiny_style", "g5_plain_flags", "g7_eos_beam")


def golden_model(case: str) -> OFA:
    """Build a golden case's model and give it its weights; those that only image generation uses
    are left out.
    """
    folder = GOLDEN / case
    config = json.loads((folder / "config.json").read_text())
    model = OFA(
        OFAConfig(
            vocab_size=config["vocab_size"],
            embed_dim=config["d_model"],
            ffn_dim=config["encoder_ffn_dim"],
            num_heads=config["encoder_attention_heads"],
            num_encoder_layers=config["encoder_layers"],
            num_decoder_layers=config["decoder_layers"],
            resnet_blocks=(2, 2, 2),
            token_buckets=config["token_bucket_size"],
            image_buckets=config["image_bucket_size"],
            attn_scale_factor=config["attn_scale_factor"],
            normformer=config["normformer"],
            embedding_norms=config["layernorm_embedding"],
            type_embedding=config["add_type_embedding"],
            scale_embedding=config["scale_embedding"],
        )
    )
    weights = golden_weights.state_dict(
        json.loads((folder / "key_shapes.json").read_text()), golden_result(case)["salt"]
    )
    if (folder / "overrides.npz").exists():
        weights |= {
            name: torch.from_numpy(value)
            for name, value in np.load(folder / "overrides.npz").items()
        }
    own = model.state_dict()
    missing = [
        name
        for name in own
        if name not in weights and not name.endswith("num_batches_tracked") and name not in TIED
    ]
    assert not missing
    model.load_state_dict(
        {name: value for name, value in weights.items() if name in own}, strict=False
    )
    return model.eval()


def golden_result(case: str) -> dict:
    return json.loads((GOLDEN / case / "result.json").read_text())


def golden_arrays(case: str) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(value)
        for name, value in np.load(GOLDEN / case / "golden.npz").items()
    }


def small_config(**changes: object) -> OFAConfig:
    sizes = dict(
        vocab_size=60,
        embed_dim=32,
        ffn_dim=64,
        num_heads=2,
        num_encoder_layers=4,
        num_decoder_layers=4,
        resnet_blocks=(1, 1, 1),
        resnet_width=8,
        image_buckets=8,
        token_buckets=16,
        max_positions=64,
        dropout=0.0,
    )
    return OFAConfig(**{**sizes, **changes})


def small_model(seed: int, **changes: object) -> OFA:
    """A random model whose layers differ enough for rows to leave at different depths."""
    torch.manual_seed(seed)
    model = OFA(small_config(**changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.copy_(
                    torch.randn_like(parameter)
                    * (0.5 if "rel_pos" in name else 1.5 / parameter.shape[1] ** 0.5)
                )
    return model


def small_inputs(
    seed: int, rows: int, image_size: int = 32, vocab_size: int = 60
) -> tuple[Tensor, list[list[int]]]:
    """Random pictures and token lists of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(rows, 3, image_size, image_size, generator=generator)
    lengths = torch.randint(2, 8, (rows,), generator=generator).tolist()
    texts = [
        [0, *torch.randint(4, vocab_size, (n,), generator=generator).tolist(), 2] for n in lengths
    ]
    return images, texts


def pad(rows: list[list[int]]) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([row + [1] * (width - len(row)) for row in rows])


class Letters:
    """A tokenizer whose texts do not matter."""

    bos_id, pad_id, eos_id = 0, 1, 2

    def encode(self, text: str) -> list[int]:
        return [10 + len(text)]

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def small_batch(seed: int, rows: int) -> Batch:
    """Random pictures, each with a text that is its prompt as well."""
    images, texts = small_inputs(seed, rows)
    names = tuple(map(str, range(rows)))
    return Batch(names, names, images, pad(texts), pad(texts), pad(texts), (("yes",),) * rows)
