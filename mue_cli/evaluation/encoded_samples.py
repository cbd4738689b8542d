"""Samples whose encodings are kept after every layer: run under many settings, encoded once.

Shape letters: n samples, R rows of the decoder (one step of one sample), N layers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mue_cli.data.batches import Batch
from mue_cli.evaluation.exit_scores import ScoreRows
from mue_cli.evaluation.oracle import rows_of
from mue_cli.evaluation.predict import (
    Prediction,
    Predictor,
    Progress,
    decode_batch,
    encode_batch,
    predict_batch,
)
from mue_cli.exits.methods import Method
from mue_cli.exits.methods import full as full_method
from mue_cli.exits.observation import Observation
from mue_cli.inference.depths import CachedDepths
from mue_cli.inference.encode import Encoded
from mue_cli.inference.rows import Rows
from mue_cli.inference.walk import Probe

MOST_BYTES = 2 * 1024**3
"""Memory for encodings; samples beyond it are encoded again each time."""

MakeBatch = Callable[[Sequence[int]], Batch]
"""Makes a batch of samples, by number."""


@dataclass(frozen=True, eq=False)
class FullRun:
    """The full model on samples. numbers: of the samples, rising, (n,). predictions: of each.
    encoder: exit scores (n, N) by stream.

    decoder: exit scores (R, N). steps, samples: (R,), the decoding step (from 1; 0 outside
    generation) and the sample of each of its rows.
    """

    numbers: NDArray[np.int64]
    predictions: tuple[Prediction, ...]
    encoder: Mapping[str, NDArray[np.float64]]
    decoder: NDArray[np.float64]
    steps: NDArray[np.int64]
    samples: NDArray[np.int64]


@dataclass
class _Part:
    """Some samples that are run together. cached: None where memory did not suffice."""

    numbers: Sequence[int]
    batch: Batch | None = None
    cached: CachedDepths | None = None


class EncodedSamples:
    """Samples that settings are tried on. num_encoded, num_decoded: samples that went through the
    encoder and the decoder so far, each time counted.
    """

    def __init__(
        self,
        predictor: Predictor,
        method: Method,
        make_batch: MakeBatch,
        order: Sequence[int],
        batch_size: int,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """method: whose exit scores are measured; its thresholds do not matter here. order: the
        samples' numbers, those that are often run together side by side.
        """
        self._predictor, self._method, self._make = predictor, method, make_batch
        self._parts = [
            _Part(order[start : start + batch_size]) for start in range(0, len(order), batch_size)
        ]
        self._left = most_bytes
        self.num_encoded = self.num_decoded = 0

    def full(self, progress: Progress | None = None) -> FullRun:
        """Run every layer of all samples."""
        size = sum(len(part.numbers) for part in self._parts)
        predictions: dict[int, Prediction] = {}
        decoder = self._collector("decoder")
        encoder = {
            stream: self._collector(stream) for stream in self._method.rules if stream != "decoder"
        }
        for part in self._parts:
            for collector in (decoder, *encoder.values()):
                collector.numbers = part.numbers
            batch, cached = self._encode(part, encoder)
            reference = full_method(self._method.decompose)
            answers = decode_batch(
                self._predictor, reference, batch, cached.full, {"decoder": decoder}
            )
            predictions |= dict(zip(part.numbers, answers, strict=True))
            self.num_encoded += len(part.numbers)
            self.num_decoded += len(part.numbers)
            if progress is not None:
                progress(len(predictions), size)
        return FullRun(
            np.array(sorted(predictions), dtype=np.int64),
            tuple(predictions[number] for number in sorted(predictions)),
            {stream: collector.by_sample() for stream, collector in encoder.items()},
            decoder.values(),
            np.array(decoder.steps, dtype=np.int64),
            np.array(decoder.samples, dtype=np.int64),
        )

    def run(
        self, method: Method, exits: Mapping[str, NDArray[np.int64]], samples: Sequence[int]
    ) -> dict[int, Prediction]:
        """Predictions of a method, by sample.

        exits: each sample's exit layer in the encoder, (n,) by stream, as the rules decide.
        """
        wanted, predictions = set(samples), dict[int, Prediction]()
        for part in self._parts:
            rows = [row for row, number in enumerate(part.numbers) if number in wanted]
            if rows:
                numbers = [part.numbers[row] for row in rows]
                answers = self._answers(method, exits, part, rows)
                predictions |= dict(zip(numbers, answers, strict=True))
        self.num_decoded += len(predictions)
        return predictions

    def _answers(
        self,
        method: Method,
        exits: Mapping[str, NDArray[np.int64]],
        part: _Part,
        rows: Sequence[int],
    ) -> list[Prediction]:
        numbers = [part.numbers[row] for row in rows]
        if part.cached is None or part.batch is None:
            self.num_encoded += len(rows)
            return predict_batch(self._predictor, method, self._make(numbers))
        depths = {
            stream: exits[stream][numbers].tolist() if stream in exits else [last] * len(rows)
            for stream, last in part.cached.depths.items()
        }
        return decode_batch(
            self._predictor, method, rows_of(part.batch, rows), part.cached.leaving(depths, rows)
        )

    def _encode(self, part: _Part, probes: Mapping[str, ScoreRows]) -> tuple[Batch, CachedDepths]:
        batch = self._make(part.numbers)
        cached = cached_depths(self._predictor, self._method.decompose, batch, probes)
        if cached.num_bytes <= self._left:
            self._left -= cached.num_bytes
            part.batch, part.cached = _without_pictures(batch), cached
        return batch, cached

    def _collector(self, stream: str) -> ScoreRows:
        score = self._method.rule(stream).score
        assert score is not None
        config = self._predictor.model.config
        decoder = stream == "decoder"
        return ScoreRows(score, config.num_decoder_layers if decoder else config.num_encoder_layers)


def merged_runs(parts: Sequence[FullRun]) -> FullRun:
    """The runs of disjoint samples as one; rows of the decoder by sample and step."""
    if len(parts) == 1:
        return parts[0]
    numbers = np.concatenate([part.numbers for part in parts])
    order = np.argsort(numbers)
    predictions = [each for part in parts for each in part.predictions]
    steps = np.concatenate([part.steps for part in parts])
    samples = np.concatenate([part.samples for part in parts])
    rows = np.lexsort((steps, samples))
    return FullRun(
        numbers[order],
        tuple(predictions[place] for place in order),
        {
            stream: np.concatenate([part.encoder[stream] for part in parts])[order]
            for stream in parts[0].encoder
        },
        np.concatenate([part.decoder for part in parts])[rows],
        steps[rows],
        samples[rows],
    )


def cached_depths(
    predictor: Predictor, decompose: bool, batch: Batch, probes: Mapping[str, Probe]
) -> CachedDepths:
    """A batch at every depth of the encoder. probes: watch the encoding too, by stream."""
    method = full_method(decompose)

    def encode(keepers: Mapping[str, Probe]) -> Encoded:
        both = {
            stream: partial(_each, [keeper, *([probes[stream]] if stream in probes else [])])
            for stream, keeper in keepers.items()
        }
        return encode_batch(predictor, method, batch, both)

    with torch.inference_mode():
        return CachedDepths(predictor.model, method, encode)


def _each(probes: Sequence[Probe], observation: Observation, rows: Rows) -> None:
    for probe in probes:
        probe(observation, rows)


def _without_pictures(batch: Batch) -> Batch:
    """The batch for decoding, which looks at encodings alone."""
    return replace(batch, images=batch.images[:, :0])
