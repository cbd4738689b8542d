"""What a reader hands to the writer: rows of text about images, and what had to be left out."""

from collections import Counter
from dataclasses import asdict, dataclass

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class CaptionRow:
    """An image and what people wrote about it."""

    image_id: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class EntailmentRow:
    """A hypothesis about an image, beside a text premise or alone. label: entailment, contradiction or neutral."""

    image_id: str
    pair_id: str
    premise: str | None
    hypothesis: str
    label: str


@dataclass(frozen=True)
class Problem:
    """Something left out. source: the file it came from. item: which line, image or pair. reason: a few words, the same for its like."""

    source: str
    item: str
    reason: str


class Problems:
    """Collects what was left out, in order."""

    def __init__(self) -> None:
        self.listed: list[Problem] = []

    def add(self, source: str, item: str, reason: str) -> None:
        self.listed.append(Problem(source, item, reason))

    def counts(self) -> dict[str, int]:
        return dict(Counter(problem.reason for problem in self.listed).most_common())

    def as_dicts(self) -> list[dict[str, str]]:
        return [asdict(problem) for problem in self.listed]
