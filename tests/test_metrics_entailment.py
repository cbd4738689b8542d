"""Accuracy of closed-set answers."""

import pytest

from mue_cli.errors import DataError
from mue_cli.metrics.entailment import score_entailment


def test_accuracy_per_label_and_confusion_of_five_answers():
    right = {"1": "yes", "2": "yes", "3": "no", "4": "maybe", "5": "maybe"}
    given = {"5": "no", "1": "yes", "2": "maybe", "3": "no", "4": "maybe"}
    scores = score_entailment(given, right)
    assert scores.accuracy == pytest.approx(60.0)
    assert scores.per_label == {"maybe": 50.0, "no": 100.0, "yes": 50.0}
    assert scores.confusion == {
        "maybe": {"maybe": 1, "no": 1},
        "no": {"no": 1},
        "yes": {"maybe": 1, "yes": 1},
    }
    assert scores.num_samples == 5


@pytest.mark.parametrize(("given", "right"), [({"1": "yes"}, {"2": "yes"}), ({}, {})])
def test_answers_must_be_of_the_same_samples(given, right):
    with pytest.raises(DataError, match="answers for"):
        score_entailment(given, right)
