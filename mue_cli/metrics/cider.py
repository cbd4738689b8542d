"""CIDEr-D (Vedantam et al., CVPR 2015, with clipping and length penalty) for many sets of predictions against the same references.

The same numbers as pycocoevalcap's `Cider`, which builds every reference vector again for each score.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Ngram = tuple[str, ...]

_MAX_NGRAM = 4
_SIGMA = 6.0


@dataclass(frozen=True)
class _Vector:
    """weights: n-gram -> tf-idf. norms: Euclidean, for each n-gram length. num_bigrams: what the length penalty compares."""

    weights: Mapping[Ngram, float]
    norms: tuple[float, ...]
    num_bigrams: int


class CiderD:
    """CIDEr-D against fixed references; their tf-idf vectors are built once.

    references: image -> tokenised captions (words joined by spaces), at least one each. Document frequencies come from these images, so
    with a single image every score is 0.
    """

    def __init__(self, references: Mapping[str, Sequence[str]]) -> None:
        counts = {image: [_count_ngrams(caption) for caption in captions] for image, captions in references.items()}
        frequency = Counter(ngram for captions in counts.values() for ngram in set().union(*captions))
        log_num_images = math.log(len(counts)) if counts else 0.0
        self._unseen = log_num_images
        self._idf = {ngram: log_num_images - math.log(seen) for ngram, seen in frequency.items()}
        self._references = {image: [self._vector(caption) for caption in captions] for image, captions in counts.items()}

    def per_image(self, predictions: Mapping[str, str]) -> dict[str, float]:
        """Return CIDEr-D of each tokenised prediction, in [0, 10], in the order of `predictions`. Raises KeyError for an unknown image."""
        return {image: self._score(self._vector(_count_ngrams(words)), self._references[image]) for image, words in predictions.items()}

    def _vector(self, counts: Mapping[Ngram, int]) -> _Vector:
        weights = {ngram: count * self._idf.get(ngram, self._unseen) for ngram, count in counts.items()}
        squares = [0.0] * _MAX_NGRAM
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight**2
        num_bigrams = sum(count for ngram, count in counts.items() if len(ngram) == 2)
        return _Vector(weights, tuple(math.sqrt(square) for square in squares), num_bigrams)

    def _score(self, prediction: _Vector, references: Sequence[_Vector]) -> float:
        total = sum(_similarity(prediction, reference) for reference in references)
        return 10.0 * total / _MAX_NGRAM / len(references)


def _count_ngrams(caption: str) -> Counter[Ngram]:
    words = caption.split()
    return Counter(tuple(words[i : i + n]) for n in range(1, _MAX_NGRAM + 1) for i in range(len(words) - n + 1))


def _similarity(prediction: _Vector, reference: _Vector) -> float:
    """Return the clipped cosines of all n-gram lengths, summed, times the length penalty."""
    products = [0.0] * _MAX_NGRAM
    for ngram, weight in prediction.weights.items():
        other = reference.weights.get(ngram)
        if other is not None:
            products[len(ngram) - 1] += min(weight, other) * other
    norms = [a * b for a, b in zip(prediction.norms, reference.norms, strict=True)]
    cosines = sum(product / norm for product, norm in zip(products, norms, strict=True) if norm)
    difference = prediction.num_bigrams - reference.num_bigrams
    return cosines * math.exp(-(difference**2) / (2 * _SIGMA**2))
