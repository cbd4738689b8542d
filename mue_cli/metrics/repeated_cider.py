"""CIDEr of many sets of captions against the same references."""

from collections.abc import Collection, Mapping, Sequence

from mue_cli.metrics.cider import CiderD, DocumentFrequencies
from mue_cli.metrics.programs import caption_tokenizer
from mue_cli.metrics.tokenized import (
    SINGLE_IMAGE,
    check_captions,
    check_images,
    tokenized_references,
    tokenizer_notes,
)


class RepeatedCider:
    """CIDEr of many sets of captions against the same references, as calibration and validation
    need it.

    The references are tokenised and weighted once. notes: as in CaptionScores. Raises DataError as
    `score_captions` does.
    """

    def __init__(
        self,
        references: Mapping[str, Sequence[str]],
        weighing: Collection[str] | None = None,
    ) -> None:
        """weighing: images whose references give words their weights; None for all."""
        check_captions(references, references)
        self._tokenizer = caption_tokenizer()
        self._images = tuple(references)
        tokenized = tokenized_references(self._tokenizer, references)
        weigh = tokenized if weighing is None else {image: tokenized[image] for image in weighing}
        self._cider = CiderD(tokenized, DocumentFrequencies.of(weigh))
        self.notes = tuple(tokenizer_notes(self._tokenizer)) + (
            (SINGLE_IMAGE,) if len(references) == 1 else ()
        )

    def __call__(self, predictions: Mapping[str, str]) -> float:
        """Return CIDEr times 100."""
        per_image = self.per_image(predictions)
        return sum(per_image.values()) / len(per_image)

    def per_image(self, predictions: Mapping[str, str]) -> dict[str, float]:
        """Return CIDEr times 100 of each image."""
        check_images(predictions, self._images)
        lines = self._tokenizer([predictions[image] for image in self._images])
        scores = self._cider.per_image(dict(zip(self._images, lines, strict=True)))
        return {image: 100.0 * score for image, score in scores.items()}
