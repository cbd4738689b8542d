"""The disk: room before something long begins, faults in words, checksums, fingerprints."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mue_cli.errors import DataError, os_error

AGAIN = "run the same command again: it goes on where it stopped"
_BLOCK = 1 << 12  # bytes, of a fingerprint


def require_room(needs: Mapping[Path, int]) -> None:
    """Raise DataError when a disk has less free than its folders will need. needs: folder, existing
    or not -> bytes.
    """
    disks: dict[int, list[Path]] = {}
    for folder in needs:
        disks.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    for folders in disks.values():
        required, free = (
            sum(needs[folder] for folder in folders),
            shutil.disk_usage(_existing(folders[0])).free,
        )
        if required > free:
            raise DataError(
                f"{' and '.join(map(str, folders))} will need {_readable(required)},"
                f" and {_readable(free)} are free on that disk",
                hint="free some space, or name folders on another disk with --source and --out",
            )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise DataError for a fault of the disk inside; nothing but the disk may be used there, since
    faults of the net look the same.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"the disk is full: cannot go on writing {path}",
                hint=f"free some space; then {AGAIN}",
            ) from error
        words, hint = os_error(error)
        raise DataError(f"cannot write {path}: {words}", hint) from error


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path, blocks: int = 256) -> str:
    """Return 16 hexadecimal digits that change when a large file's content does: a hash of its
    size, its start and evenly spaced blocks. Training changes every weight, so one block would do.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(blocks):
            file.seek(block * size // blocks)
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:16]


def _existing(folder: Path) -> Path:
    paths = (folder.absolute(), *folder.absolute().parents)
    return next(path for path in paths if os.path.exists(path))  # noqa: PTH110 - no error for a long name


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
