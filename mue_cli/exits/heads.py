"""Exit heads: how the state that a layer left becomes an answer. Whatever the exit head, the last
layer's is the model's own head.

Shape letters: B rows, T positions, D embed, V classes (the vocabulary, or the answers of a closed
set), N layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelHead:
    """The model's own head. norm: (..., D) -> (..., D). project: (..., D) -> (..., V), of normed
    states.
    """

    norm: Callable[[Tensor], Tensor]
    project: Callable[[Tensor], Tensor]

    def __call__(self, states: Tensor) -> Tensor:
        """Read states out: (..., D) -> (..., V)."""
        return self.project(self.norm(states))


class ExitHead(Protocol):
    """Reads rows out by the layer after which they left."""

    def __call__(self, states: Tensor, exit_layers: Sequence[int], head: ModelHead) -> Tensor:
        """Return (B, T, V) logits of states (B, T, D). exit_layers: per row, 1-based."""
        ...

    def macs(self, layer: int, embed_dim: int, num_classes: int) -> int:
        """Return the multiply-adds of reading one position out after a layer, all included."""
        ...


class SharedHead:
    """The model's head for every layer, whatever left where: one product for all rows."""

    def __call__(self, states: Tensor, exit_layers: Sequence[int], head: ModelHead) -> Tensor:
        return head(states)

    def macs(self, layer: int, embed_dim: int, num_classes: int) -> int:
        return embed_dim * num_classes


class LayerHeads(nn.Module):
    """A classifier of its own for every layer but the last: a norm and a linear map (DeeBERT,
    PABEE).

    Originals: BERT's pooler and a classifier over the task's labels. Here the classes are tokens,
    and a head starts as a copy of the model's own, so that a short training is enough.
    """

    def __init__(self, num_layers: int, embed_dim: int, num_classes: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dim) for _ in range(num_layers - 1))
        self.heads = nn.ModuleList(
            nn.Linear(embed_dim, num_classes, bias=False) for _ in range(num_layers - 1)
        )

    @torch.no_grad()
    def start_from(self, norm: nn.LayerNorm, weight: Tensor) -> None:
        """Make every head a copy of the model's; weight: (V, D)."""
        for own_norm, own_head in zip(self.norms, self.heads, strict=True):
            own_norm.load_state_dict(norm.state_dict())
            own_head.get_parameter("weight").copy_(weight)

    def forward(self, states: Tensor, exit_layers: Sequence[int], head: ModelHead) -> Tensor:
        return by_layer(states, exit_layers, lambda part, layer: self.read(part, layer, head))

    def read(self, states: Tensor, layer: int, head: ModelHead) -> Tensor:
        """Read states (..., D) out after one layer."""
        if layer > len(self.heads):
            return head(states)
        logits: Tensor = self.heads[layer - 1](self.norms[layer - 1](states))
        return logits

    def macs(self, layer: int, embed_dim: int, num_classes: int) -> int:
        return embed_dim * num_classes


class ImitationHead(nn.Module):
    """DeeCap's imitation network: deep states predicted from the one that left, fused with it by a
    gate, read by the model's head.

    Original (Fei et al., CVPR 2022): one map D -> D with tanh per deep layer; the real states of
    all layers up to the exit enter the gate and the sum. Here the state that left stands for them,
    since a pre-norm layer's output already is the sum of what the layers below added; the imitated
    states are of the form that the head reads, normed.
    """

    def __init__(self, num_layers: int, embed_dim: int) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.maps = nn.ModuleList(
            nn.Linear(embed_dim, embed_dim) for _ in range(num_layers - 1)
        )  # of layers 2..N
        self.gate = nn.Linear(embed_dim, embed_dim)
        for layer in (*self.maps, self.gate):
            nn.init.normal_(layer.get_parameter("weight"), std=0.02)
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, states: Tensor, exit_layers: Sequence[int], head: ModelHead) -> Tensor:
        return by_layer(states, exit_layers, lambda part, layer: self.read(part, layer, head))

    def read(self, states: Tensor, layer: int, head: ModelHead) -> Tensor:
        """Read states (..., D) out after one layer."""
        if layer == self.num_layers:
            return head(states)
        state = head.norm(states)
        return head.project(self._fuse(state, self.imitate(state, layer)))

    def imitate(self, state: Tensor, layer: int) -> Tensor:
        """Predict the normed states of layers layer + 1..N from that of `layer`: (..., D) -> (N -
        layer, ..., D).
        """
        return torch.stack([torch.tanh(each(state)) for each in self.maps[layer - 1 :]])

    def _fuse(self, state: Tensor, imitated: Tensor) -> Tensor:
        share = torch.sigmoid(self.gate(torch.tanh(state)))
        return 2 * share * state + (2 - 2 * share) * imitated.sum(0)

    def macs(self, layer: int, embed_dim: int, num_classes: int) -> int:
        products = (
            0 if layer == self.num_layers else self.num_layers - layer + 1
        )  # the maps and the gate
        return products * embed_dim**2 + embed_dim * num_classes


def by_layer(
    states: Tensor, exit_layers: Sequence[int], read: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """Read rows (B, T, D) out layer by layer, those of one layer together, and put the logits back
    in order.
    """
    layers = torch.tensor(exit_layers)
    out: Tensor | None = None
    for layer in sorted(set(exit_layers)):
        rows = (layers == layer).nonzero()[:, 0].to(states.device)
        if len(rows) == len(states):
            return read(states, layer)
        logits = read(states[rows], layer)
        out = logits.new_empty(len(states), *logits.shape[1:]) if out is None else out
        out[rows] = logits
    assert out is not None
    return out
