"""OFA's parameter names as Hugging Face (ours too) and fairseq write them.

Names are Hugging Face's throughout the package. Released files also hold what generates image
tokens in the decoder; nothing here uses it, so it is carried along: checked, kept beside the model,
written out again.
"""

import re
from collections.abc import Mapping

from mue_cli.model.config import OFAConfig
from mue_cli.model.positions import image_bucket_rows

Shape = tuple[int, ...]

RENAMED = (
    ("encoder", "attn_ln", "self_attn_mid_layer_norm"),
    ("encoder", "ffn_layernorm", "ffn_layer_norm"),
    ("decoder", "self_attn_ln", "self_attn_mid_layer_norm"),
    ("decoder", "cross_attn_ln", "cross_attn_mid_layer_norm"),
    ("decoder", "encoder_attn", "cross_attn"),
    ("decoder", "encoder_attn_layer_norm", "cross_attn_layer_norm"),
    ("decoder", "ffn_layernorm", "ffn_layer_norm"),
)
"""Parts of a layer that are called otherwise: stack, fairseq's name, Hugging Face's. All other
names are the same in both.
"""

SHARED_EMBEDDING = "encoder.embed_tokens.weight"
TIED = ("decoder.embed_tokens.weight", "decoder.output_projection.weight")
"""Other names of the shared embedding."""

_BUFFERS = re.compile(
    r"(^(en|de)coder\.version|\.(token_rp_bucket|image_rp_bucket|image_position_idx|num_batches_tracked))$"
)


def is_buffer(name: str) -> bool:
    """Tell whether a tensor is bookkeeping that follows from the sizes: never loaded."""
    return _BUFFERS.search(name) is not None


def is_fairseq(name: str) -> bool:
    """Tell whether only fairseq calls a parameter so."""
    return hf_name(name) != name


def hf_name(name: str) -> str:
    """Return Hugging Face's name of a parameter that may have fairseq's."""
    return _rename(name, {(stack, fairseq): hf for stack, fairseq, hf in RENAMED})


def _rename(name: str, parts: Mapping[tuple[str, str], str]) -> str:
    """Rename the part of a layer in a name such as `encoder.layers.3.attn_ln.weight`."""
    words = name.split(".")
    if len(words) > 4 and words[1] == "layers":
        words[3] = parts.get((words[0], words[3]), words[3])
    return ".".join(words)


def carried_shapes(config: OFAConfig) -> dict[str, Shape]:
    """Return name and shape of what released decoders hold to generate image tokens."""
    dim = config.embed_dim
    norms = ("image_pos_ln", *(("code_layernorm_embedding",) if config.embedding_norms else ()))
    tables = {
        f"decoder.image_rel_pos_table_list.{i}.weight": (
            image_bucket_rows(config.image_buckets),
            config.num_heads,
        )
        for i in range(config.num_decoder_layers)
    }
    return {
        "decoder.embed_image_positions.weight": (config.image_buckets**2 + 1, dim),
        **{f"decoder.{norm}.{part}": (dim,) for norm in norms for part in ("weight", "bias")},
        **tables,
    }
