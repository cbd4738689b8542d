"""Keys and values of decoding, per layer.

Self-attention: preallocated, one line per row and hypothesis, reordered with the beam. A row that
left early at some step has a hole at that position in every deeper layer. `write` fills it; with
what is for the caller to say.

Cross-attention: once per image and layer, for the rows that reach the layer, never per hypothesis.

Shape letters: B rows, Q hypotheses, T steps, H heads, K head size, S encoder tokens, n places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mue_cli.inference.attention import Parts
from mue_cli.inference.rows import index_tensor
from mue_cli.model.layers import DecoderLayer, KeysValues


@dataclass(frozen=True)
class Places:
    """Single positions of rows, of the first so many hypotheses each. rows, positions: (n,).
    row_numbers: `rows` as numbers.
    """

    rows: Tensor
    positions: Tensor
    row_numbers: tuple[int, ...]
    num_hypotheses: int

    @classmethod
    def of(
        cls, places: Sequence[tuple[int, int]], num_hypotheses: int, device: torch.device
    ) -> "Places":
        """Take pairs of row and position."""
        rows, positions = index_tensor(places, device).unbind(1)
        return cls(rows, positions, tuple(row for row, _ in places), num_hypotheses)

    def __len__(self) -> int:
        return len(self.row_numbers)

    def __add__(self, others: "Places") -> "Places":
        return Places(
            torch.cat([self.rows, others.rows]),
            torch.cat([self.positions, others.positions]),
            self.row_numbers + others.row_numbers,
            self.num_hypotheses,
        )


class SelfCache:
    """Self-attention's keys and values of one generation, for all decoder layers."""

    def __init__(self, num_layers: int, num_rows: int, num_hypotheses: int, num_steps: int) -> None:
        self._shape = (num_rows, num_hypotheses, num_steps)
        self._keys: list[Tensor | None] = [None] * num_layers
        self._values: list[Tensor | None] = [None] * num_layers

    @property
    def num_rows(self) -> int:
        return self._shape[0]

    def extend(
        self, layer: int, rows: Sequence[int], position: int, keys: Tensor, values: Tensor
    ) -> KeysValues:
        """Store the new position of some rows, (B' * Q', H, 1, K), and return all up to it, (B' *
        Q', H, position + 1, K).

        Q' may be smaller than Q (the first step of a beam has one hypothesis). Holes before the
        position must have been filled.
        """
        stored_keys, stored_values = self._storage(layer, keys)
        num_hypotheses = len(keys) // len(rows)
        # All rows are a slice: what is read is then a view, not a copy.
        all_rows = len(rows) == self._shape[0]
        index = slice(None) if all_rows else index_tensor(rows, keys.device)
        for stored, new in ((stored_keys, keys), (stored_values, values)):
            stored[index, :num_hypotheses, :, position] = new[:, :, 0].unflatten(
                0, (len(rows), num_hypotheses)
            )
        return self._read(layer, index, num_hypotheses, position + 1)

    def write(self, layer: int, places: Places, keys: Tensor, values: Tensor) -> None:
        """Store keys and values, each (n, H, Q', K), at some places."""
        for stored, new in zip(self._storage(layer, keys), (keys, values), strict=True):
            stored[places.rows, : places.num_hypotheses, :, places.positions] = new.transpose(1, 2)

    def at(self, layer: int, places: Places) -> KeysValues:
        """Return the keys and values of some places, each (n, H, Q', K)."""
        index = (places.rows, slice(places.num_hypotheses), slice(None), places.positions)
        keys, values = (stored[index].transpose(1, 2) for stored in self._stored(layer))
        return keys, values

    def before(self, layer: int, places: Places, length: int) -> KeysValues:
        """Return the first `length` positions of each place's row, each (n * Q', H, length, K)."""
        return self._read(layer, places.rows, places.num_hypotheses, length)

    def put(self, layer: int, position: Tensor, keys: Tensor, values: Tensor) -> KeysValues:
        """Store keys and values of all rows, (B Q', H, 1, K), at a position (1,) that the host need
        not know; return those of every position, (B Q', H, T, K), later ones included.
        """
        num_hypotheses = len(keys) // self.num_rows
        for stored, new in zip(self._storage(layer, keys), (keys, values), strict=True):
            own = new.unflatten(0, (self.num_rows, num_hypotheses))  # (B, Q', H, 1, K)
            stored[:, :num_hypotheses].index_copy_(3, position, own)
        return self._read(layer, slice(None), num_hypotheses, self._shape[2])

    def reorder(self, rows: Sequence[int], sources: Tensor, length: int) -> None:
        """Let hypothesis q of each row continue hypothesis sources[row, q]; sources: (B', Q).
        `length` positions are in use.
        """
        index = index_tensor(rows, sources.device)[:, None]
        for stored in (*self._keys, *self._values):
            if stored is not None:
                stored[index[:, 0], : sources.shape[1], :, :length] = stored[
                    index, sources, :, :length
                ]

    def _read(
        self, layer: int, rows: Tensor | slice, num_hypotheses: int, length: int
    ) -> KeysValues:
        keys, values = (
            stored[rows, :num_hypotheses, :, :length].flatten(0, 1)
            for stored in self._stored(layer)
        )
        return keys, values

    def _stored(self, layer: int) -> KeysValues:
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None and values is not None
        return keys, values

    def _storage(self, layer: int, like: Tensor) -> KeysValues:
        if self._keys[layer] is None:
            num_heads, _, head_dim = like.shape[-3:]
            shape = (*self._shape[:2], num_heads, self._shape[2], head_dim)  # (B, Q, H, T, K)
            self._keys[layer], self._values[layer] = like.new_zeros(shape), like.new_zeros(shape)
        return self._stored(layer)


class CrossCache:
    """Cross-attention's keys and values of one batch, computed when a row first reaches a layer."""

    def __init__(
        self,
        layers: Sequence[DecoderLayer],
        encoder_output: Tensor,
        storage: list[KeysValues | None] | None = None,
    ) -> None:
        """storage: of an earlier batch of the same shape, whose tensors are written anew; a list of
        None is filled.
        """
        self._layers = layers
        self._encoder_output = encoder_output  # (B, S, D)
        self._keys_values: list[KeysValues | None] = (
            [None] * len(layers) if storage is None else storage
        )
        self._missing = [set(range(len(encoder_output))) for _ in layers]

    def get(self, layer: int, rows: Sequence[int]) -> Parts:
        """Return keys and values of some rows, each (b, H, S, K), as views: one part for every run
        of neighbouring rows, or of one row.
        """
        missing = sorted(self._missing[layer].intersection(rows))
        if len(missing) == len(self._encoder_output):
            self._put(layer, *self._layers[layer].cross_keys_values(self._encoder_output))
        elif missing:
            self._compute(layer, missing)
        self._missing[layer].difference_update(missing)
        kept = self._keys_values[layer]
        assert kept is not None
        return [
            (places, kept[0][start:end], kept[1][start:end]) for places, start, end in _runs(rows)
        ]

    def _put(self, layer: int, keys: Tensor, values: Tensor) -> None:
        kept = self._keys_values[layer]
        if kept is None:
            self._keys_values[layer] = _settled(keys, values)
        else:
            for stored, new in zip(kept, (keys, values), strict=True):
                stored.copy_(new)

    def _compute(self, layer: int, rows: list[int]) -> None:
        index = index_tensor(rows, self._encoder_output.device)
        keys, values = self._layers[layer].cross_keys_values(self._encoder_output[index])
        kept = self._keys_values[layer]
        if kept is None:
            shape = (len(self._encoder_output), *keys.shape[1:])
            kept = self._keys_values[layer] = _settled(keys.new_zeros(shape), keys.new_zeros(shape))
        kept[0][index], kept[1][index] = keys, values


def _settled(keys: Tensor, values: Tensor) -> KeysValues:
    """Lay keys and values out for the many words that will read them: in one piece per head, that
    is a quarter faster.

    On a CPU keys lie transposed: few queries read them another quarter faster. Not in low
    precision, where scores would be rounded.
    """
    if keys.device.type == "cpu" and keys.dtype == torch.float32:
        return keys.transpose(2, 3).contiguous().transpose(2, 3), values.contiguous()
    return keys.contiguous(), values.contiguous()


def _runs(rows: Sequence[int]) -> Iterator[tuple[slice, int, int]]:
    """Yield runs of neighbouring rows, or of one row again and again: their places in `rows`, the
    first row, and the one after the last.
    """
    start = 0
    while start < len(rows):
        end, step = start + 1, rows[min(start + 1, len(rows) - 1)] - rows[start]
        while step in (0, 1) and end < len(rows) and rows[end] - rows[end - 1] == step:
            end += 1
        yield slice(start, end), rows[start], rows[end - 1] + 1
        start = end
