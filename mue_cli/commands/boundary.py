"""The boundary between the program and its user: an error of a file, folder, disk, pipe, terminal
or interrupt is one line, a hint and an exit code; a bug of ours stays a traceback.

Exit codes: 0 done, 1 the reader of the answer went away, 2 a user's mistake or their system's, 130
Ctrl-C, 143 SIGTERM. Streams and signals of the process: mue_cli/__main__.py.
"""

import functools
import signal
from collections.abc import Callable
from typing import Any, ParamSpec

import typer

from mue_cli.commands.display import AnswerUnread, answer, say, show_error
from mue_cli.errors import MueError, os_error

P = ParamSpec("P")

_MEMORY_HINT = (
    "use a smaller training.batch_size, with as much more training.accumulation, a smaller "
    "evaluation.batch_size or data.image_size"
)
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "Cannot allocate")


class Terminated(KeyboardInterrupt):
    """SIGTERM or a closed terminal: handled as Ctrl-C is."""


def friendly(command: Callable[P, None], words: str | None = None) -> Callable[P, None]:
    """Wrap a command in the boundary. words: the command as it is typed, where that is not the name
    of its file and function.
    """
    hint = f"see: mue {words or _typed(command)} --help"

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except AnswerUnread:
            raise typer.Exit(1) from None
        except KeyboardInterrupt as stop:
            say(f"stopped: {stop.args[0] if stop.args else 'nothing was kept'}")
            raise typer.Exit(_code_of(stop)) from None
        except Exception as error:
            known = explained(error)
            if known is None:
                raise
            show_error(known, hint)
            raise typer.Exit(2) from None

    return wrapped


def explained(error: Exception) -> MueError | None:
    """Return an error as the user's line and hint, None when it is a bug of ours."""
    if isinstance(error, MueError):
        return error
    if isinstance(error, MemoryError) or _is_no_memory(error):
        return MueError("out of memory", _MEMORY_HINT)
    if isinstance(error, OSError):
        words, hint = os_error(error)
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        place = " -> ".join(f"`{name}`" for name in names) or "the system"
        return MueError(f"{place}: {words}", hint)
    return None


def answered(app: Callable[..., Any], words: list[str] | None = None) -> int:
    """Run a command line and return its exit code; a mistake in the words themselves is a line and
    a hint too. words: None for those of this process.
    """
    try:
        code = app(words, prog_name="mue", standalone_mode=False)
    except KeyboardInterrupt as stop:  # outside of any command
        say("stopped: nothing was kept")
        code = _code_of(stop)
    except Exception as error:
        code = _refused(error)
        if code is None:
            raise
    return code if isinstance(code, int) else 0


def _code_of(stop: KeyboardInterrupt) -> int:
    """Return 143 for SIGTERM, also one that a training waited with, else 130."""
    waited = getattr(stop, "number", None) == signal.SIGTERM
    return 143 if waited or isinstance(stop, Terminated) else 130


def _typed(command: Callable[..., Any]) -> str:
    room, name = command.__module__.rpartition(".")[2], command.__name__.replace("_", "-")
    return name if name == room.replace("_", "-") else f"{room} {name}"


def _is_no_memory(error: Exception) -> bool:
    """Return whether torch had no memory, of a GPU or of the machine."""
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def _refused(error: Exception) -> int | None:
    """Show an error outside of any command, and return its exit code; None for a bug of ours."""
    known = explained(error)
    if known is None and hasattr(error, "format_message"):  # typer's errors of usage
        text = str(error.format_message()).strip()
        if text.startswith("Usage:"):  # nothing was asked for
            answer(text)
            return 2
        text = text.rstrip(".")
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "mue"
        known = MueError(text[:1].lower() + text[1:], f"see: {path} --help")
    if known is None and isinstance(error, typer.Abort):
        known = MueError("stopped: the input ended", None)
    if known is None:
        return None
    show_error(known, "see: mue --help")
    return 2
