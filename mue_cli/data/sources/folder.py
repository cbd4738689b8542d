"""The files of a folder, links followed."""

import stat
from collections.abc import Container, Iterator
from pathlib import Path

from mue_cli.data.files_below import files_below
from mue_cli.data.problems import NO_PICTURE, TOO_LARGE, UNREADABLE, Fault
from mue_cli.data.sources.names import other_spellings
from mue_cli.data.sources.resolver import Listed

MAX_FILE_BYTES = 256 * 2**20


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
        return files_below(str(self.path))

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
