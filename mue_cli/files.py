"""Files that are either whole or absent: written beside their place first, then moved there in one
step.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it takes the place of `path`, on
    any error it goes away.

    Makes the folder when it is absent. The temporary name keeps the suffix of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_plain_mode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plain_mode() -> int:
    """Return the permissions that a newly made file would have; mkstemp gives stricter ones."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
