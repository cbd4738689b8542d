"""Keys and values of decoding, per layer, with a policy for layers that were skipped.

Self-attention: preallocated, one line per row and hypothesis, reordered with the beam. A row that left early at some step has a hole at
that position in every deeper layer. The hole is filled only if a later step reaches that layer, all holes of a layer at once:

Paper: silent. Release: announces a copy, writes nothing, so caches fall out of step with positions.
Here (`project`): the state with which the row left goes through the deeper layer's own norm and key and value projections.

Cross-attention: once per image and layer, for the rows that reach the layer, never per hypothesis.

Shape letters: B rows, Q hypotheses, T steps, H heads, K head size, D embed, S encoder tokens.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mue_cli.model.layers import CrossParts, DecoderLayer, KeysValues


class SelfCache:
    """Self-attention's keys and values of one generation, for all decoder layers."""

    def __init__(self, layers: Sequence[DecoderLayer], num_rows: int, num_hypotheses: int, num_steps: int, like: Tensor) -> None:
        self._layers = layers
        self._shape = (num_rows, num_hypotheses, num_steps)
        self._keys: list[Tensor | None] = [None] * len(layers)
        self._values: list[Tensor | None] = [None] * len(layers)
        self._filled = [[0] * num_rows for _ in layers]
        self._left_with = like.new_zeros(*self._shape, like.shape[-1])  # (B, Q, T, D)

    def extend(self, layer: int, rows: Sequence[int], position: int, keys: Tensor, values: Tensor) -> KeysValues:
        """Store the new position of some rows, (B' * Q', H, 1, K), and return all up to it, (B' * Q', H, position + 1, K).

        Q' may be smaller than Q (the first step of a beam has one hypothesis). Holes before the position are filled first.
        """
        self._fill_holes(layer, rows, position)
        stored_keys, stored_values = self._storage(layer, keys)
        num_hypotheses = len(keys) // len(rows)
        index = self._index(rows, keys)
        stored_keys[index, :num_hypotheses, :, position] = keys[:, :, 0].unflatten(0, (len(rows), num_hypotheses))
        stored_values[index, :num_hypotheses, :, position] = values[:, :, 0].unflatten(0, (len(rows), num_hypotheses))
        for row in rows:
            self._filled[layer][row] = position + 1
        return (
            stored_keys[index, :num_hypotheses, :, : position + 1].flatten(0, 1),
            stored_values[index, :num_hypotheses, :, : position + 1].flatten(0, 1),
        )

    def leave(self, rows: Sequence[int], position: int, hidden: Tensor) -> None:
        """Keep the states (B', Q', D) with which rows left at a position, for layers that may need them later."""
        self._left_with[self._index(rows, hidden), : hidden.shape[1], position] = hidden

    def reorder(self, rows: Sequence[int], sources: Tensor, length: int) -> None:
        """Let hypothesis q of each row continue hypothesis sources[row, q]; sources: (B', Q). `length` positions are in use."""
        index = self._index(rows, sources)[:, None]
        for stored in (*self._keys, *self._values):
            if stored is not None:
                stored[index[:, 0], :, :, :length] = stored[index, sources, :, :length]
        self._left_with[index[:, 0], :, :length] = self._left_with[index, sources, :length]

    def _fill_holes(self, layer: int, rows: Sequence[int], position: int) -> None:
        holes = [(row, hole) for row in rows for hole in range(self._filled[layer][row], position)]
        if not holes:
            return
        row_index, hole_index = torch.tensor(holes, device=self._left_with.device).unbind(1)
        keys, values = self._layers[layer].self_keys_values(self._left_with[row_index, :, hole_index])  # (holes, Q, D) -> (holes, H, Q, K)
        stored_keys, stored_values = self._storage(layer, keys)
        stored_keys[row_index, :, :, hole_index] = keys.transpose(1, 2)
        stored_values[row_index, :, :, hole_index] = values.transpose(1, 2)

    def _storage(self, layer: int, like: Tensor) -> KeysValues:
        keys, values = self._keys[layer], self._values[layer]
        if keys is None or values is None:
            num_rows, num_hypotheses, num_steps = self._shape
            shape = (num_rows, num_hypotheses, like.shape[1], num_steps, like.shape[3])  # (B, Q, H, T, K)
            keys, values = self._keys[layer], self._values[layer] = like.new_zeros(shape), like.new_zeros(shape)
        return keys, values

    @staticmethod
    def _index(rows: Sequence[int], like: Tensor) -> Tensor:
        return torch.tensor(rows, device=like.device)


class CrossCache:
    """Cross-attention's keys and values of one batch, computed when a row first reaches a layer."""

    def __init__(self, layers: Sequence[DecoderLayer], encoder_output: Tensor) -> None:
        self._layers = layers
        self._encoder_output = encoder_output  # (B, S, D)
        self._keys_values: list[KeysValues | None] = [None] * len(layers)
        self._missing = [set(range(len(encoder_output))) for _ in layers]

    def get(self, layer: int, rows: Sequence[int]) -> CrossParts:
        """Return keys and values of some rows, each (b, H, S, K), as views: one part for every run of neighbouring rows."""
        missing = sorted(self._missing[layer].intersection(rows))
        if len(missing) == len(self._encoder_output):
            self._keys_values[layer] = self._layers[layer].cross_keys_values(self._encoder_output)
        elif missing:
            self._compute(layer, missing)
        self._missing[layer].difference_update(missing)
        kept = self._keys_values[layer]
        assert kept is not None
        return [(slice(place, place + end - start), kept[0][start:end], kept[1][start:end]) for place, start, end in _runs(rows)]

    def _compute(self, layer: int, rows: list[int]) -> None:
        index = torch.tensor(rows, device=self._encoder_output.device)
        keys, values = self._layers[layer].cross_keys_values(self._encoder_output[index])
        kept = self._keys_values[layer]
        if kept is None:
            shape = (len(self._encoder_output), *keys.shape[1:])
            kept = self._keys_values[layer] = (keys.new_zeros(shape), keys.new_zeros(shape))
        kept[0][index], kept[1][index] = keys, values


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield runs of neighbouring rows, in order: the place of the first in `rows`, its number, and the number after the last."""
    place = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i] != rows[i - 1] + 1:
            yield place, rows[place], rows[i - 1] + 1
            place = i
