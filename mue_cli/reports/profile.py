"""How similar neighbouring layers are: what saturation plots show and thresholds are chosen from
(Fig. 3).
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
class SimilarityProfile:
    """streams: "image", "text" or "joint", and "decoder" -> cosine similarities (Eq. 7-10), each
    (rows, layers).

    Column 0 compares the first layer with the embedding. A row is a sample, of the decoder one
    decoding step. about: where it was measured, such as "dataset", "split", "recipe".
    """

    streams: Mapping[str, NDArray[np.floating[Any]]]
    about: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, values in self.streams.items():
            if values.ndim != 2 or 0 in values.shape:
                raise ValueError(
                    f"similarities of {name!r} must be rows by layers, not {values.shape}"
                )

    def save(self, path: Path) -> None:
        """Write it as .npz."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f"stream/{name}": values for name, values in self.streams.items()}
        np.savez_compressed(path, about=np.array(json.dumps(dict(self.about))), **arrays)

    @classmethod
    def load(cls, path: Path) -> "SimilarityProfile":
        """Read what `save` wrote. Raises MissingStepError without the file, DataError for another
        file.
        """
        if not path.is_file():
            raise MissingStepError(
                f"there are no similarities: {path} is absent", "`mue calibrate` measures them"
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
                f"{path} holds no similarities: {error}", "remove it and measure again"
            ) from None
