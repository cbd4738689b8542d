"""Arrays with a description, as .npz files: saturation.npz, modality.npz, depth.npz."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mue_cli.errors import DataError, FileError, MissingStepError
from mue_cli.files import plain_file, replacing

ABOUT = "about"
T = TypeVar("T")


def save_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, object]
) -> None:
    """Write arrays of numbers and what they are about; the file appears whole or not at all."""
    with replacing(path) as temporary:
        named: dict[str, Any] = {ABOUT: np.array(json.dumps(dict(about))), **arrays}
        np.savez_compressed(temporary, **named)


def load_arrays(
    path: Path,
    what: str,
    command: str,
    make: Callable[[dict[str, NDArray[Any]], dict[str, Any]], T],
) -> T:
    """Return what `make` makes of a file's arrays and of what they are about. what: the content, in
    the plural. command: what measures it.

    Raises MissingStepError without the file, DataError for any other file.
    """
    if not path.exists():
        raise MissingStepError(
            f"there are no {what}: {path} is absent", f"`{command}` measures them"
        )
    hint = f"remove it and measure again: {command}"
    try:
        arrays, about = _read(path)
    except FileError as error:
        raise DataError(error.message, hint) from None
    except Exception as error:  # damaged bytes make numpy raise whatever they lead to
        raise DataError(f"{path} holds no {what}: {_reason(error)}", hint) from None
    try:
        return make(arrays, about)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no {what}: {_reason(error)}", hint) from None


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    plain_file(path)
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    about = json.loads(str(arrays.pop(ABOUT)))
    if not isinstance(about, dict):
        raise ValueError("it does not say what it is about")
    if any(each.dtype.kind not in "fiu" for each in arrays.values()):
        raise ValueError("it has more than numbers")
    return arrays, about


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80]
