"""The page of `mue predict --explain`, filled while the pictures are looked at."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mue_cli.experiment.predict import PicturePrediction
from mue_cli.reports.explain_page import Explained, write_page

MAX_SECTIONS = 100
"""Pictures on one page; each takes some 40 KB."""


@dataclass(frozen=True)
class PicturePage:
    """What is on the page so far. room: pictures that it takes."""

    room: int
    sections: list[Explained] = field(default_factory=list)

    def add(self, result: PicturePrediction) -> None:
        """Put a picture on the page, where it was read with a thumbnail."""
        if result.thumbnail is not None and result.explanation is not None:
            remarks = tuple(each for each in (result.remark, result.cut) if each)
            shown = (result.path, result.text, result.thumbnail, result.explanation)
            self.sections.append(Explained(*shown, remarks))


@contextmanager
def picture_page(path: Path | None, title: str, notes: Sequence[str]) -> Iterator[PicturePage]:
    """Yield the page, and write it at the end, an early end included. path: None for no page."""
    page = PicturePage(MAX_SECTIONS)
    try:
        yield page
    finally:
        if path is not None and page.sections:
            write_page(path, title, notes, page.sections)


def page_notes(texts: Mapping[str, str | None], total: int) -> list[str]:
    """Return the lines under the title: the question, and how many pictures are on the page."""
    shown = f"{total} pictures" if total != 1 else "one picture"
    if total > MAX_SECTIONS:
        shown = f"the first {MAX_SECTIONS} of {total} pictures"
    return [*(f"{name}: {text}" for name, text in texts.items() if text is not None), shown]
