"""Keys and values of decoder layers that a word skipped, for later words that go deeper.

Paper: silent. Release: announces a copy, writes nothing, so caches fall out of step with positions.
Here: a hole is filled when a later step of its row first enters the layer, all holes of a layer at
once, by one of three policies:

- project: the state with which the word left goes through the skipped layer's own norm and key and
  value projections;
- recompute: the word is run through the layers it skipped, beside the word that needs them; the
  cache is then a full run's;
- copy: the keys and values of the layer after which the word left stand in.

Shape letters: B rows, Q hypotheses, T steps, H heads, K head size, D embed, n holes.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from mue_cli.exits.methods import SkippedPolicy
from mue_cli.inference.cache import Places, SelfCache
from mue_cli.inference.rows import index_tensor
from mue_cli.inference.walk import WalkOutput
from mue_cli.model.layers import DecoderLayer

Fill = Callable[[int, Places], Places | None]
"""Fills the holes of a layer (0-based); the layers below have none there. Returns places that have
to run through the layer instead.
"""


class LeftStates:
    """The states with which rows left early, (B, Q, T, D); nothing is kept before the first one
    leaves.
    """

    def __init__(self, num_rows: int, num_hypotheses: int, num_steps: int) -> None:
        self._shape = (num_rows, num_hypotheses, num_steps)
        self._states: Tensor | None = None

    def put(self, places: Places, states: Tensor) -> None:
        """Keep states (n, Q', D)."""
        if self._states is None:
            self._states = states.new_zeros(*self._shape, states.shape[-1])
        self._states[places.rows, : places.num_hypotheses, places.positions] = states

    def at(self, places: Places) -> Tensor:
        """Return the states (n, Q', D) of some places."""
        assert self._states is not None
        return self._states[places.rows, : places.num_hypotheses, places.positions]

    def reorder(self, rows: Sequence[int], sources: Tensor, length: int) -> None:
        """Follow the beam; see SelfCache.reorder."""
        if self._states is not None:
            index = index_tensor(rows, sources.device)
            self._states[index, : sources.shape[1], :length] = self._states[
                index[:, None], sources, :length
            ]


def project(cache: SelfCache, layers: Sequence[DecoderLayer], states: LeftStates) -> Fill:
    """Return the policy that projects the states with which words left."""

    def fill(layer: int, places: Places) -> None:
        cache.write(layer, places, *layers[layer].self_keys_values(states.at(places)))

    return fill


def copy(cache: SelfCache) -> Fill:
    """Return the policy that lets the layer below stand in; that layer holds its own or, in turn, a
    copy.
    """

    def fill(layer: int, places: Places) -> None:
        cache.write(layer, places, *cache.at(layer - 1, places))

    return fill


def recompute(num_layers: int, projected: Fill) -> Fill:
    """Return the policy that runs words through the layers they skipped; of the last one, later
    words see keys and values alone.
    """
    return lambda layer, places: projected(layer, places) if layer + 1 == num_layers else places


class SkippedLayers:
    """The holes of one generation, filled when their rows enter a layer."""

    def __init__(
        self, num_layers: int, num_rows: int, fill: Fill, states: LeftStates | None
    ) -> None:
        """states: None for a policy that needs none."""
        self._num_layers, self._fill, self._states = num_layers, fill, states
        # Per layer and row: how many positions have no holes.
        self._filled = [[0] * num_rows for _ in range(num_layers)]

    def leave(self, rows: Sequence[int], position: int, output: WalkOutput) -> None:
        """Keep the states of the rows that left before the last layer."""
        early = [i for i, layer in enumerate(output.exit_layers) if layer < self._num_layers]
        if early and self._states is not None:
            hidden = output.hidden
            left = [(rows[i], position) for i in early]
            places = Places.of(left, hidden.shape[1], hidden.device)
            self._states.put(places, hidden[index_tensor(early, hidden.device)])

    def enter(
        self, layer: int, rows: Sequence[int], position: int, hidden: Tensor
    ) -> Places | None:
        """Fill the holes of rows that enter a layer (0-based) at a position with states (B', Q',
        D); see Fill.
        """
        filled = self._filled[layer]
        holes = [(row, hole) for row in rows for hole in range(filled[row], position)]
        for row in rows:
            filled[row] = position + 1
        return (
            self._fill(layer, Places.of(holes, hidden.shape[1], hidden.device)) if holes else None
        )

    def reorder(self, rows: Sequence[int], sources: Tensor, length: int) -> None:
        """Follow the beam; see SelfCache.reorder."""
        if self._states is not None:
            self._states.reorder(rows, sources, length)


def skipped_layers(
    policy: SkippedPolicy, cache: SelfCache, layers: Sequence[DecoderLayer], states: LeftStates
) -> SkippedLayers:
    """Return the holes of one generation under a policy."""
    kept: LeftStates | None = states
    match policy:
        case "project":
            fill: Fill = project(cache, layers, states)
        case "recompute":
            fill = recompute(len(layers), project(cache, layers, states))
        case "copy":
            fill, kept = copy(cache), None
    return SkippedLayers(len(layers), cache.num_rows, fill, kept)
