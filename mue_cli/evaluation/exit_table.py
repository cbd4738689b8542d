"""The exit table of a closed set of answers: what every setting would answer, from one encoding.

Each batch is encoded once; the decoder reads it at every combination of encoder depths and is read
out after each of its own layers. No exit changes what another layer sees, so the table is exact.

Shape letters: n samples, N encoder layers, M decoder layers, A answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mue_cli.calibration.exit_table import ExitTable
from mue_cli.evaluation.encoded_samples import MakeBatch, cached_depths
from mue_cli.evaluation.exit_scores import ScoreRows
from mue_cli.evaluation.predict import Prediction, Predictor, Progress, decode_batch
from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation
from mue_cli.inference.depths import CachedDepths, Depths
from mue_cli.inference.rows import Rows


@dataclass(frozen=True, eq=False)
class Answers:
    """numbers: of the samples, rising. table: scores are 100 for a right answer and 0 for a wrong
    one. choices: numbers of the answers, same shape. predictions: the full model's. num_decoded:
    samples that were decoded, once for each combination of depths.
    """

    numbers: tuple[int, ...]
    table: ExitTable
    choices: NDArray[np.int8]
    predictions: tuple[Prediction, ...]
    num_decoded: int


@torch.inference_mode()
def tabulate(
    predictor: Predictor,
    method: Method,
    make_batch: MakeBatch,
    parts: Sequence[Sequence[int]],
    progress: Progress | None = None,
) -> Answers:
    """Tabulate a method on samples.

    method: whose exit scores are compared; its thresholds do not matter here. parts: numbers of the
    samples that are run together.
    """
    config = predictor.model.config
    streams = [stream for stream in method.rules if stream != "decoder"]
    depths = (config.num_encoder_layers,) * len(streams)
    every = sorted(number for numbers in parts for number in numbers)
    size, row_of = len(every), {number: row for row, number in enumerate(every)}
    shape = (size, *depths, config.num_decoder_layers)
    scores, choices = np.empty(shape), np.empty(shape, dtype=np.int8)
    encoder = {stream: _collector(method, stream, config.num_encoder_layers) for stream in streams}
    predictions: dict[int, Prediction] = {}
    for numbers in parts:
        batch = make_batch(numbers)
        for collector in encoder.values():
            collector.numbers = numbers
        cached = cached_depths(predictor, method.decompose, batch, encoder)
        for place, at in _combinations(cached, streams):
            probe = _Answering(method, config.num_decoder_layers)
            answers = decode_batch(
                predictor, _reading(method), batch, cached.at(at), {"decoder": probe}
            )
            rows: Any = ([row_of[number] for number in numbers], *place)
            scores[rows], choices[rows] = probe.scores(), probe.choices()
        predictions |= dict(zip(numbers, answers, strict=True))  # the last are at full depth
        if progress is not None:
            progress(len(predictions), size)
    ordered = tuple(predictions[number] for number in every)
    answers_of = predictor.task.answers
    right = np.array([answers_of.index(each.references[0]) for each in ordered], dtype=int)
    own = 100.0 * (choices == right.reshape(-1, *[1] * (choices.ndim - 1)))
    table = ExitTable({name: each.by_sample() for name, each in encoder.items()}, scores, own)
    return Answers(tuple(every), table, choices, ordered, size * int(np.prod(depths, dtype=int)))


def merged_answers(parts: Sequence[Answers]) -> Answers:
    """The answers of disjoint samples as one."""
    numbers = [number for part in parts for number in part.numbers]
    order = np.argsort(numbers)
    predictions = [each for part in parts for each in part.predictions]
    tables = [part.table for part in parts]

    def joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(arrays)[order]

    encoder = {name: joined([each.encoder[name] for each in tables]) for name in tables[0].encoder}
    decoder, scores = joined([t.decoder for t in tables]), joined([t.scores for t in tables])
    return Answers(
        tuple(sorted(numbers)),
        ExitTable(encoder, decoder, scores),
        joined([part.choices for part in parts]),
        tuple(predictions[place] for place in order),
        sum(part.num_decoded for part in parts),
    )


def _combinations(
    cached: CachedDepths, streams: Sequence[str]
) -> list[tuple[tuple[int, ...], Depths]]:
    """Places in the table and depths, full depth last; where no stream of the encoder leaves, full
    depth alone.
    """
    everything = cached.combinations()
    if not streams:
        return [((), everything[-1])]
    return [(tuple(at[stream] - 1 for stream in streams), at) for at in everything]


def _reading(method: Method) -> Method:
    """The method without its rules: it runs every layer and reads them out with its own head."""
    return Method(method.name, method.decompose, {}, method.skipped_layers, method.head)


def _collector(method: Method, stream: str, num_layers: int) -> ScoreRows:
    score = method.rule(stream).score
    assert score is not None
    return ScoreRows(score, num_layers)


class _Answering:
    """Notes the decoder's exit score and its most probable answer after every layer."""

    def __init__(self, method: Method, num_layers: int) -> None:
        score = method.rule("decoder").score
        assert score is not None
        self._score, self._num_layers = score, num_layers
        self._scores: list[torch.Tensor] = []
        self._choices: list[torch.Tensor] = []

    def __call__(self, observation: Observation, rows: Rows) -> None:
        self._scores.append(self._score(observation).float())
        self._choices.append(observation.logits()[:, 0].argmax(1))

    def scores(self) -> NDArray[np.float64]:
        """Exit scores of the batch, (B, M)."""
        return torch.stack(self._scores, 1).cpu().numpy().astype(np.float64)

    def choices(self) -> NDArray[np.int8]:
        """Numbers of the answers, (B, M)."""
        return torch.stack(self._choices, 1).cpu().numpy().astype(np.int8)
