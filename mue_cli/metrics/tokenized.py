"""Captions and references of the same images, checked and tokenised."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mue_cli.errors import DataError
from mue_cli.metrics.tokens import Tokenizer

SINGLE_IMAGE = (
    "CIDEr is 0 by definition for a single image: it weighs words by how few images have them"
)


@dataclass(frozen=True)
class Tokenized:
    """Tokenised captions of the images, all in one order."""

    images: tuple[str, ...]
    references: list[list[str]]
    predictions: list[str]


def check_captions(predictions: Iterable[str], references: Mapping[str, Sequence[str]]) -> None:
    """Raise DataError where images differ, or one has no reference."""
    if not references:
        raise DataError("there are no references to score captions against")
    for image, captions in references.items():
        if isinstance(captions, str) or not captions:
            raise DataError(
                f"image {image} has no list of reference captions",
                "every scored image needs at least one",
            )
    check_images(predictions, references)


def check_images(predictions: Iterable[str], references: Iterable[str]) -> None:
    """Raise DataError where captions and references are of different images."""
    predicted, expected = set(predictions), set(references)
    if predicted == expected:
        return
    missing, extra = sorted(expected - predicted), sorted(predicted - expected)
    parts = [
        f"{len(ids)} images {what} (first: {ids[0]})"
        for ids, what in ((missing, "lack a caption"), (extra, "lack references"))
        if ids
    ]
    raise DataError(
        "captions and references are of different images: " + "; ".join(parts),
        "score exactly the images that were captioned",
    )


def tokenized(
    tokenizer: Tokenizer, predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> Tokenized:
    """Tokenise one caption per image and its references."""
    images = tuple(references)
    lines = tokenized_references(tokenizer, references)
    return Tokenized(
        images,
        [lines[image] for image in images],
        tokenizer([predictions[image] for image in images]),
    )


def tokenized_references(
    tokenizer: Tokenizer, references: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Tokenise the references of every image."""
    lines = iter(tokenizer([caption for captions in references.values() for caption in captions]))
    return {image: [next(lines) for _ in captions] for image, captions in references.items()}


def notes_of(tokenizer: Tokenizer, captions: Tokenized, metrics: Sequence[str]) -> tuple[str, ...]:
    """Return what a reader of the scores has to know."""
    notes = tokenizer_notes(tokenizer)
    if len(captions.images) == 1 and "CIDEr" in metrics:
        notes.append(SINGLE_IMAGE)
    empty = sum(not line for line in captions.predictions)
    if empty:
        notes.append(
            f"{empty} of {len(captions.images)} captions have no word: they score 0, "
            "and METEOR of the set passes over them"
        )
    empty = sum(not line for lines in captions.references for line in lines)
    if empty:
        notes.append(f"{empty} reference captions have no word")
    return tuple(notes)


def tokenizer_notes(tokenizer: Tokenizer) -> list[str]:
    """Say why tokens are not those of published scores, where they are not."""
    if tokenizer.lack is None:
        return []
    return [
        "plain tokens instead of PTB, so scores are not quite comparable with published ones: "
        f"{tokenizer.lack}"
    ]
