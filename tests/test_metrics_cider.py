"""CIDEr-D with reference vectors built once."""

import gzip
import json
import math

import pycocoevalcap.cider.cider
import pytest
from coco_captions import leave_one_out

from mue_cli.errors import DataError
from mue_cli.metrics.cider import CiderD, DocumentFrequencies
from mue_cli.metrics.programs import caption_tokenizer
from mue_cli.metrics.tokens import plain_tokenize


def theirs(references: dict[str, list[str]], predictions: dict[str, str]) -> list[float]:
    """Return pycocoevalcap's score of each image."""
    _, scores = pycocoevalcap.cider.cider.Cider().compute_score(
        references, {image: [line] for image, line in predictions.items()}
    )
    return [float(score) for score in scores]


def tokenized(tokenize, num_images: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return set B's predictions and references as tokens."""
    predictions, references = leave_one_out(num_images)
    lines = iter(tokenize([caption for captions in references.values() for caption in captions]))
    said = dict(zip(predictions, tokenize(list(predictions.values())), strict=True))
    return said, {image: [next(lines) for _ in captions] for image, captions in references.items()}


def test_each_of_1000_images_scores_exactly_what_pycocoevalcap_gives_it():
    said, lines = tokenized(caption_tokenizer(), 1000)
    said["42"] = ""
    ours = CiderD(lines).per_image(said)
    assert list(ours) == list(lines)
    assert list(ours.values()) == theirs(lines, said)
    assert ours["42"] == 0.0 and max(ours.values()) > 3


def test_saved_frequencies_give_a_batch_the_scores_it_has_in_the_whole_set(tmp_path):
    said, lines = tokenized(plain_tokenize, 300)
    DocumentFrequencies.of(lines).save(tmp_path / "frequencies.json.gz")
    frequencies = DocumentFrequencies.load(tmp_path / "frequencies.json.gz")
    assert frequencies == DocumentFrequencies.of(lines)
    batch = list(lines)[100:116]
    scores = CiderD({image: lines[image] for image in batch}, frequencies).per_image(
        {image: said[image] for image in batch}
    )
    assert list(scores.values()) == theirs(lines, said)[100:116]


def test_frequencies_count_images_not_captions():
    found = DocumentFrequencies.of({"1": ["a dog", "a dog runs"], "2": ["a cat"]})
    assert found.num_images == 2
    assert (found.counts[("a",)], found.counts[("a", "dog")], found.counts[("cat",)]) == (2, 1, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"{}"),
        gzip.compress(b"[1]"),
        gzip.compress(json.dumps({"num_images": 2, "counts": {"a": 3}}).encode()),
        gzip.compress(json.dumps({"num_images": 2, "counts": {"a": 0}}).encode()),
        gzip.compress(json.dumps({"num_images": 2, "counts": {"a": "1"}}).encode()),
        gzip.compress(json.dumps({"num_images": 2, "counts": {"a": 1}}).encode())[:-12],
    ],
    ids=["empty", "plain", "keys", "list", "counts", "zero", "text", "cut"],
)
def test_file_that_holds_no_frequencies_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match="does not hold document frequencies"):
        DocumentFrequencies.load(tmp_path / "file")


def test_missing_frequencies_say_how_to_make_them(tmp_path):
    with pytest.raises(DataError, match="no document frequencies in") as error:
        DocumentFrequencies.load(tmp_path / "file")
    assert "DocumentFrequencies.of(references).save(path)" in str(error.value.hint)


def test_hand_worked_score_of_one_shared_word():
    # Two images, so a word seen in one weighs log 2 and a word seen in both weighs 0: "a" is free,
    # the cosine of "a dog" and "a dog" is 1
    # for words and for pairs, and 0 for the absent triples and quadruples: 10 * (1 + 1) / 4.
    scorer = CiderD({"1": ["a dog"], "2": ["a cat"]})
    assert scorer.per_image({"1": "a dog"}) == pytest.approx({"1": 5.0})
    assert scorer.per_image({"1": "a cat"}) == {"1": 0.0}
    # "dog a dog": the word is clipped, min(2, 1) * 1 / (2 * 1); pairs "dog a", "a dog": 1 / sqrt 2;
    # one pair more than the reference.
    expected = 10 * (1 / 2 + 1 / math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert scorer.per_image({"1": "dog a dog"}) == pytest.approx({"1": expected})


def test_a_single_image_scores_zero():
    assert CiderD({"1": ["a dog runs"]}).per_image({"1": "a dog runs"}) == {"1": 0.0}
