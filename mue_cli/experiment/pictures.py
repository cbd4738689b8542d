"""A user's own pictures, as `mue predict` takes them; nothing heavy is imported yet."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mue_cli.data.pictures import Unreadable, find_pictures
from mue_cli.errors import MueError, one_line
from mue_cli.reports.exit_strip import printable

__all__ = ["Unreadable", "answers_path", "named_pictures", "page_path", "printable"]

SHOWN = 3
"""Files that are named of those passed over."""


@dataclass(frozen=True)
class Named:
    """What a command line means. paths: of pictures. passed_over: other files of its folders."""

    paths: Sequence[str | Unreadable]
    passed_over: Sequence[str] = ()

    def remark(self) -> str | None:
        """Return a line about the files that were passed over."""
        names = [one_line(printable(Path(each).name), 60) for each in self.passed_over]
        if not names:
            return None
        files = f"{len(names):,} file{'s' * (len(names) > 1)}"
        more = ", ..." if len(names) > SHOWN else ""
        return f"{files} passed over, not named like pictures ({', '.join(names[:SHOWN])}{more})"


def named_pictures(words: Sequence[str]) -> Named:
    """Return the pictures that a command line means. Raises MueError when there is none."""
    passed_over: list[str] = []
    paths = find_pictures(words, passed_over)
    if not paths:
        raise MueError("no pictures: the list on stdin is empty", "expected one path per line")
    missing = [each for each in paths if isinstance(each, Unreadable)]
    if len(missing) == len(paths):
        name = one_line(printable(missing[0].path), 200)
        more = f" (and {len(missing) - 1} more like this)" if len(missing) > 1 else ""
        raise MueError(
            f"no pictures: `{name}`: {missing[0].reason}{more}", _no_pictures_hint(passed_over)
        )
    return Named(paths, tuple(dict.fromkeys(passed_over)))


def _no_pictures_hint(passed_over: Sequence[str]) -> str:
    remark = Named((), passed_over).remark()
    return "name files, folders or patterns" + (f"; {remark}" if remark else "")


def page_path(path: Path) -> Path:
    """Return where a page goes. Raises MueError when it cannot go there: a long run must not end
    in that.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise MueError(
            f"`--html {path}` does not end in .html",
            "name the page to write; pictures stand without an option",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MueError(
            f"cannot make the folder `{path.parent}`: {error.strerror}",
            "name another file with --html",
        ) from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise MueError(f"cannot write `{path}`", "name another file with --html")
    return path


def answers_path(path: Path) -> Path:
    """Return where answers go. Raises MueError when they cannot go there."""
    from mue_cli.files import plain_file

    if path.suffix.lower() not in (".jsonl", ".csv"):
        raise MueError(
            f"`--out {path}` ends in neither .jsonl nor .csv",
            "name a file of JSON lines, or one for a spreadsheet",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        plain_file(path)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise MueError(f"cannot write `{path}`", "name another file with --out")
    return path
