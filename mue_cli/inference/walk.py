"""The one loop over layers at inference (Algorithm 1). Everything that runs a layer comes through here, the full model included.

Shape letters: B rows that start, T positions, D embed, N layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mue_cli.exits.observation import Observation, Rule


@dataclass(frozen=True)
class Rows:
    """Which rows of a batch are meant: their numbers, out of `total`."""

    numbers: tuple[int, ...]
    total: int

    @classmethod
    def all(cls, total: int) -> "Rows":
        return cls(tuple(range(total)), total)

    @property
    def are_all(self) -> bool:
        return len(self.numbers) == self.total

    def index(self, device: torch.device) -> Tensor:
        """Return the numbers as an index tensor."""
        return torch.tensor(self.numbers, dtype=torch.long, device=device)

    def take(self, tensor: Tensor) -> Tensor:
        """Return these rows of a tensor whose first dimension is the whole batch; no copy when all are meant."""
        return tensor if self.are_all else tensor[self.index(tensor.device)]

    def where(self, flags: Sequence[bool]) -> "Rows":
        """Return the rows whose flag is set."""
        return Rows(tuple(number for number, flag in zip(self.numbers, flags, strict=True) if flag), self.total)


ApplyLayer = Callable[[int, Tensor, Rows], Tensor]
"""Runs one layer (0-based) on the states (B', T, D) of the given rows."""

Probe = Callable[[Observation, Rows], None]
"""Sees what every layer did, the last one included, before the rule is asked. For figures; it decides nothing."""


@dataclass(frozen=True)
class Walked:
    """hidden: (B, T, D), each row as it was when it left. exit_layers: per row, 1-based, N where it never left."""

    hidden: Tensor
    exit_layers: list[int]


def walk(
    hidden: Tensor,
    num_layers: int,
    apply_layer: ApplyLayer,
    rule: Rule,
    rows: Rows | None = None,
    padding_mask: Tensor | None = None,
    step: int | None = None,
    num_steps: int | None = None,
    probe: Probe | None = None,
) -> Walked:
    """Apply layers until the rule lets a row go; rows that left are dropped from the work and come back in order at the end.

    hidden: (B, T, D). rows: what the B rows are called (default 0..B-1). padding_mask: (B, T) bool.
    The rule is not asked after the last layer, nor at all when it can never fire.
    """
    rows = rows or Rows.all(len(hidden))
    places = Rows.all(len(hidden))  # of the running rows, in the result
    out, exit_layers = hidden, [num_layers] * len(hidden)
    for layer in range(1, num_layers + 1):
        after = apply_layer(layer - 1, hidden, rows)
        observation = Observation(layer, hidden, after, padding_mask, step, num_steps)
        if probe is not None:
            probe(observation, rows)
        hidden = after
        if layer == num_layers or not rule.can_fire:
            continue
        leaves = rule(observation).tolist()
        if not any(leaves):
            continue
        stays = [not leave for leave in leaves]
        out = _put_back(out, hidden, places)
        for place in places.where(leaves).numbers:
            exit_layers[place] = layer
        kept = Rows.all(len(leaves)).where(stays)
        hidden, rows, places = kept.take(hidden), rows.where(stays), places.where(stays)
        padding_mask = None if padding_mask is None else kept.take(padding_mask)
        if not rows.numbers:
            return Walked(out, exit_layers)
    return Walked(_put_back(out, hidden, places), exit_layers)


def _put_back(out: Tensor, hidden: Tensor, places: Rows) -> Tensor:
    return hidden if places.are_all else out.index_copy(0, places.index(out.device), hidden)
