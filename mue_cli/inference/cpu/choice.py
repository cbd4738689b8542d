"""A choice that a clock makes: once per machine, kept in the cache folder with its reason.

A clock gives other answers on a busy machine. Taken anew by every process, a choice between two
layouts made two runs differ in their last bits. Here the first process to write decides for all.
"""

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

CACHE_VARIABLE = "MUE_CACHE_DIR"


@dataclass(frozen=True)
class Choice:
    """value: what was chosen. reason: the figures behind it, for people."""

    value: bool
    reason: str


def cache_folder() -> Path:
    """Return where choices are kept: MUE_CACHE_DIR, or `mue` in the user's cache folder."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mue"


def conditions(**sizes: object) -> dict[str, object]:
    """Return what a choice depends on: the processor, PyTorch, its threads, and sizes."""
    return {
        "processor": processor(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        **sizes,
    }


def processor() -> str:
    """Return the processor's name; Linux alone tells it in a file."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        features = [line.partition(":")[2] for line in lines if line.startswith("flags")]
        if names and features:
            return f"{names[0]} {hashlib.sha256(features[0].encode()).hexdigest()[:8]}"
    return platform.processor() or platform.machine()


def kept_choice(
    name: str,
    under: Mapping[str, object],
    measure: Callable[[], Choice],
    otherwise: Choice,
    folder: Path | None = None,
) -> Choice:
    """Return the choice of this name under these conditions; measure and keep it when there is
    none, or its file is damaged.

    otherwise: a fixed rule, for where nothing can be kept.
    """
    try:
        path = (folder or cache_folder()) / "choices" / f"{name}-{_digest(under)}.json"
        kept = _read(path, under)
        return kept or _write(path, under, measure())
    except (OSError, RuntimeError):  # pathlib's own where there is no home
        return otherwise


def _digest(under: Mapping[str, object]) -> str:
    text = json.dumps(under, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path, under: Mapping[str, object]) -> Choice | None:
    """Return what is kept; a file that is damaged, or of other conditions, goes away."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        choice = Choice(stored["value"], str(stored["reason"]))
        plain = json.loads(json.dumps(under, default=str))
        if isinstance(choice.value, bool) and stored["under"] == plain:
            return choice
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    path.unlink()
    return None


def _write(path: Path, under: Mapping[str, object], choice: Choice) -> Choice:
    """Keep a choice, unless another process was first: then its choice counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(choice) | {"under": under}, file, indent=1, default=str)
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    return _read(path, under) or choice
