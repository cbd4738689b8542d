"""The oracle: the earliest exits with which the answer is still the full model's. No rule can know them; they bound what could be saved.

Encoder: per sample, the pair of depths with the fewest layers (their mean, as in Eq. 14) for which the whole answer has the same tokens.
Depths are evaluated exactly, from states that are cached once.
Decoder: at that depth, per word, the first layer whose most probable next word is the last layer's, for all hypotheses of a beam. With
greedy search no word changes. A beam also compares probabilities, and where the most probable word is forbidden (an n-gram twice) the
next one counts: there the bound is a little optimistic.

Shape letters: B rows, Q hypotheses, V classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import torch

from mue_cli.data.batches import Batch
from mue_cli.evaluation import Prediction, Progress, Subject, decode_batch, encode_batch
from mue_cli.exits.methods import Method, oracle
from mue_cli.exits.observation import Observation
from mue_cli.inference.depths import CachedDepths
from mue_cli.inference.walk import Rows


def find_oracle(subject: Subject, decompose: bool, batches: Iterable[Batch], progress: Progress | None = None) -> list[Prediction]:
    """Return the full model's predictions with the oracle's exits in their traces. progress: as in `evaluation.predict`."""
    predictions: list[Prediction] = []
    for batch in batches:
        predictions += _of_batch(subject, oracle(decompose), batch)
        if progress is not None:
            progress(len(predictions), -1)
    return predictions


@torch.inference_mode()
def _of_batch(subject: Subject, method: Method, batch: Batch) -> list[Prediction]:
    cached = CachedDepths(subject.model, method, partial(encode_batch, subject, method, batch))
    full = decode_batch(subject, method, batch, cached.full)
    found: dict[int, Prediction] = {}
    for depths in sorted(cached.combinations(), key=lambda depths: sum(depths.values())):
        left = [row for row in range(len(full)) if row not in found]
        if not left:
            break
        probe = FirstAgreement(subject.model.config.num_decoder_layers)
        part, encoded = rows_of(batch, left), cached.at(depths, left)
        for place, prediction in enumerate(decode_batch(subject, method, part, encoded, {"decoder": probe})):
            if prediction.tokens == full[left[place]].tokens:
                exits = tuple(probe.layers[place])
                found[left[place]] = replace(prediction, trace=replace(prediction.trace, decoder_exits=exits))
    return [found.get(row, prediction) for row, prediction in enumerate(full)]


class FirstAgreement:
    """Notes for every word the first layer whose most probable class is the last layer's. layers: per row, word by word."""

    def __init__(self, num_layers: int) -> None:
        self._num_layers = num_layers
        self._answers: list[torch.Tensor] = []  # per layer, (B, Q)
        self.layers: dict[int, list[int]] = {}

    def __call__(self, observation: Observation, rows: Rows) -> None:
        self._answers.append(observation.logits().argmax(2))
        if observation.layer < self._num_layers:
            return
        agree = torch.stack([(answers == self._answers[-1]).all(1) for answers in self._answers])  # (N, B)
        for row, first in zip(rows.numbers, agree.int().argmax(0).tolist(), strict=True):
            self.layers.setdefault(row, []).append(first + 1)
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
