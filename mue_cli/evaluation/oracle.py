"""The oracle: per sample the exits with the largest reduction (Eq. 14) for which the answer is
still the full model's.

No rule can know them; they say about how much could be saved without changing an answer. All depths
of the encoder are tried, exactly, from states that are cached once. At each, a word leaves the
decoder after the first layer whose most probable next word is right, for all hypotheses of a beam:
for captions the last layer's at that depth, where the whole caption there is the full model's; for
closed-set answers the full model's answer itself, so that no cheaper exits exist.

For captions it is not a strict bound. Skipped layers are taken to be recomputed, so that later
words see what full depth would show; with greedy search then no word changes. A beam also compares
probabilities, and where the most probable word is forbidden (an n-gram twice) the next one counts.
Exits that go wrong on the way and still end in the same caption are not looked for.

Shape letters: B rows, Q hypotheses, V classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import torch

from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.data.batches import Batch
from mue_cli.evaluation.predict import Prediction, Predictor, Progress, decode_batch, encode_batch
from mue_cli.exits.catalogue import ORACLE
from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation
from mue_cli.inference.depths import CachedDepths, Depths
from mue_cli.inference.rows import Rows


def find_oracle(
    predictor: Predictor,
    decompose: bool,
    batches: Iterable[Batch],
    progress: Progress | None = None,
) -> list[Prediction]:
    """Return the full model's predictions with the oracle's exits in their traces. progress: as in
    `evaluation.predict`.
    """
    predictions: list[Prediction] = []
    for batch in batches:
        predictions += _of_batch(predictor, oracle_method(decompose), batch)
        if progress is not None:
            progress(len(predictions), -1)
    return predictions


def oracle_method(decompose: bool) -> Method:
    """Return the full model under the oracle's name; costs take skipped layers as recomputed."""
    return Method(ORACLE, decompose, skipped_layers="recompute")


@torch.inference_mode()
def _of_batch(predictor: Predictor, method: Method, batch: Batch) -> list[Prediction]:
    config = predictor.model.config
    cached = CachedDepths(predictor.model, method, partial(encode_batch, predictor, method, batch))
    full = decode_batch(predictor, method, batch, cached.full)
    best = [_Best(prediction, 0.0) for prediction in full]
    for depths in sorted(cached.combinations(), key=lambda depths: sum(depths.values())):
        saved = 1.0 - fmean(depths.values()) / config.num_encoder_layers
        most = (
            saved + 1.0 - 1.0 / config.num_decoder_layers
        ) / 2.0  # with every word after the first layer
        rows = [row for row, choice in enumerate(best) if choice.reduction < most]
        if rows:
            for row, prediction in zip(
                rows, _at(predictor, method, batch, cached, depths, rows, full), strict=True
            ):
                if prediction is not None:
                    best[row] = best[row].better(
                        prediction, config.num_encoder_layers, config.num_decoder_layers
                    )
    return [choice.prediction for choice in best]


@dataclass(frozen=True)
class _Best:
    """The exits of a sample that save most so far. reduction: Eq. 14."""

    prediction: Prediction
    reduction: float

    def better(
        self, other: Prediction, num_encoder_layers: int, num_decoder_layers: int
    ) -> "_Best":
        reduction = expected_time_reduction(
            [other.trace], num_encoder_layers, num_decoder_layers
        ).expected
        return _Best(other, reduction) if reduction > self.reduction else self


def _at(
    predictor: Predictor,
    method: Method,
    batch: Batch,
    cached: CachedDepths,
    depths: Depths,
    rows: Sequence[int],
    full: Sequence[Prediction],
) -> list[Prediction | None]:
    """Return some rows' predictions at a depth of the encoder, words with their first right layer;
    None where the answer is another.
    """
    answers = (
        [predictor.answer_ids.index(full[row].tokens[0]) for row in rows]
        if predictor.task.answers
        else None
    )
    probe = FirstAgreement(predictor.model.config.num_decoder_layers, answers)
    decoded = decode_batch(
        predictor, method, rows_of(batch, rows), cached.at(depths, rows), {"decoder": probe}
    )
    predictions: list[Prediction | None] = []
    for place, (row, prediction) in enumerate(zip(rows, decoded, strict=True)):
        exits = tuple(layer for layer in probe.layers[place] if layer is not None)
        right = len(exits) == len(probe.layers[place]) and (
            answers is not None or prediction.tokens == full[row].tokens
        )
        predictions.append(
            replace(full[row], trace=replace(prediction.trace, decoder_exits=exits))
            if right
            else None
        )
    return predictions


class FirstAgreement:
    """Notes for every word the first layer whose most probable class is the right one. layers: per
    row, word by word; None where none is.

    answers: the right class of each row's one word; None for the last layer's at every word.
    """

    def __init__(self, num_layers: int, answers: Sequence[int] | None = None) -> None:
        self._num_layers, self._right = num_layers, answers
        self._answers: list[torch.Tensor] = []  # per layer, (B, Q)
        self.layers: dict[int, list[int | None]] = {}

    def __call__(self, observation: Observation, rows: Rows) -> None:
        self._answers.append(observation.logits().argmax(2))
        if observation.layer < self._num_layers:
            return
        last = self._answers[-1]
        right = (
            last if self._right is None else torch.tensor(self._right, device=last.device)[:, None]
        )
        agree = torch.stack([(answers == right).all(1) for answers in self._answers])  # (N, B)
        for row, layers in zip(rows.numbers, agree.T.tolist(), strict=True):
            self.layers.setdefault(row, []).append(
                layers.index(True) + 1 if True in layers else None
            )
        self._answers = []


def rows_of(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return a batch of some rows of a batch."""
    index = list(rows)
    return Batch(
        sample_ids=tuple(batch.sample_ids[row] for row in index),
        image_ids=tuple(batch.image_ids[row] for row in index),
        images=batch.images[index],
        source_tokens=batch.source_tokens[index],
        decoder_tokens=batch.decoder_tokens[index],
        target_tokens=batch.target_tokens[index],
        references=tuple(batch.references[row] for row in index),
    )
