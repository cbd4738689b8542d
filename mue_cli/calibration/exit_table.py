"""Exit table: every sample's exit scores and own score at every combination of exit layers.

Where an answer is one pass (a closed set), an encoding cached after every layer and one decoding of
each combination tell what every setting would do, exactly: the whole grid costs no further run.

Letters: n samples, N encoder layers, M decoder layers, C settings, K streams, t thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mue_cli.calibration.candidates import Array, Layers, first_above
from mue_cli.calibration.measured import Measured, Setting
from mue_cli.calibration.settings import Settings


@dataclass(frozen=True, eq=False)
class ExitTable:
    """encoder: exit scores (n, N) by stream, none for a method of the decoder alone. decoder: exit
    scores (n, N, ..., M), an axis for each encoder stream in order. scores: each sample's own score
    when it leaves there, same shape.
    """

    encoder: Mapping[str, Array]
    decoder: Array
    scores: Array

    def __len__(self) -> int:
        return len(self.scores)

    def part(self, samples: Sequence[int]) -> "ExitTable":
        """The table of some samples."""
        index = np.asarray(samples)
        encoder = {stream: scores[index] for stream, scores in self.encoder.items()}
        return ExitTable(encoder, self.decoder[index], self.scores[index])

    def exits(self, setting: Setting) -> dict[str, Layers]:
        """Exit layer of every sample by stream, (n,), from 1."""
        layers = {
            stream: first_above(scores, [setting.thresholds[stream]])[0]
            for stream, scores in self.encoder.items()
        }
        decoder = self.decoder[(np.arange(len(self)), *(each - 1 for each in layers.values()))]
        return layers | {"decoder": first_above(decoder, [setting.thresholds["decoder"]])[0]}

    def measure(self, setting: Setting, samples: Sequence[int] | None = None) -> Measured:
        """The setting on the table's samples, by number (None: all), at Eq. 14's cost."""
        exits = self.exits(setting)
        scores = self.scores[(np.arange(len(self)), *(layers - 1 for layers in exits.values()))]
        depths = [exits[stream] / each.shape[1] for stream, each in self.encoder.items()]
        encoder = np.mean(depths, axis=0) if depths else np.ones(len(self))
        spent = np.column_stack([encoder, exits["decoder"] / self.decoder.shape[-1]])
        measured = Measured(setting, scores, spent, np.ones_like(spent))
        return measured if samples is None else measured.of(samples)

    def grid(
        self, settings: Settings, samples: Sequence[int], values: Array | None = None
    ) -> "GridMeans":
        """Mean score and mean saving of every setting on some samples.

        values: to take means of instead of the scores, of the same shape: losses.
        """
        values = self.scores if values is None else values
        index = np.asarray(samples)
        streams = [stream for stream in settings.streams if stream != "decoder"]
        columns = [settings.candidates[stream].thresholds for stream in streams]
        layers = [
            first_above(self.encoder[stream][index], column) - 1
            for stream, column in zip(streams, columns, strict=True)
        ]  # (t, n) each
        theta = settings.candidates["decoder"].thresholds
        scores, saved = [], []
        for places in np.ndindex(*(len(column) for column in columns)):
            at = [each[place] for each, place in zip(layers, places, strict=True)]
            decoder = first_above(self.decoder[(index, *at)], theta) - 1  # (t, n)
            scores.append(values[(index, *at, decoder)].mean(axis=1))
            saved.append(self._saved(streams, at, decoder))
        return GridMeans(np.concatenate(scores), np.concatenate(saved))

    def _saved(self, streams: Sequence[str], at: Sequence[Layers], decoder: Layers) -> Array:
        """Fractions of the layers that each stream saves, (t, K), the decoder last. at, decoder:
        0-based exit layers.
        """
        encoder = [
            1.0 - (layers.mean() + 1.0) / self.encoder[stream].shape[1]
            for stream, layers in zip(streams, at, strict=True)
        ]
        last = 1.0 - (decoder.mean(axis=1) + 1.0) / self.decoder.shape[-1]
        return np.column_stack([*(np.full(len(last), each) for each in encoder), last])


@dataclass(frozen=True, eq=False)
class GridMeans:
    """scores: (C,). saved: (C, K), fractions of the layers, the decoder last."""

    scores: Array
    saved: Array
