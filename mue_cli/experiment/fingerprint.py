"""A short name for the content of a large file."""

import hashlib
from pathlib import Path

_BLOCKS, _BLOCK = 256, 1 << 12


def fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change when a large file's content does: a hash of its
    size, its start and evenly spaced blocks. Training changes every weight, so one block would do.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(_BLOCKS):
            file.seek(block * size // _BLOCKS)
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:16]
