"""OFA as its reference implementation runs it: right, straightforward and slow. What the fast path
is measured against.

Position biases are built for every layer and every step, of the whole prefix; attention is written
out; cross-attention's keys and values are computed and kept for every hypothesis. The search on top
is the product's own, so that the two differ in the model alone. For one picture.

Shape letters: Q hypotheses, T prefix, S encoder tokens, D embed, H heads.
"""

from collections.abc import Sequence
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from mue_cli.exits.methods import full
from mue_cli.inference import search
from mue_cli.inference.encode import Encoded
from mue_cli.inference.walk import WalkOutput
from mue_cli.model.attention import Attention
from mue_cli.model.ofa import OFA
from mue_cli.model.positions import Layout
from mue_cli.recipe.recipe import SearchSection


def attend(attention: Attention, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    queries = attention._heads(attention.q_proj(x)) * attention.scaling
    weights = torch.softmax((queries @ keys.transpose(2, 3) + bias).float(), dim=-1)
    out = weights @ values
    if attention.c_attn is not None:
        out = out * attention.c_attn[:, None, None]
    return attention.out_proj(out.transpose(1, 2).flatten(2))


def feed_forward(layer, x: Tensor) -> Tensor:
    return x + layer.fc2(layer.ffn_layer_norm(F.gelu(layer.fc1(layer.final_layer_norm(x)))))


def encode(model: OFA, images: Tensor, tokens: Tensor) -> Encoded:
    """Encode jointly, as OFA does."""
    image, text = model.encoder.embed(images, tokens)
    layout = Layout(image.layout.grid, text.layout.num_text)
    x = torch.cat([image.hidden, text.hidden], 1)
    absolute = model.encoder.absolute_bias(layout)
    for i, layer in enumerate(model.encoder.layers):
        bias = (absolute.clone() + model.encoder.relative_bias(i, layout))[None].repeat(
            len(x), 1, 1, 1
        )
        normed = layer.self_attn_layer_norm(x)
        x = x + layer.self_attn_mid_layer_norm(
            attend(layer.self_attn, normed, *layer.self_attn.keys_values(normed), bias)
        )
        x = feed_forward(layer, x)
    exits = {"joint": [len(model.encoder.layers)] * len(x)}
    return Encoded(
        model.encoder.layer_norm(x), None, layout, exits, {"joint": [x.shape[1]] * len(x)}
    )


class Generation:
    """Stands in for the product's class of this name, for one picture."""

    def __init__(
        self,
        model: OFA,
        tables,
        method,
        encoded: Encoded,
        num_hypotheses: int,
        num_steps: int,
        probe=None,
    ) -> None:
        self.model, self.encoded = model, encoded
        self.cache: list[dict[str, Tensor]] = [{} for _ in model.decoder.layers]

    def step(self, tokens: Tensor, rows: Sequence[int], position: int) -> WalkOutput:
        decoder = self.model.decoder
        x = decoder.embed(tokens[0][:, None])  # (Q, 1, D)
        length, beams = position + 1, len(x)
        self_bias = decoder.absolute_self_bias(length)[None].repeat(beams, 1, 1, 1)
        positions = self.model.encoder.position_embedding(self.encoded.layout)
        cross_bias = decoder.cross_bias(length, positions)[None].repeat(beams, 1, 1, 1)[:, :, -1:]
        for i, layer in enumerate(decoder.stack()):
            bias = (self_bias + decoder.relative_self_bias(i, length)[None])[:, :, -1:]
            x = self.layer(layer, self.cache[i], x, bias, cross_bias)
        states = x.transpose(0, 1)
        return WalkOutput(states, [len(decoder.layers)], decoder.logits(states))

    def layer(
        self, layer, cache: dict[str, Tensor], x: Tensor, bias: Tensor, cross_bias: Tensor
    ) -> Tensor:
        normed = layer.self_attn_layer_norm(x)
        new = dict(zip(("keys", "values"), layer.self_attn.keys_values(normed), strict=True))
        for name, tensor in new.items():
            cache[name] = torch.cat([cache[name], tensor], 2) if name in cache else tensor
        x = x + layer.self_attn_mid_layer_norm(
            attend(layer.self_attn, normed, cache["keys"], cache["values"], bias)
        )
        if cache.get("cross keys", x[:0]).shape[0] != len(x):  # the beam opens at the second step
            replicated = self.encoded.hidden.repeat(len(x), 1, 1)
            cache["cross keys"], cache["cross values"] = layer.cross_keys_values(replicated)
        normed = layer.cross_attn_layer_norm(x)
        attended = attend(
            layer.cross_attn, normed, cache["cross keys"], cache["cross values"], cross_bias
        )
        return feed_forward(layer, x + layer.cross_attn_mid_layer_norm(attended))

    def reorder(self, rows: Sequence[int], sources: Tensor, length: int) -> None:
        for cache in self.cache:
            for name in ("keys", "values"):
                cache[name] = cache[name].index_select(0, sources[0])


def generate(model: OFA, encoded: Encoded, settings: SearchSection) -> list[search.Generated]:
    """Generate for one picture. tables: none, nothing is kept."""
    with patch.object(search, "Generation", Generation):
        return search.generate(model, None, full(False), encoded, settings)  # type: ignore[arg-type]
