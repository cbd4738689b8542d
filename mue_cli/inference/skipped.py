"""Keys and values of decoder layers that a word skipped, for later words that go deeper.

Paper: silent. Release: announces a copy, writes nothing, so caches fall out of step with positions.
Here: a hole is filled when a later step of its row first enters the layer, all holes of a layer at once, by one of three policies:

- project: the state with which the word left goes through the skipped layer's own norm and key and value projections;
- recompute: the word is run through the layers it skipped, so that the cache is a full run's; exact, and the most expensive;
- copy: the keys and values of the layer after which the word left stand in; costs nothing.

Shape letters: B rows, Q hypotheses, T steps, H heads, K head size, D embed, n holes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mue_cli.inference.walk import Walked
from mue_cli.model.cache import Places, SelfCache
from mue_cli.model.layers import DecoderLayer, KeysValues

Fill = Callable[[int, Places, int], None]
"""Fills the holes of a layer (0-based), all of them among so many first positions; the layers below have no holes there."""

Remember = Callable[[Tensor, Tensor], KeysValues]
RunAgain = Callable[[int, Tensor, Places, int, Remember], Tensor]
"""Runs a layer (0-based) on the states (n, Q, D) of places among so many first positions; for `remember` see DecoderLayer.forward."""


class LeftStates:
    """The states with which rows left early, (B, Q, T, D); nothing is kept before the first one leaves."""

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
            index = torch.tensor(rows, device=sources.device)
            self._states[index, : sources.shape[1], :length] = self._states[index[:, None], sources, :length]


def project(cache: SelfCache, layers: Sequence[DecoderLayer], states: LeftStates) -> Fill:
    """Return the policy that projects the states with which words left."""

    def fill(layer: int, places: Places, length: int) -> None:
        cache.write(layer, places, *layers[layer].self_keys_values(states.at(places)))

    return fill


def copy(cache: SelfCache) -> Fill:
    """Return the policy that lets the layer below stand in; that layer holds its own or, in turn, a copy."""

    def fill(layer: int, places: Places, length: int) -> None:
        cache.write(layer, places, *cache.at(layer - 1, places))

    return fill


def recompute(cache: SelfCache, layers: Sequence[DecoderLayer], states: LeftStates, run_again: RunAgain) -> Fill:
    """Return the policy that runs words through the layers they skipped."""
    projected = project(cache, layers, states)

    def through(layer: int, places: Places, length: int) -> None:
        def remember(keys: Tensor, values: Tensor) -> KeysValues:
            parts = (len(places.rows), places.num_hypotheses)
            new_keys, new_values = (new[:, :, 0].unflatten(0, parts).transpose(1, 2) for new in (keys, values))  # -> (n, H, Q, K)
            cache.write(layer, places, new_keys, new_values)
            return cache.before(layer, places, length)

        states.put(places, run_again(layer, states.at(places), places, length, remember))

    def fill(layer: int, places: Places, length: int) -> None:
        # Of the last layer, later words see keys and values and nothing else.
        (projected if layer + 1 == len(layers) else through)(layer, places, length)

    return fill


class SkippedLayers:
    """Knows the holes of one generation, and has them filled before a layer is entered."""

    def __init__(self, num_layers: int, num_rows: int, fill: Fill, states: LeftStates | None) -> None:
        """states: None for a policy that needs none."""
        self._num_layers, self._fill, self._states = num_layers, fill, states
        self._filled = [[0] * num_rows for _ in range(num_layers)]  # per layer and row: positions without holes

    def leave(self, rows: Sequence[int], position: int, walked: Walked) -> None:
        """Keep the states of the rows that left before the last layer."""
        early = [i for i, exit_layer in enumerate(walked.exit_layers) if exit_layer < self._num_layers]
        if early and self._states is not None:
            places = Places.of([(rows[i], position) for i in early], walked.hidden.shape[1], walked.hidden.device)
            self._states.put(places, walked.hidden[early])

    def before(self, layer: int, rows: Sequence[int], position: int, hidden: Tensor) -> None:
        """Fill the holes of rows that enter a layer (0-based) at a position with states (B', Q', D)."""
        filled = self._filled[layer]
        holes = [(row, hole) for row in rows for hole in range(filled[row], position)]
        if holes:
            self._fill(layer, Places.of(holes, hidden.shape[1], hidden.device), position)
        for row in rows:
            filled[row] = position + 1

    def reorder(self, rows: Sequence[int], sources: Tensor, length: int) -> None:
        """Follow the beam; see SelfCache.reorder."""
        if self._states is not None:
            self._states.reorder(rows, sources, length)
