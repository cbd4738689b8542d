"""Command lines that a command runs itself: shown as they are typed, then run in this process."""

import shlex
from collections.abc import Sequence

from mue_cli.commands.display import answer


def spelled(words: Sequence[str]) -> str:
    """Return a command line as it is typed."""
    return f"mue {shlex.join(words)}"


def run_line(words: Sequence[str]) -> int:
    """Print one command line, run it as if it had been typed and return its exit code."""
    from mue_cli.commands.app import app

    answer(f"\n$ {spelled(words)}")
    return app(list(words), standalone_mode=False) or 0
