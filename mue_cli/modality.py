"""How deep each modality has to be encoded: the score for every pair of image and text exit layers, the decoder at full depth (Table 2).

Decomposed streams do not see each other (Eq. 3): what the image stream is after layer i does not depend on where the text leaves. So a
batch is encoded once, the states after every layer are kept, and each pair is joined from them as the encoder itself joins (Eq. 4): exact,
with one encoding instead of N * N.

Shape letters: B rows, S tokens of a stream, D embed, N layers.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mue_cli.data.batches import Batch
from mue_cli.exits.observation import Observation
from mue_cli.inference.encode import Encoded
from mue_cli.inference.walk import Probe, Rows

P = TypeVar("P")
Pair = tuple[int, int]
"""Exit layers of the image and of the text, counted from 1."""

STREAMS = ("image", "text")


class StateProbe:
    """Keeps what every layer of one stream gave. For a method that runs every layer."""

    def __init__(self) -> None:
        self.states: list[Tensor] = []  # N of (B, S, D)

    def __call__(self, observation: Observation, rows: Rows) -> None:
        self.states.append(observation.after)


@torch.inference_mode()
def score_pairs(
    batches: Iterable[Batch],
    encode: Callable[[Batch, Mapping[str, Probe]], Encoded],
    join: Callable[[list[Tensor]], Tensor],
    decode: Callable[[Batch, Encoded], Sequence[P]],
    score: Callable[[Sequence[P]], float],
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Return the score of every pair, (N, N): row image layer - 1, column text layer - 1.

    encode: of a batch, every layer of both streams, under probes. join: the streams' last states to the encoder's output. decode: under a
    method whose decoder runs every layer. progress: samples decoded, each once for every pair.
    """
    found: dict[Pair, list[P]] = {}
    done = 0
    for batch in batches:
        for pair, encoded in encoded_pairs(batch, encode, join):
            predictions = decode(batch, encoded)
            found.setdefault(pair, []).extend(predictions)
            done += len(predictions)
            if progress is not None:
                progress(done)
    num_layers = max(image for image, _ in found)
    return np.array([[score(found[image, text]) for text in range(1, num_layers + 1)] for image in range(1, num_layers + 1)])


def encoded_pairs(
    batch: Batch, encode: Callable[[Batch, Mapping[str, Probe]], Encoded], join: Callable[[list[Tensor]], Tensor]
) -> Iterator[tuple[Pair, Encoded]]:
    """Encode a batch once and yield it as it is with every pair of exit layers. Raises ValueError when there is one joint stream."""
    probes = {stream: StateProbe() for stream in STREAMS}
    whole = encode(batch, probes)
    if set(whole.exit_layers) != set(STREAMS):
        raise ValueError(f"pairs of exit layers need the streams {' and '.join(STREAMS)}, not {', '.join(whole.exit_layers)}")
    num_rows = len(whole.hidden)
    for layers in itertools.product(*(enumerate(probes[stream].states, start=1) for stream in STREAMS)):
        (image, image_state), (text, text_state) = layers
        exits = {"image": [image] * num_rows, "text": [text] * num_rows}
        yield (image, text), replace(whole, hidden=join([image_state, text_state]), exit_layers=exits)
