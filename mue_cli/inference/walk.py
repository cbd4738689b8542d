"""The one loop over layers at inference (Algorithm 1). Everything that runs a layer comes through
here, the full model included.

Shape letters: B rows that start, T positions, T' positions read out, D embed, V classes, N layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

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
        """Return these rows of a tensor whose first dimension is the whole batch; no copy when all
        are meant.
        """
        return tensor if self.are_all else tensor[self.index(tensor.device)]

    def where(self, flags: Sequence[bool]) -> "Rows":
        """Return the rows whose flag is set."""
        return Rows(
            tuple(number for number, flag in zip(self.numbers, flags, strict=True) if flag),
            self.total,
        )


ApplyLayer = Callable[[int, Tensor, Rows], Tensor]
"""Runs one layer (0-based) on the states (B', T, D) of the given rows."""

ReadOut = Callable[[Tensor, Sequence[int], Rows], Tensor]
"""Reads states (B', T, D) of the given rows out, each by the layer it left after: (B', T', V)."""

Probe = Callable[[Observation, Rows], None]
"""Sees what every layer did, the last one included, before the rule is asked. For figures; it
decides nothing.
"""


@dataclass(frozen=True)
class Walked:
    """hidden: (B, T, D), each row as it was when it left. exit_layers: per row, 1-based, N where it
    never left.

    logits: (B, T', V) of `hidden`, None for a stream that is not read out.
    """

    hidden: Tensor
    exit_layers: list[int]
    logits: Tensor | None = None


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
    read_out: ReadOut | None = None,
) -> Walked:
    """Apply layers until the rule lets a row go; rows that left are dropped from the work and come
    back in order at the end.

    hidden: (B, T, D). rows: what the B rows are called (default 0..B-1). padding_mask: (B, T) bool.
    The rule is not asked after the last layer, nor at all when it can never fire. States are read
    out at the end, all rows at once; logits that a rule has seen are kept, so that no rule makes a
    state be read twice.
    """
    rows = rows or Rows.all(len(hidden))
    all_rows, places = rows, Rows.all(len(hidden))  # places: of the running rows, in the result
    out, exit_layers = hidden, [num_layers] * len(hidden)
    memory: dict[str, Tensor] = {}
    seen = _Seen()
    for layer in range(1, num_layers + 1):
        after = apply_layer(layer - 1, hidden, rows)
        reading = _Once(partial(read_out, after, [layer] * len(after), rows)) if read_out else None
        observation = Observation(
            layer, hidden, after, padding_mask, step, num_steps, memory=memory, **_logits(reading)
        )
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
        seen.keep(reading, places, leaves)
        kept = Rows.all(len(leaves)).where(stays)
        hidden, rows, places = kept.take(hidden), rows.where(stays), places.where(stays)
        padding_mask = None if padding_mask is None else kept.take(padding_mask)
        memory = {name: kept.take(value) for name, value in memory.items()}
        if not rows.numbers:
            break
    if places.numbers:
        out = _put_back(out, hidden, places)
    return Walked(
        out, exit_layers, seen.complete(out, exit_layers, all_rows, read_out) if read_out else None
    )


class _Once:
    """Computes a value when it is first asked for, and keeps it."""

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        self._compute = compute
        self.value: Tensor | None = None

    def __call__(self) -> Tensor:
        if self.value is None:
            self.value = self._compute()
        return self.value


class _Seen:
    """Logits of rows that left, where the rule had read them already."""

    def __init__(self) -> None:
        self._parts: list[tuple[Rows, Tensor]] = []

    def keep(self, reading: _Once | None, places: Rows, leaves: Sequence[bool]) -> None:
        if reading is not None and reading.value is not None:
            self._parts.append(
                (places.where(leaves), Rows.all(len(leaves)).where(leaves).take(reading.value))
            )

    def complete(
        self, hidden: Tensor, exit_layers: Sequence[int], rows: Rows, read_out: ReadOut
    ) -> Tensor:
        """Return the logits of all rows; the others are read out now, together."""
        there = {place for places, _ in self._parts for place in places.numbers}
        missing = Rows.all(len(hidden)).where([place not in there for place in range(len(hidden))])
        parts = list(self._parts)
        if missing.numbers:
            names = Rows(tuple(rows.numbers[place] for place in missing.numbers), rows.total)
            parts.append(
                (
                    missing,
                    read_out(
                        missing.take(hidden),
                        [exit_layers[place] for place in missing.numbers],
                        names,
                    ),
                )
            )
        if len(parts) == 1:
            return parts[0][1]  # its places are all of them, in order
        logits = parts[0][1].new_empty(len(hidden), *parts[0][1].shape[1:])
        for places, part in parts:
            logits[places.index(logits.device)] = part
        return logits


def _logits(reading: _Once | None) -> dict[str, _Once]:
    return {} if reading is None else {"logits": reading}


def _put_back(out: Tensor, hidden: Tensor, places: Rows) -> Tensor:
    return hidden if places.are_all else out.index_copy(0, places.index(out.device), hidden)
