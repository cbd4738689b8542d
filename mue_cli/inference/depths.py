"""The encoder's output at every depth of every stream, from one run.

Streams do not see each other (Eq. 3): what the image stream is after layer i does not depend on
where the text leaves. So the states after every layer are kept, and any depths are joined from them
as the encoder itself joins (Eq. 4): exact, with one encoding.

Shape letters: B rows, S tokens of a stream, D embed, N layers.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation
from mue_cli.inference.encode import Encoded
from mue_cli.inference.rows import Rows, index_tensor
from mue_cli.inference.walk import Probe
from mue_cli.model.backbone import Backbone

Depths = Mapping[str, int]
"""Exit layer by stream, counted from 1."""


class CachedDepths:
    """One batch at every depth. full: the batch as it is after all layers."""

    def __init__(
        self, model: Backbone, method: Method, encode: Callable[[Mapping[str, Probe]], Encoded]
    ) -> None:
        """encode: runs every layer of the method's streams under probes."""
        streams = ("image", "text") if method.decompose else ("joint",)
        keepers = {stream: _Keeper() for stream in streams}
        self._join = model.encoder.join
        self.full = encode(keepers)
        self._states = {stream: keeper.states for stream, keeper in keepers.items()}

    def combinations(self) -> list[Depths]:
        """Return all combinations of depths, the last stream's changing fastest."""
        ranges = [range(1, len(states) + 1) for states in self._states.values()]
        return [
            dict(zip(self._states, depths, strict=True)) for depths in itertools.product(*ranges)
        ]

    def at(self, depths: Depths, rows: Sequence[int] | None = None) -> Encoded:
        """Return what the encoder gives when its streams leave at these depths. rows: of the batch
        (None: all).
        """
        count = len(self.full.hidden) if rows is None else len(rows)
        return self.leaving({stream: [depth] * count for stream, depth in depths.items()}, rows)

    def leaving(
        self, exit_layers: Mapping[str, Sequence[int]], rows: Sequence[int] | None = None
    ) -> Encoded:
        """Return what the encoder gives when each row leaves its streams where it wants to.

        exit_layers: by stream, of each of the `rows` (None: all of the batch), counted from 1.
        """
        rows = range(len(self.full.hidden)) if rows is None else rows
        index = index_tensor(rows, self.full.hidden.device)
        mask, counts = self.full.padding_mask, self.full.num_tokens
        hidden = [
            torch.stack(
                [
                    states[layer - 1][row]
                    for row, layer in zip(rows, exit_layers[stream], strict=True)
                ]
            )
            for stream, states in self._states.items()
        ]
        return replace(
            self.full,
            hidden=self._join(hidden),
            padding_mask=None if mask is None else mask[index],
            exit_layers={stream: list(layers) for stream, layers in exit_layers.items()},
            num_tokens={stream: [each[row] for row in rows] for stream, each in counts.items()},
        )

    @property
    def depths(self) -> Depths:
        """Full depth, by stream."""
        return {stream: len(states) for stream, states in self._states.items()}

    @property
    def num_bytes(self) -> int:
        """Return how much memory the states take."""
        states = (state for stream in self._states.values() for state in stream)
        return sum(state.element_size() * state.nelement() for state in states)


class _Keeper:
    """Keeps a stream's state after every layer."""

    def __init__(self) -> None:
        self.states: list[Tensor] = []

    def __call__(self, observation: Observation, rows: Rows) -> None:
        self.states.append(observation.after)
