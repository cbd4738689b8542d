"""CIDEr-D with reference vectors built once."""

import math

import pycocoevalcap.cider.cider
import pytest
from coco_captions import leave_one_out

from mue_cli.metrics.cider import CiderD
from mue_cli.metrics.tokens import plain_tokenize


def test_each_image_scores_what_pycocoevalcap_gives_it():
    predictions, references = leave_one_out(300)
    lines = {image: plain_tokenize(captions) for image, captions in references.items()}
    said = dict(zip(predictions, plain_tokenize(list(predictions.values())), strict=True))
    said["42"] = ""
    _, theirs = pycocoevalcap.cider.cider.Cider().compute_score(lines, {image: [line] for image, line in said.items()})
    ours = CiderD(lines).per_image(said)
    assert list(ours) == list(lines)
    assert list(ours.values()) == pytest.approx(list(theirs), rel=0, abs=1e-12)
    assert ours["42"] == 0.0 and max(ours.values()) > 3


def test_hand_worked_score_of_one_shared_word():
    # Two images, so a word seen in one weighs log 2 and a word seen in both weighs 0: "a" is free, the cosine of "a dog" and "a dog" is 1
    # for words and for pairs, and 0 for the absent triples and quadruples: 10 * (1 + 1) / 4.
    scorer = CiderD({"1": ["a dog"], "2": ["a cat"]})
    assert scorer.per_image({"1": "a dog"}) == pytest.approx({"1": 5.0})
    assert scorer.per_image({"1": "a cat"}) == {"1": 0.0}
    # "dog a dog": the word is clipped, min(2, 1) * 1 / (2 * 1); pairs "dog a", "a dog": 1 / sqrt 2; one pair more than the reference.
    expected = 10 * (1 / 2 + 1 / math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert scorer.per_image({"1": "dog a dog"}) == pytest.approx({"1": expected})


def test_a_single_image_scores_zero():
    assert CiderD({"1": ["a dog runs"]}).per_image({"1": "a dog runs"}) == {"1": 0.0}
