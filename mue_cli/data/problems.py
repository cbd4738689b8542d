"""Things left out of the data, with the reason, and things kept with a remark."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_VALUE_CHARACTERS = 120

# Reasons, the same words for every reader.
NO_FILE = "no such file"
SEVERAL_FILES = "several files"
SEVERAL_PICTURES = "several pictures under one id"
NO_PICTURE = "not a picture"
BROKEN = "broken picture"
TOO_LARGE = "too large"
UNREADABLE = "file cannot be read"
OTHER_LABEL = "other label"
UNKNOWN_SPLIT = "unknown split"
MALFORMED = "malformed field"
EMPTY_TEXT = "no word in the text"
TWO_SPLITS = "in another split as well"
DAMAGED_ARCHIVE = "archive damaged or cut short"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an image cannot be used. value: the name, size or content that was met."""

    reason: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something left out, or kept with a remark.

    source: the file it came from. item: line, image or pair. reason: one of the words above. value:
    the one that was met. split: the split that has less by it, as the source names it. num_texts:
    captions or pairs lost; 0 where none is.
    """

    source: str
    item: str
    reason: str
    value: str = ""
    split: str = ""
    num_texts: int = 1


@dataclass(frozen=True)
class Loss:
    """Captions or pairs of a split that are gone, and those that are there. split "": all."""

    split: str
    lost: int
    kept: int

    @property
    def share(self) -> float:
        return self.lost / max(self.lost + self.kept, 1)

    def __str__(self) -> str:
        whole = f"{self.lost + self.kept:,} texts of {self.split or 'all splits'}"
        return f"{self.lost:,} of {whole} are lost" if self.kept else f"all {whole} are lost"


class Problems:
    """The problems of one run in order; remarks are about what was kept."""

    def __init__(self) -> None:
        self.listed: list[Problem] = []
        self.remarks: list[Problem] = []
        self._counted: Counter[str] = Counter()

    def add(
        self,
        source: str,
        item: str,
        reason: str,
        value: object = "",
        split: str = "",
        num_texts: int = 1,
    ) -> None:
        """List something left out."""
        self.listed.append(Problem(source, item, reason, shown(value), split, num_texts))

    def remark(self, source: str, item: str, reason: str, value: object = "") -> None:
        """List something kept that is not as one would expect."""
        self.remarks.append(Problem(source, item, reason, shown(value), num_texts=0))

    def count(self, reason: str, number: int) -> None:
        """Count remarks that are not listed one by one."""
        if number:
            self._counted[reason] += number

    def counts(self) -> dict[str, int]:
        """Return reason -> how many, the most frequent first."""
        return dict(Counter(problem.reason for problem in self.listed).most_common())

    def remark_counts(self) -> dict[str, int]:
        of_listed = Counter(problem.reason for problem in self.remarks)
        return dict((of_listed + self._counted).most_common())

    def values(self, reason: str) -> list[str]:
        """Return the values met under a reason, the most frequent first."""
        met = Counter(problem.value for problem in self.listed if problem.reason == reason)
        return [value for value, _ in met.most_common()]

    def losses(self, kept: Mapping[str, int]) -> list[Loss]:
        """Return the loss of each split that has one and, last, of all. kept: split -> texts."""
        lost: defaultdict[str, int] = defaultdict(int)
        for problem in self.listed:
            lost[problem.split] += problem.num_texts
        of_splits = [Loss(s, number, kept.get(s, 0)) for s, number in lost.items() if s and number]
        total = sum(lost.values())
        return [*of_splits, Loss("", total, sum(kept.values()))] if total else []

    def write(self, path: Path) -> None:
        """Write problems.jsonl. Raises OSError."""
        # File names that are no Unicode have no UTF-8 either; \\udcff is what JSON would write.
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in self.as_dicts())

    def as_dicts(self) -> Iterator[dict[str, object]]:
        """Yield each line of problems.jsonl."""
        for kept, problems in ((False, self.listed), (True, self.remarks)):
            for problem in problems:
                beside = {"value": problem.value, "split": problem.split, "kept": kept}
                yield {
                    "source": problem.source,
                    "item": problem.item,
                    "reason": problem.reason,
                    **{name: value for name, value in beside.items() if value},
                }


def shown(value: object) -> str:
    """Return a value as a message names it: one line, cut where it is long."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except RecursionError:
        text = f"a deep {type(value).__name__}"
    letters = text[: 2 * MAX_VALUE_CHARACTERS]
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in letters)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 3]}..."
