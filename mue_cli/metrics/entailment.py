"""Accuracy of closed-set answers (SNLI-VE, Xie et al. 2019)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mue_cli.errors import DataError


@dataclass(frozen=True)
class EntailmentScores:
    """accuracy, per_label: per cent; per_label: right answer -> share of its samples that were
    answered right.

    confusion: right answer -> given answer -> number of samples.
    """

    accuracy: float
    per_label: dict[str, float]
    confusion: dict[str, dict[str, int]]
    num_samples: int


def score_entailment(
    predictions: Mapping[str, str], references: Mapping[str, str]
) -> EntailmentScores:
    """Compare answers by sample id. Raises DataError when the ids differ or there are none."""
    if not references or predictions.keys() != references.keys():
        raise DataError(
            f"{len(predictions)} answers for {len(references)} samples, or other ids",
            "answer every sample of the split once",
        )
    pairs = Counter((references[sample], predictions[sample]) for sample in references)
    confusion: dict[str, dict[str, int]] = {}
    for (right, given), count in sorted(pairs.items()):
        confusion.setdefault(right, {})[given] = count
    per_label = {
        right: 100.0 * row.get(right, 0) / sum(row.values()) for right, row in confusion.items()
    }
    num_right = sum(row.get(right, 0) for right, row in confusion.items())
    return EntailmentScores(
        100.0 * num_right / len(references), per_label, confusion, len(references)
    )
