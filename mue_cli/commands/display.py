"""What a person sees: the answer on stdout, the talk (progress, hints, errors) on stderr."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mue_cli.errors import MueError, one_line, os_error

Report = Callable[..., None]
"""report(done, total, note=""): how far a long task is; `note` is shown beside it."""

SECONDS_BETWEEN_LINES = 20.0
"""How often progress is printed when stderr is a file."""


def say(text: str) -> None:
    """Print one line of talk on stderr."""
    _talk().print(text, markup=False, highlight=False, soft_wrap=True)


class AnswerUnread(Exception):  # noqa: N818 (no error of anybody)
    """The reader of stdout went away, as `| head` does."""


def answer(text: str) -> None:
    """Print one line of the answer on stdout, never wrapped, in order with the talk on stderr.

    Raises AnswerUnread where nobody reads it, MueError where it cannot be written.
    """
    if sys.stdout is None:
        raise MueError("cannot write the answer: standard output is closed", "leave out: >&-")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise AnswerUnread from None
    except OSError as error:
        words, hint = os_error(error)
        raise MueError(f"cannot write the answer to standard output: {words}", hint) from None


def answer_json(document: object) -> None:
    """Print the one document of `--json`; characters that stdout does not know as \\u00fc."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2, default=str)
    answer(text)


def answer_figures(paths: tuple[Path, Path], as_json: bool) -> None:
    """Print the paths of a figure's files."""
    if as_json:
        answer_json({"figures": list(map(str, paths))})
        return
    for path in paths:
        answer(str(path))


def show_error(error: MueError, hint: str | None = None) -> None:
    """Print `error: ...` and `hint: ...` on stderr, a line each. hint: where the error has none."""
    for label, style, text in (
        ("error:", "bold red", error.message),
        ("hint:", "bold", error.hint or hint),
    ):
        if text:
            line = Text.assemble((label, style), " ", one_line(text))
            _talk().print(line, highlight=False, soft_wrap=True)


@contextmanager
def keeping(describe: Callable[[], str]) -> Iterator[None]:
    """Let Ctrl-C inside say what was kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(describe()) from None


@contextmanager
def progress(label: str) -> Iterator[Report]:
    """Yield a report function: a bar with the time left on a terminal, a line now and then in a
    file.
    """
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Answers go above the bar where both are on one terminal, and never into the bar's own stream.
    above = sys.stdout is not None and sys.stdout.isatty()
    with Progress(
        TextColumn("{task.description}"), *columns, console=_talk(), redirect_stdout=above
    ) as bar:
        task = bar.add_task(label, total=None, note="")
        yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)


def _lines(label: str) -> Report:
    """Return a report function that prints a line at the start, at the end and every
    SECONDS_BETWEEN_LINES.
    """
    first: tuple[float, int] | None = None
    printed = float("-inf")

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal first, printed
        now = time.monotonic()
        began, done_before = first = first or (now, done)
        if now - printed < SECONDS_BETWEEN_LINES and done < total:
            return
        printed = now
        left = (
            f"{(now - began) / (done - done_before) * (total - done):.0f} s left"
            if done > done_before
            else ""
        )
        say("  ".join(part for part in (label, f"{done}/{total}", note, left) if part))

    return report


def percent(fraction: float | None) -> str:
    """Return a fraction as per cent with one digit, "-" when there is none."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def _talk() -> Console:
    return Console(stderr=True)
