"""The journal of a preparation: a line for each shard of pictures that is whole."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Shard:
    """A line of the journal. broken: (key, reason, value) of the pictures that were met while it
    was written. odd: (key, remark) of pictures that are in it.
    """

    name: str
    rows: int
    bytes: int
    sha256: str
    broken: Sequence[tuple[str, str, str]]
    odd: Sequence[tuple[str, str]] = ()


def read_journal(path: Path) -> Iterator[Shard]:
    """Yield the lines of a journal up to one that was cut short."""
    lines = (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    )
    for line in lines:
        try:
            yield _shard(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            return


def _shard(raw: dict[str, Any]) -> Shard:
    """Return a line of the journal. Raises TypeError or ValueError when it is not ours."""
    shard = Shard(**raw)
    is_ours = (
        isinstance(shard.name, str)
        and re.fullmatch(r"data-[0-9]{5}\.arrow", shard.name)
        and isinstance(shard.rows, int)
        and isinstance(shard.bytes, int)
        and all(isinstance(text, str) for row in (*shard.broken, *shard.odd) for text in row)
        and all(len(row) == 3 for row in shard.broken)
        and all(len(row) == 2 for row in shard.odd)
    )
    if not is_ours:
        raise ValueError(f"no line of a journal: {shard}")
    return shard
