"""Pictures that are in several splits, known by their bytes: one may come under several names."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mue_cli.data.rows import CaptionRow, EntailmentRow

SHARED = "picture in several splits"

_Rows = Mapping[str, Sequence[CaptionRow] | Sequence[EntailmentRow]]


@dataclass(frozen=True)
class SharedPicture:
    """One picture in several splits. keys: split -> what it is called there."""

    keys: Mapping[str, Sequence[str]]

    @property
    def name(self) -> str:
        """Return the first of its keys."""
        return next(iter(self.keys.values()))[0]

    def __str__(self) -> str:
        return "; ".join(f"{split}: {', '.join(keys)}" for split, keys in self.keys.items())


def digest_of(data: bytes | memoryview) -> bytes:
    """Return what tells a picture's bytes from others."""
    return hashlib.sha256(data).digest()[:16]


def shared_pictures(
    texts: Sequence[_Rows], index: Mapping[str, int], digests: Sequence[bytes]
) -> list[SharedPicture]:
    """Return the pictures that play in more than one of the splits, whatever the task.

    texts: rows by split, a mapping for each task. index: key of a picture -> its row. digests: by
    row.
    """
    first: dict[bytes, int] = {}
    contents = [first.setdefault(digest, row) for row, digest in enumerate(digests)]
    names = dict.fromkeys(split for rows in texts for split in rows)
    bits = {split: 1 << number for number, split in enumerate(names)}
    splits = np.zeros(len(contents), dtype=np.int64)
    for split, key in _plays(texts):
        splits[contents[index[key]]] |= bits[split]
    shared: dict[int, dict[str, dict[str, None]]] = {
        int(content): {} for content in np.flatnonzero(splits & (splits - 1))
    }
    for split, key in _plays(texts) if shared else ():
        if (of_picture := shared.get(contents[index[key]])) is not None:
            of_picture.setdefault(split, {})[key] = None
    return [
        SharedPicture({split: tuple(keys) for split, keys in each.items()})
        for each in shared.values()
    ]


def _plays(texts: Sequence[_Rows]) -> Iterator[tuple[str, str]]:
    """Yield (split, key of its picture) of every row."""
    for by_split in texts:
        for split, rows in by_split.items():
            yield from ((split, row.key) for row in rows)
