"""What a person sees: the answer on stdout, the talk (progress, hints, errors) on stderr."""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mue_cli.errors import MueError

P = ParamSpec("P")
Report = Callable[..., None]
"""report(done, total, note=""): how far a long task is; `note` is shown beside it."""

SECONDS_BETWEEN_LINES = 20.0
"""How often progress is printed when stderr is a file."""


def say(text: str) -> None:
    """Print one line of talk on stderr."""
    _talk().print(text, markup=False, highlight=False, soft_wrap=True)


def answer(text: str) -> None:
    """Print one line of the answer on stdout, never wrapped, in order with the talk on stderr."""
    print(text, flush=True)


def answer_json(document: object) -> None:
    """Print the one document of `--json`."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def show_error(error: MueError) -> None:
    """Print `error: ...` and `hint: ...` on stderr."""
    _talk().print(f"[bold red]error:[/] {escape(error.message)}", highlight=False, soft_wrap=True)
    if error.hint:
        _talk().print(f"[bold]hint:[/] {escape(error.hint)}", highlight=False, soft_wrap=True)


def friendly(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command: a user's mistake is a line, a hint and exit code 2; Ctrl-C one line and 130;
    any other error stays a traceback.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MueError as error:
            show_error(error)
            raise typer.Exit(2) from None
        except KeyboardInterrupt as stop:
            say(f"stopped: {stop.args[0] if stop.args else 'nothing was kept'}")
            raise typer.Exit(130) from None

    return wrapped


@contextmanager
def keeping(describe: Callable[[], str]) -> Iterator[None]:
    """Let Ctrl-C inside say what was kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(describe()) from None


@contextmanager
def progress(label: str) -> Iterator[Report]:
    """Yield a report function: a bar with the time left on a terminal, a line now and then in a
    file.
    """
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Answers go above the bar where both are on one terminal, and never into the bar's own stream.
    above = sys.stdout.isatty()
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
