"""The one loop over layers at inference (Algorithm 1). Everything that runs a layer comes through
here, the full model included.

Shape letters: B rows that start, B' rows still running, T positions, T' positions read out, D
embed, V classes, N layers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from mue_cli.exits.observation import Observation, Rule
from mue_cli.inference.rows import Rows

ApplyLayer = Callable[[int, Tensor, Rows], Tensor]
"""Runs one layer (0-based) on the states (B', T, D) of the given rows."""

ApplyHead = Callable[[Tensor, Sequence[int], Rows], Tensor]
"""Reads states (B', T, D) of the given rows out, each by its exit layer: (B', T', V)."""

Probe = Callable[[Observation, Rows], None]
"""Is shown what every layer did, the last one included, before the rule is. For figures; it decides
nothing.
"""


@dataclass(frozen=True)
class WalkOutput:
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
    apply_head: ApplyHead | None = None,
) -> WalkOutput:
    """Apply layers until the rule lets a row go; rows that left are dropped from the work and come
    back in order at the end.

    hidden: (B, T, D). rows: what the B rows are called (default 0..B-1). padding_mask: (B, T) bool.
    The rule is not applied after the last layer, nor at all when it can never fire. States are read
    out at the end, all rows at once; logits that a rule has used are kept, so that no rule makes a
    state be read twice.
    """
    running = Running.start(hidden, rows, padding_mask)
    exits = _Exits(running.rows, num_layers)
    for layer in range(1, num_layers + 1):
        after = apply_layer(layer - 1, running.hidden, running.rows)
        logits = _Logits(apply_head, after, layer, running.rows)
        observation = Observation(
            layer,
            running.hidden,
            after,
            running.padding_mask,
            step,
            num_steps,
            memory=running.memory,
            **logits.as_argument(),
        )
        if probe is not None:
            probe(observation, running.rows)
        running = replace(running, hidden=after)
        if layer == num_layers or not rule.can_fire:
            continue
        leaves = rule(observation).tolist()
        if any(leaves):
            exits.add(running.keep(leaves), layer, logits.taken(leaves))
            if all(leaves):
                break
            running = running.keep([not leave for leave in leaves])
    else:
        exits.add(running, num_layers)
    return exits.output(apply_head)


@dataclass(frozen=True)
class Running:
    """The rows that are still running.

    hidden: (B', T, D), as the last layer left them. rows: what they are called. places: their
    numbers among the rows that started. padding_mask: (B', T). memory: what a rule keeps from layer
    to layer, tensors of B' rows.
    """

    hidden: Tensor
    rows: Rows
    places: Rows
    padding_mask: Tensor | None = None
    memory: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(cls, hidden: Tensor, rows: Rows | None, padding_mask: Tensor | None) -> "Running":
        places = Rows.all(len(hidden))
        return cls(hidden, rows or places, places, padding_mask)

    def keep(self, stays: Sequence[bool]) -> "Running":
        """Return the rows whose flag is set."""
        kept = Rows.all(len(stays)).where(stays)
        return Running(
            kept.take(self.hidden),
            self.rows.where(stays),
            self.places.where(stays),
            None if self.padding_mask is None else kept.take(self.padding_mask),
            {name: kept.take(value) for name, value in self.memory.items()},
        )


class _Logits:
    """One layer's states read out, once, when a rule first wants them."""

    def __init__(
        self, apply_head: ApplyHead | None, hidden: Tensor, layer: int, rows: Rows
    ) -> None:
        self._apply_head, self._hidden, self._layer, self._rows = apply_head, hidden, layer, rows
        self._value: Tensor | None = None

    def __call__(self) -> Tensor:
        assert self._apply_head is not None
        if self._value is None:
            layers = [self._layer] * len(self._hidden)
            self._value = self._apply_head(self._hidden, layers, self._rows)
        return self._value

    def as_argument(self) -> Mapping[str, Callable[[], Tensor]]:
        """Return the observation's field; a stream that is not read out has none."""
        return {} if self._apply_head is None else {"logits": self}

    def taken(self, flags: Sequence[bool]) -> Tensor | None:
        """Return the logits of the rows whose flag is set, None where no rule wanted any."""
        return None if self._value is None else Rows.all(len(flags)).where(flags).take(self._value)


class _Exits:
    """The rows that left, part by part: their places and states, and logits where a rule had
    them.
    """

    def __init__(self, rows: Rows, num_layers: int) -> None:
        self._rows, self._layers = rows, [num_layers] * len(rows.numbers)
        self._states: list[tuple[Rows, Tensor]] = []
        self._logits: list[tuple[Rows, Tensor]] = []

    def add(self, left: Running, layer: int, logits: Tensor | None = None) -> None:
        self._states.append((left.places, left.hidden))
        for place in left.places.numbers:
            self._layers[place] = layer
        if logits is not None:
            self._logits.append((left.places, logits))

    def output(self, apply_head: ApplyHead | None) -> WalkOutput:
        """Put the parts together; rows without logits are read out now, all at once."""
        hidden = _together(self._states)
        if apply_head is None:
            return WalkOutput(hidden, self._layers)
        have = {place for places, _ in self._logits for place in places.numbers}
        missing = Rows.all(len(hidden)).where([place not in have for place in range(len(hidden))])
        if missing.numbers:
            layers = [self._layers[place] for place in missing.numbers]
            rows = replace(
                self._rows, numbers=tuple(self._rows.numbers[place] for place in missing.numbers)
            )
            self._logits.append((missing, apply_head(missing.take(hidden), layers, rows)))
        return WalkOutput(hidden, self._layers, _together(self._logits))


def _together(parts: Sequence[tuple[Rows, Tensor]]) -> Tensor:
    """Return one tensor of all rows from parts that hold every row once."""
    places, first = parts[0]
    if places.are_all:
        return first
    out = first.new_empty(places.total, *first.shape[1:])
    for places, part in parts:
        out.index_copy_(0, places.index(out.device), part)
    return out
