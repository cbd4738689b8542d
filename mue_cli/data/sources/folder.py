"""The files of a folder, links followed."""

import os
import stat
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path

from mue_cli.data.problems import NO_PICTURE, TOO_LARGE, UNREADABLE, Fault
from mue_cli.data.sources.names import other_spellings
from mue_cli.data.sources.resolver import Listed

MAX_FILE_BYTES = 256 * 2**20
MAX_VISITS = 8
"""A folder is read so often at most: links that meet again and again would double with each."""


class Folder:
    """A source of files that lie unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path.name or path.absolute().name
        self._files: list[str] = []

    def paths(self) -> Iterator[str]:
        """Yield the path of each file, from here on: those of a folder by name, then those of its
        folders.
        """
        return _walk(str(self.path), "", (), Counter())

    def files(self) -> Iterator[Listed]:
        """Yield each file in the order of `paths`."""
        self._files = []
        for path in self.paths():
            number = len(self._files)
            self._files.append(path)
            yield Listed(number, path)
            for spelling in other_spellings(path):
                yield Listed(number, spelling, reread=True)

    def read(self, wanted: Container[int]) -> Iterator[tuple[int, bytes | Fault]]:
        """Yield the bytes of the wanted files, in the order of `files`."""
        for number, path in enumerate(self._files):
            if number in wanted:
                yield number, read_file(self.path / path)


def read_file(path: Path) -> bytes | Fault:
    """Return the bytes of a plain file of sensible size: a pipe might never end."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return Fault(NO_PICTURE, f"{path.name} is no plain file")
        if status.st_size > MAX_FILE_BYTES:
            return Fault(TOO_LARGE, f"{path.name} has {status.st_size:,} bytes")
        return path.read_bytes()
    except OSError as error:
        return Fault(UNREADABLE, f"{path.name}: {error.strerror or error}")


def _walk(
    folder: str, prefix: str, above: tuple[tuple[int, int], ...], visits: Counter[tuple[int, int]]
) -> Iterator[str]:
    """Yield paths below a folder; one that is met inside itself is not entered."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - a Path for each of a hundred thousand is slow
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    here = (status.st_dev, status.st_ino)
    visits[here] += 1
    if here in above or visits[here] > MAX_VISITS:
        return
    folders = []
    for entry in entries:
        if _is_folder(entry):
            folders.append(entry)
        else:
            yield prefix + entry.name
    for entry in folders:
        yield from _walk(entry.path, f"{prefix}{entry.name}/", (*above, here), visits)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
