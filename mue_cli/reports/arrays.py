"""Arrays with a description, as .npz files: saturation.npz, modality.npz, depth.npz."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mue_cli.errors import DataError, FileError
from mue_cli.files import plain_file, replacing

ABOUT = "about"


def save_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, object]
) -> None:
    """Write arrays of numbers and what they are about; the file appears whole or not at all."""
    with replacing(path) as temporary:
        named: dict[str, Any] = {ABOUT: np.array(json.dumps(dict(about))), **arrays}
        np.savez_compressed(temporary, **named)


def load_arrays(path: Path, what: str, hint: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays of a file, and what they are about. what: the content,
    for errors. hint: how to make the file anew.

    Raises DataError for any other file: damaged bytes make numpy raise whatever they lead to.
    """
    try:
        plain_file(path)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(str(arrays.pop(ABOUT)))
    except FileError as error:
        raise DataError(error.message, hint) from None
    except Exception as error:
        raise DataError(f"{path} holds no {what}: {_reason(error)}", hint) from None
    if not isinstance(about, dict):
        raise DataError(f"{path} holds no {what}: it does not say what it is about", hint)
    if any(each.dtype.kind not in "fiu" for each in arrays.values()):
        raise DataError(f"{path} holds no {what}: it has more than numbers", hint)
    return arrays, about


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80]
