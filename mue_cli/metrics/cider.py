"""CIDEr-D (Vedantam et al., CVPR 2015, with clipping and length penalty) for many sets of
predictions; needs no Java.

Bit for bit the numbers of pycocoevalcap's `Cider`, image by image: the same operations in the same
order, and numpy's logarithm, which can differ from Python's in the last digit. pycocoevalcap counts
and weighs all references again for every score. Here that is done once: `CiderD(references)` for
the same references again and again (validation, calibration), and in a training loop, where each
batch has its own references, `CiderD(batch, frequencies)` with the document frequencies of the
whole training set, which a file can keep:

    DocumentFrequencies.of(training_references).save(path)
    frequencies = DocumentFrequencies.load(path)
    rewards = CiderD(batch_references, frequencies).per_image(sampled_captions)
"""

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mue_cli.errors import DataError
from mue_cli.files import replacing

Ngram = tuple[str, ...]

_MAX_NGRAM = 4
_SIGMA = 6.0


@dataclass(frozen=True)
class DocumentFrequencies:
    """In how many of num_images images each n-gram is used in at least one reference."""

    num_images: int
    counts: Mapping[Ngram, int]

    @classmethod
    def of(cls, references: Mapping[str, Sequence[str]]) -> "DocumentFrequencies":
        """Count over references: image -> tokenised captions."""
        n_grams = (set().union(*map(_count_ngrams, captions)) for captions in references.values())
        return cls(len(references), Counter(ngram for ngrams in n_grams for ngram in ngrams))

    def save(self, path: Path) -> None:
        """Write to a file, JSON compressed with gzip."""
        document = {
            "num_images": self.num_images,
            "counts": {" ".join(ngram): count for ngram, count in self.counts.items()},
        }
        with replacing(path) as temporary, gzip.open(temporary, "wt", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False)

    @classmethod
    def load(cls, path: Path) -> "DocumentFrequencies":
        """Read what `save` wrote. Raises DataError for any other file."""
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                document = json.load(file)
            num_images, counts = document["num_images"], document["counts"]
            frequencies = cls(
                num_images, {tuple(words.split(" ")): count for words, count in counts.items()}
            )
            whole = all(
                type(count) is int and 1 <= count <= num_images
                for count in (num_images, *counts.values())
            )
        except FileNotFoundError:
            raise DataError(
                f"no document frequencies in `{path}`",
                "write them with DocumentFrequencies.of(references).save(path)",
            ) from None
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise DataError(
                f"`{path}` does not hold document frequencies",
                "write it again with DocumentFrequencies.of(references).save(path)",
            )
        return frequencies

    @cached_property
    def unseen(self) -> float:
        """The weight of an n-gram that no reference has."""
        return float(np.log(float(self.num_images))) if self.num_images else 0.0

    @cached_property
    def idf(self) -> Mapping[Ngram, float]:
        """The weight of every other n-gram."""
        by_count = {
            count: self.unseen - float(np.log(float(count))) for count in set(self.counts.values())
        }
        return {ngram: by_count[count] for ngram, count in self.counts.items()}


@dataclass(frozen=True)
class _Vector:
    """weights: n-gram -> tf-idf. norms: Euclidean, for each n-gram length. num_bigrams: what the
    length penalty compares.
    """

    weights: Mapping[Ngram, float]
    norms: tuple[float, ...]
    num_bigrams: int


class CiderD:
    """CIDEr-D against fixed references; their tf-idf vectors are built once.

    references: image -> tokenised captions (words joined by spaces), at least one each.
    frequencies: where words get their weights from; by default these references, so that with a
    single image every score is 0.
    """

    def __init__(
        self,
        references: Mapping[str, Sequence[str]],
        frequencies: DocumentFrequencies | None = None,
    ) -> None:
        self._frequencies = frequencies or DocumentFrequencies.of(references)
        self._references = {
            image: [self._vector(caption) for caption in captions]
            for image, captions in references.items()
        }

    def per_image(self, predictions: Mapping[str, str]) -> dict[str, float]:
        """Return CIDEr-D of each tokenised prediction, in [0, 10], in the order of `predictions`.
        Raises KeyError for an unknown image.
        """
        return {
            image: self._score(self._vector(words), self._references[image])
            for image, words in predictions.items()
        }

    def _vector(self, caption: str) -> _Vector:
        counts, idf, unseen = (
            _count_ngrams(caption),
            self._frequencies.idf,
            self._frequencies.unseen,
        )
        weights = {ngram: count * idf.get(ngram, unseen) for ngram, count in counts.items()}
        squares = [0.0] * _MAX_NGRAM
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight**2
        num_bigrams = sum(count for ngram, count in counts.items() if len(ngram) == 2)
        return _Vector(weights, tuple(math.sqrt(square) for square in squares), num_bigrams)

    def _score(self, prediction: _Vector, references: Sequence[_Vector]) -> float:
        totals = [0.0] * _MAX_NGRAM
        for reference in references:
            totals = [
                a + b for a, b in zip(totals, _similarities(prediction, reference), strict=True)
            ]
        return sum(totals) / _MAX_NGRAM / len(references) * 10.0


def _count_ngrams(caption: str) -> Counter[Ngram]:
    words = caption.split()
    return Counter(
        tuple(words[i : i + n]) for n in range(1, _MAX_NGRAM + 1) for i in range(len(words) - n + 1)
    )


def _similarities(prediction: _Vector, reference: _Vector) -> list[float]:
    """Return the clipped cosine of each n-gram length times the length penalty."""
    products = [0.0] * _MAX_NGRAM
    for ngram, weight in prediction.weights.items():
        other = reference.weights.get(ngram)
        if other is not None:
            products[len(ngram) - 1] += min(weight, other) * other
    norms = [a * b for a, b in zip(prediction.norms, reference.norms, strict=True)]
    difference = float(prediction.num_bigrams - reference.num_bigrams)
    penalty = math.e ** (-(difference**2) / (2 * _SIGMA**2))
    return [
        (product / norm if norm else product) * penalty
        for product, norm in zip(products, norms, strict=True)
    ]
