"""METEOR 1.5 (Denkowski and Lavie, 2014) through its jar, so that it can neither hang nor take the program with it.

pycocoevalcap's own wrapper waits for ever after any error, reads numbers in the user's locale and dies when its path has a space.
"""

import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mue_cli.metrics.java import UnavailableError, java_command
from mue_cli.metrics.tokens import last_line

_SEPARATOR = " ||| "
_SECONDS_TO_START = 300.0  # its paraphrase table takes 5 to 15 s
_SECONDS_PER_CAPTION = 0.1


def meteor(folder: Path, java: str, references: Sequence[Sequence[str]], predictions: Sequence[str]) -> tuple[float, list[float]]:
    """Return METEOR of the whole set and of each prediction, in [0, 1].

    folder: holds meteor-1.5.jar and data/paraphrase-en.gz. Captions are tokenised single lines. The score of the set comes from summed
    counts, it is not the mean. Raises UnavailableError.
    """
    arguments = ["-", "-", "-stdio", "-l", "en", "-norm", "-a", str(folder / "data" / "paraphrase-en.gz")]
    command = java_command(java, folder / "meteor-1.5.jar", "Meteor", *arguments)
    timeout = _SECONDS_TO_START + _SECONDS_PER_CAPTION * len(predictions)
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints)
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.start()
        try:
            return _converse(process, references, predictions)
        except (OSError, ValueError):
            raise UnavailableError(_reason(process, complaints, timed_out=not watchdog.is_alive(), timeout=timeout)) from None
        finally:
            watchdog.cancel()
            process.kill()
            process.communicate()


def _converse(
    process: subprocess.Popen[bytes], references: Sequence[Sequence[str]], predictions: Sequence[str]
) -> tuple[float, list[float]]:
    counts = []
    for captions, prediction in zip(references, predictions, strict=True):
        _tell(process, ["SCORE", *(_one_field(c) for c in captions), _one_field(prediction)])
        counts.append(_hear(process))
    _tell(process, ["EVAL", *counts])
    each = [float(_hear(process)) for _ in predictions]
    return float(_hear(process)), each


def _one_field(caption: str) -> str:
    return " ".join(caption.replace("|||", " ").split())


def _tell(process: subprocess.Popen[bytes], fields: Sequence[str]) -> None:
    assert process.stdin is not None
    process.stdin.write(_SEPARATOR.join(fields).encode() + b"\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.strip():
        raise ValueError("no answer")
    return line.decode().strip()


def _reason(process: subprocess.Popen[bytes], complaints: IO[bytes], timed_out: bool, timeout: float) -> str:
    process.kill()
    process.wait()
    if timed_out:
        return f"METEOR gave no answer within {timeout:.0f} s"
    complaints.seek(0)
    return f"METEOR failed: {last_line(complaints.read())}"
