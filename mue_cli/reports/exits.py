"""Where samples and words left: how many after each layer, and how a word's exit depends on its
place in the caption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMAL_95 = 1.96
"""Standard errors on either side of a mean that hold it in 95 of 100 cases."""


@dataclass(frozen=True)
class Position:
    """The words at one decoding step (from 1): how many, their mean exit layer, and its 95 %
    interval, which is nothing for one word.
    """

    step: int
    num_words: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Exits:
    """Exit layers, counted from 1. encoder: stream -> one per sample. words: per sample, one for
    each word of its answer, in order.

    about: whose exits on which data, in words.
    """

    encoder: Mapping[str, Sequence[int]]
    words: Sequence[Sequence[int]]
    num_encoder_layers: int
    num_decoder_layers: int
    about: str

    def of(self, stream: str) -> list[int]:
        """Return a stream's exit layers; the decoder's are those of all words."""
        return (
            [layer for words in self.words for layer in words]
            if stream == "decoder"
            else list(self.encoder[stream])
        )

    def num_layers(self, stream: str) -> int:
        """Return how many layers a stream has."""
        return self.num_decoder_layers if stream == "decoder" else self.num_encoder_layers

    def shares(self, stream: str) -> NDArray[np.float64]:
        """Return (N,): the share that left after each layer, a fraction."""
        counts = np.bincount(self.of(stream), minlength=self.num_layers(stream) + 1)[1:]
        return counts / counts.sum()

    def positions(self) -> list[Position]:
        """Return the words of every decoding step."""
        longest = max(map(len, self.words))
        return [
            _position(step, [words[step - 1] for words in self.words if len(words) >= step])
            for step in range(1, longest + 1)
        ]


def _position(step: int, layers: Sequence[int]) -> Position:
    mean = float(np.mean(layers))
    half = (
        NORMAL_95 * float(np.std(layers, ddof=1)) / len(layers) ** 0.5 if len(layers) > 1 else 0.0
    )
    return Position(step, len(layers), mean, mean - half, mean + half)
