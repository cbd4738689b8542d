"""The page of `mue predict --explain`: pictures with their captions and exit strips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mue_cli.files import write_text
from mue_cli.reports.exit_strip import ExitStrip
from mue_cli.reports.pages import render


@dataclass(frozen=True)
class Explained:
    """One picture. name: of its file. text: caption or answer. thumbnail: JPEG. remarks: what was
    not whole.
    """

    name: str
    text: str
    thumbnail: bytes
    exits: ExitStrip
    remarks: Sequence[str] = ()


def page(title: str, notes: Sequence[str], pictures: Sequence[Explained]) -> str:
    """Return the whole page. notes: lines under the title."""
    return render("explain.html", title=title, notes=notes, pictures=pictures)


def write_page(path: Path, title: str, notes: Sequence[str], pictures: Sequence[Explained]) -> None:
    """Write the whole page. Raises OSError."""
    write_text(path, page(title, notes, pictures))
