"""The boundary between the program and its user: an error of a file, folder, disk, pipe, terminal
or interrupt is one line, a hint and an exit code; a bug of ours stays a traceback.

Exit codes: 0 done, 1 the reader of the answer went away, 2 a user's mistake or their system's, 130
Ctrl-C, 143 SIGTERM.
"""

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TextIO, cast

import typer

from mue_cli.commands.display import AnswerUnread, say, show_error
from mue_cli.errors import MueError, os_error

P = ParamSpec("P")

_MEMORY_HINT = "use a smaller training.batch_size, evaluation.batch_size or data.image_size"
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
            raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from None
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


def run(app: Callable[..., Any]) -> int:
    """Run the words of this process, and return the exit code."""
    _prepare_environment()
    _prepare_streams()
    _prepare_signals()
    code = answered(app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    return _after_flush(code)


def answered(app: Callable[..., Any], words: list[str] | None = None) -> int:
    """Run a command line and return its exit code; a mistake in the words themselves is a line and
    a hint too. words: None for those of this process.
    """
    try:
        code = app(words, prog_name="mue", standalone_mode=False)
    except KeyboardInterrupt as stop:  # outside of any command
        say("stopped: nothing was kept")
        code = 143 if isinstance(stop, Terminated) else 130
    except Exception as error:
        code = _refused(error)
        if code is None:
            raise
    return code if isinstance(code, int) else 0


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
        text = str(error.format_message()).strip().rstrip(".")
        if not text:  # the help was printed: nothing was asked for
            return 2
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "mue"
        known = MueError(text[:1].lower() + text[1:], f"see: {path} --help")
    if known is None and isinstance(error, typer.Abort):
        known = MueError("stopped: the input ended", None)
    if known is None:
        return None
    show_error(known, "see: mue --help")
    return 2


def _prepare_environment() -> None:
    """Take no orders that make output impossible: a terminal of no width, a figure back end that is
    none.
    """
    for name in ("COLUMNS", "LINES"):
        if os.environ.get(name, "").strip() in ("0", "1"):
            del os.environ[name]
    os.environ["MPLBACKEND"] = "agg"  # figures go to files, never to a window


def _prepare_streams() -> None:
    """Stand something in for streams that are closed, and let no character or reader end the work.

    A closed stdout stays None: only a command with an answer minds.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file opened would be taken for the stream
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 (for good)
    talk = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (for good)
    for stream in (sys.stdout, talk):
        with suppress(AttributeError, ValueError):
            cast(Any, stream).reconfigure(errors="backslashreplace")
    sys.stderr = cast(TextIO, _Talk(talk))


def _prepare_signals() -> None:
    """Make SIGTERM and a closed terminal the same as Ctrl-C, and lose no Ctrl-C."""

    def stop(number: int, frame: object) -> None:
        raise Terminated

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)
    sys.unraisablehook = _again


def _again(lost: "sys.UnraisableHookArgs") -> None:
    """Interrupt once more where Python lost an interrupt in a place that cannot raise."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        threading.Timer(0.01, signal.raise_signal, [signal.SIGINT]).start()
    else:
        sys.__unraisablehook__(lost)


def _after_flush(code: int) -> int:
    """Return the exit code once the answer is out; 1 or 2 where it cannot get out."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = code or 1
    except OSError as error:
        if code == 0:
            show_error(
                MueError(f"cannot write the answer: {os_error(error)[0]}"), os_error(error)[1]
            )
        code = code or 2
    else:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer goes nowhere
    return code


class _Talk:
    """Stderr that nobody need read: a full disk or a closed pipe there never ends the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
