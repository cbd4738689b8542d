"""The classifier that does not look: it finds what text gives away, and nothing else."""

import random

import pytest

from mue_cli.data.rows import EntailmentRow
from mue_cli.data.store import text_only

LABELS = ("entailment", "contradiction", "neutral")


def text_only_accuracy(train, test):
    """On (text, label) pairs."""
    return text_only.text_only_accuracy(
        *(
            [EntailmentRow("", "", None, text, label) for text, label in part]
            for part in (train, test)
        )
    )


def test_giveaway_word_is_found():
    pairs = [
        (f"a dog {word}", label)
        for word, label in zip(("sleeps", "flies", "waits"), LABELS, strict=True)
    ] * 60
    assert text_only_accuracy(pairs, pairs[:30]) == 1.0


def test_giveaway_word_pair_is_found():
    pairs = [("not big but red", "entailment"), ("not red but big", "contradiction")] * 100
    assert text_only_accuracy(pairs, pairs[:20]) == 1.0


def test_labels_without_regard_to_the_text_stay_at_chance():
    rng = random.Random(0)
    pairs = [(f"there is a {rng.choice('abcdef')}", rng.choice(LABELS)) for _ in range(4000)]
    assert text_only_accuracy(pairs[:3000], pairs[3000:]) == pytest.approx(1 / 3, abs=0.06)


def test_unknown_and_empty_texts_get_the_commonest_label():
    train = [("x", "neutral")] * 90 + [("y", "entailment")] * 10
    assert text_only_accuracy(train, [("x", "neutral"), ("y", "entailment")]) == 1.0
    assert (
        text_only_accuracy([("a", "neutral")], [("", "neutral"), ("unheard of", "neutral")]) == 1.0
    )


def test_same_pairs_give_the_same_figure():
    rng = random.Random(1)
    pairs = [(f"word{rng.randrange(30)}", rng.choice(LABELS)) for _ in range(600)]
    assert text_only_accuracy(pairs[:400], pairs[400:]) == text_only_accuracy(
        pairs[:400], pairs[400:]
    )
