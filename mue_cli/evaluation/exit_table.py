"""The exit table of a closed set of answers: what every setting would answer, from one encoding.

Each batch is encoded once; the decoder reads it at every combination of encoder depths and is read
out after each of its own layers. No exit changes what another layer sees, so the table is exact.

Shape letters: n samples, N encoder layers, M decoder layers, A answers.
"""

from collections.abc import Iterable, Sequence
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
    """table: scores are 100 for a right answer and 0 for a wrong one. choices: numbers of the
    answers, same shape. predictions: the full model's. num_decoded: samples that were decoded, once
    for each combination of depths.
    """

    table: ExitTable
    choices: NDArray[np.int8]
    predictions: tuple[Prediction, ...]
    num_decoded: int


@torch.inference_mode()
def tabulate(
    predictor: Predictor,
    method: Method,
    make_batch: MakeBatch,
    parts: Iterable[Sequence[int]],
    size: int,
    progress: Progress | None = None,
) -> Answers:
    """Tabulate a method on `size` samples.

    method: whose exit scores are compared; its thresholds do not matter here. parts: numbers of the
    samples that are run together.
    """
    config = predictor.model.config
    streams = [stream for stream in method.rules if stream != "decoder"]
    depths = (config.num_encoder_layers,) * len(streams)
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
            rows: Any = (list(numbers), *place)
            scores[rows], choices[rows] = probe.scores(), probe.choices()
        predictions |= dict(zip(numbers, answers, strict=True))  # the last are at full depth
        if progress is not None:
            progress(len(predictions), size)
    ordered = tuple(predictions[number] for number in range(size))
    right = np.array([predictor.task.answers.index(each.references[0]) for each in ordered])
    own = 100.0 * (choices == right.reshape(-1, *[1] * (choices.ndim - 1)))
    table = ExitTable({name: each.by_sample() for name, each in encoder.items()}, scores, own)
    return Answers(table, choices, ordered, size * int(np.prod(depths, dtype=int)))


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
