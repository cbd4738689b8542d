"""A user's own pictures, as `mue predict` takes them; nothing heavy is imported yet."""

import os
from collections.abc import Sequence
from pathlib import Path

from mue_cli.data.pictures import Unreadable, find_pictures
from mue_cli.errors import MueError, one_line
from mue_cli.reports.exit_strip import printable

__all__ = ["Unreadable", "answers_path", "named_pictures", "page_path", "printable"]


def named_pictures(words: Sequence[str]) -> list[str | Unreadable]:
    """Return the pictures that a command line means. Raises MueError when there is none."""
    paths = find_pictures(words)
    if not paths:
        raise MueError("no pictures: the list on stdin is empty", "expected one path per line")
    missing = [each for each in paths if isinstance(each, Unreadable)]
    if len(missing) == len(paths):
        name = one_line(printable(missing[0].path), 200)
        more = f" (and {len(missing) - 1} more like this)" if len(missing) > 1 else ""
        raise MueError(
            f"no pictures: `{name}`: {missing[0].reason}{more}",
            "name files, folders or patterns",
        )
    return paths


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
