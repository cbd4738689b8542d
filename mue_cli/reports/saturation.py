"""Saturation: how alike neighbouring layers are at full depth (Fig. 3), which thresholds are chosen
from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mue_cli.errors import DataError, MissingStepError


@dataclass(frozen=True)
class Saturation:
    """The exit scores of MuE in runs of full depth: cosine similarities (Eq. 7-10).

    exit_scores: "image", "text" or "joint", and "decoder" -> (rows, layers). Column 0 compares the
    first layer with the embedding. A row is a sample, of the decoder one decoding step. about:
    where it was measured, such as "dataset", "split", "recipe".
    """

    exit_scores: Mapping[str, NDArray[np.floating[Any]]]
    about: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, scores in self.exit_scores.items():
            if scores.ndim != 2 or 0 in scores.shape:
                raise ValueError(
                    f"exit scores of {name!r} must be rows by layers, not {scores.shape}"
                )

    def save(self, path: Path) -> None:
        """Write it as .npz."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            f"stream/{name}": scores for name, scores in self.exit_scores.items()
        }
        np.savez_compressed(path, about=np.array(json.dumps(dict(self.about))), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Saturation":
        """Read a saved file. Raises MissingStepError without it, DataError for another file."""
        if not path.is_file():
            raise MissingStepError(
                f"there are no exit scores: {path} is absent", "`mue calibrate` measures them"
            )
        try:
            with np.load(path, allow_pickle=False) as stored:
                streams = {
                    name.removeprefix("stream/"): stored[name]
                    for name in stored.files
                    if name.startswith("stream/")
                }
                return cls(streams, json.loads(str(stored["about"])))
        except (ValueError, KeyError, BadZipFile, EOFError) as error:
            raise DataError(
                f"{path} holds no exit scores: {error}", "remove it and measure again"
            ) from None
