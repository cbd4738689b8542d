"""METEOR 1.5 (Denkowski and Lavie, 2014) through its jar, so that it can neither hang nor take the
program with it.

pycocoevalcap's own wrapper waits for ever after any error, reads numbers in the user's locale and
dies when its path has a space.
"""

import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mue_cli.metrics.java import UnavailableError, failure, java_command, java_environment

_SEPARATOR = " ||| "
_SECONDS_TO_START = 300.0  # its paraphrase table takes 5 to 15 s
_SECONDS_PER_CAPTION = 0.1
_SECONDS_TO_END = 10.0


def meteor_files(folder: Path) -> tuple[Path, Path]:
    """Return METEOR's jar and its table of paraphrases. Raises UnavailableError."""
    files = folder / "meteor-1.5.jar", folder / "data" / "paraphrase-en.gz"
    for path in files:
        if not path.is_file():
            raise UnavailableError(
                f"{path} is missing", "run: pip install --force-reinstall --no-deps pycocoevalcap"
            )
    return files


def meteor(
    folder: Path, java: str, references: Sequence[Sequence[str]], predictions: Sequence[str]
) -> tuple[float, list[float]]:
    """Return METEOR of the whole set and of each prediction, in [0, 1].

    folder: holds meteor-1.5.jar and data/paraphrase-en.gz. Captions are tokenised single lines. The
    score of the set comes from summed counts, it is not the mean. Raises UnavailableError.
    """
    jar, paraphrases = meteor_files(folder)
    command = java_command(
        java, [jar], "Meteor", "-", "-", "-stdio", "-l", "en", "-norm", "-a", str(paraphrases)
    )
    timeout = _SECONDS_TO_START + _SECONDS_PER_CAPTION * len(predictions)
    try:
        with tempfile.TemporaryFile() as complaints:
            return _run(command, complaints, timeout, references, predictions)
    except OSError as error:
        raise UnavailableError(f"METEOR cannot be run: {error.strerror or error}") from None


def _run(
    command: Sequence[str],
    complaints: IO[bytes],
    timeout: float,
    references: Sequence[Sequence[str]],
    predictions: Sequence[str],
) -> tuple[float, list[float]]:
    """Talk to METEOR until it is done or its time is over. Its complaints go to a file, which
    cannot be full and block it as a pipe can.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=complaints, env=java_environment()
    )
    watchdog = threading.Timer(timeout, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        return _converse(process, references, predictions)
    except (OSError, ValueError):
        raise UnavailableError(
            _reason(process, complaints, timed_out=not watchdog.is_alive(), timeout=timeout)
        ) from None
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def _converse(
    process: subprocess.Popen[bytes],
    references: Sequence[Sequence[str]],
    predictions: Sequence[str],
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


def _reason(
    process: subprocess.Popen[bytes], complaints: IO[bytes], timed_out: bool, timeout: float
) -> str:
    if timed_out:
        return f"METEOR gave no answer within {timeout:.0f} s"
    code = _ended(process)
    complaints.seek(0)  # not before: the program writes at the same place of the file
    return f"METEOR failed: {failure(code, complaints.read())}"


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Return how a program ended that stopped answering; one that goes on when nobody talks to it
    is stopped, which is not its failure.
    """
    try:
        process.communicate(timeout=_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        return 0
    return process.returncode
