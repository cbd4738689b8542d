"""Gate: how likely a row's answer stays as it is if it leaves now, by a small logistic model of
cheap features: MuE's similarity, how the norm changed, the decoding step.

One for every layer of a stream but the last, which nothing can leave early. What similarity alone
leaves on the table is what it gains over `mue`.

Shape letters: B rows, T positions, D embed, N layers, C features.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from mue_cli.exits.heads import ModelHead, SharedHead
from mue_cli.exits.observation import Observation
from mue_cli.exits.score import ExitScore
from mue_cli.exits.similarity import COSINE_FLOPS, EPSILON, moments

NUM_FEATURES = 3
FLOOR = 1e-6  # of 1 - cosine: smaller differences are rounding
LEAST_DEVIATION = 1e-3  # of a feature that hardly varies
ROW_FLOPS = 25
"""Operations per row: cosine, two logarithms, three features scaled, weighed and summed, and the
logistic function."""


def features(observation: Observation) -> Tensor:
    """Return (B, C) float32 of a layer's work: -log(1 - cosine), the log of the norm's growth,
    and t / N of generation (0 outside it).
    """
    dot, before, after = moments(observation.before, observation.after, observation.padding_mask)
    before, after = before.clamp_min(EPSILON), after.clamp_min(EPSILON)
    settled = -(1.0 - dot * (before * after).rsqrt()).clamp_min(FLOOR).log()
    growth = (after / before).log() / 2.0
    share = (observation.step or 0) / (observation.num_steps or 1)
    return torch.stack([settled, growth, torch.full_like(settled, share)], 1)


class StreamGate(nn.Module):
    """The gates of one stream, as logits. They start as the similarity alone.

    Features are scaled by the mean and deviation that training met.
    """

    count: Tensor
    mean: Tensor
    square: Tensor

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        shape = (num_layers - 1, NUM_FEATURES)
        self.weight = nn.Parameter(torch.zeros(shape))
        self.bias = nn.Parameter(torch.zeros(num_layers - 1))
        nn.init.constant_(self.weight[:, 0].detach(), 1.0)
        self.register_buffer("count", torch.zeros(num_layers - 1))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("square", torch.ones(shape))

    @torch.no_grad()
    def observe(self, some: Tensor, layer: int) -> None:
        """Take features (B, C) after a layer into their mean and deviation."""
        place = layer - 1
        self.count[place] += len(some)
        share = len(some) / self.count[place]
        self.mean[place].lerp_(some.mean(0), share)
        self.square[place].lerp_(some.square().mean(0), share)

    def forward(self, some: Tensor, layer: int) -> Tensor:
        """Return (B,), the logit that the answer stays. some: features (B, C) after `layer`."""
        place = layer - 1
        mean = self.mean[place].float()
        deviation = (self.square[place].float() - mean.square()).clamp_min(0.0).sqrt()
        scaled = (some - mean) / deviation.clamp_min(LEAST_DEVIATION)
        return (scaled * self.weight[place].float()).sum(1) + self.bias[place].float()


class Gates(nn.Module):
    """The gates of all streams, and an exit head: states are read out with the model's own."""

    def __init__(self, layers: Mapping[str, int]) -> None:
        """layers: how many each stream has."""
        super().__init__()
        self.layers = dict(layers)
        self.streams = nn.ModuleDict({name: StreamGate(n) for name, n in layers.items()})
        self._reads = SharedHead()

    def gate(self, stream: str) -> StreamGate:
        """Return the gates of a stream."""
        return cast(StreamGate, self.streams[stream])

    def chance(self, stream: str, observation: Observation) -> Tensor:
        """Return (B,) in [0, 1]: how likely the answer stays; 1 after the last layer."""
        if observation.layer >= self.layers[stream]:
            return observation.after.new_ones(len(observation.after), dtype=torch.float32)
        return self.gate(stream)(features(observation), observation.layer).sigmoid()

    def forward(self, states: Tensor, exit_layers: Sequence[int], head: ModelHead) -> Tensor:
        return self._reads(states, exit_layers, head)

    def macs(self, layer: int, embed_dim: int, num_classes: int) -> int:
        return self._reads.macs(layer, embed_dim, num_classes)


def _unbound(observation: Observation) -> Tensor:
    raise ValueError("a gate needs its weights: the method's exit head has them")


def _bound(head: object, stream: str) -> partial[Tensor]:
    return partial(cast(Gates, head).chance, stream)


GATE = ExitScore("gate", _unbound, "states", COSINE_FLOPS, flops_per_row=ROW_FLOPS, bind=_bound)
