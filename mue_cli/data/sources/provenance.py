"""The sources of prepared data, as the manifest describes them. A run goes on with another's
pictures only when all of this is the same.
"""

import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from mue_cli.data.disk import file_sha256
from mue_cli.data.sources.folder import Folder

SourceFacts = dict[str, object]


def describe_texts(paths: Iterable[Path]) -> list[SourceFacts]:
    """Return path, bytes and sha256 of each file."""
    return [
        {"path": str(path), "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in paths
    ]


def describe_images(paths: Iterable[Path]) -> list[SourceFacts]:
    """Return path, bytes and time of change of each file; of a folder, how many files it has, their
    bytes, and a hash of all of that.

    Not a hash of their bytes: that would read gigabytes twice. Checksums of what was taken from
    them stand beside, in the manifest.
    """
    return [_describe_folder(path) if path.is_dir() else _describe_file(path) for path in paths]


def _describe_file(path: Path) -> SourceFacts:
    status = path.stat()
    return {
        "path": str(path),
        "bytes": status.st_size,
        "modified": datetime.fromtimestamp(status.st_mtime, UTC).isoformat(),
    }


def _describe_folder(path: Path) -> SourceFacts:
    listing = hashlib.sha256()
    files = size = 0
    for name in Folder(path).paths():
        status = _status(path / name)
        listing.update(os.fsencode(name) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        files, size = files + 1, size + status.st_size
    return {
        "path": str(path),
        "files": files,
        "bytes": size,
        "listing_sha256": listing.hexdigest(),
    }


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError:  # a link to nowhere
        return path.lstat()
