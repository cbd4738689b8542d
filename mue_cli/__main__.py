"""The console script `mue`, and `python -m mue_cli`: the process, its streams, signals and exit
code.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, cast


def main() -> None:
    """Run the command line and leave with its exit code. Of the processes of `torchrun` the first
    speaks for all.
    """
    try:
        from mue_cli.commands.app import app
        from mue_cli.files import is_first_process
    except KeyboardInterrupt:
        print("stopped: nothing was kept", file=sys.stderr)
        sys.exit(130)
    if not is_first_process():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (for good)
    sys.exit(run(app))


def run(app: Callable[..., Any]) -> int:
    """Run the words of this process, and return the exit code."""
    from mue_cli.commands.boundary import answered

    _prepare_environment()
    _prepare_streams()
    _prepare_signals()
    code = answered(app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    return _after_flush(code)


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
        from mue_cli.commands.boundary import Terminated

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
            _tell_unwritten(error)
        code = code or 2
    else:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer goes nowhere
    return code


def _tell_unwritten(error: OSError) -> None:
    from mue_cli.commands.display import show_error
    from mue_cli.errors import MueError, os_error

    words, hint = os_error(error)
    show_error(MueError(f"cannot write the answer: {words}", hint))


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


if __name__ == "__main__":
    main()
