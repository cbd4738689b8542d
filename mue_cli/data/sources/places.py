"""Where the pictures of a data set lie, and the pictures that its rows ask for, read from there."""

import os
import zipfile
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mue_cli.data.problems import DAMAGED_ARCHIVE, Fault, Problems
from mue_cli.data.sources.archives import DAMAGE, SUFFIXES, Tar, Zip, is_archive, root_of
from mue_cli.data.sources.folder import Folder
from mue_cli.data.sources.resolver import Listed, Place, Requests, Resolved, Resolver
from mue_cli.errors import DataError, os_error

COMMON_NAMES = ("images", "Images")


class Source(Protocol):
    """A folder or an archive. root: its name, which a row's path may begin with."""

    path: Path
    root: str

    def files(self) -> Iterator[Listed]: ...

    def read(self, wanted: Container[int]) -> Iterator[tuple[int, bytes | Fault]]: ...


def find_images(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the folders and archives of these names that are in `folder` or `folder`/images."""
    candidates = (
        base / f"{name}{suffix}"
        for base in (folder, folder / "images")
        for name in names
        for suffix in ("", *SUFFIXES)
    )
    return [path for path in candidates if path.is_dir() or is_archive(path)]


def require_folder(path: Path) -> None:
    """Raise DataError when the path is no folder that can be read."""
    try:
        next(iter(os.scandir(path)), None)
    except OSError as error:
        words, _ = os_error(error)
        raise DataError(
            f"cannot read {path}: {words}",
            hint="name the folder with the downloaded files, or fetch them with --download",
        ) from error


def require_images(paths: Sequence[Path], where: Path, hint: str) -> None:
    """Raise DataError when there is nothing to read images from."""
    if not paths:
        raise DataError(f"no images found in {where}", hint=hint)


class Pictures:
    """The pictures that rows ask for, each resolved to one file.

    faults: key of an image -> why there is none; grows while they are read.
    """

    def __init__(self, paths: Sequence[Path], requests: Requests, problems: Problems) -> None:
        self._sources = [_open(path) for path in paths]
        self._problems = problems
        self._damaged: set[Path] = set()
        resolved = self._resolve(requests)
        self._files = resolved.files
        self.faults: dict[str, Fault] = resolved.faults
        self.num_images = resolved.num_images
        self.notes = _notes(resolved)

    def read(self, done: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (key, encoded bytes) of what is not in `done`, in the order of the sources."""
        for source, files in zip(self._sources, self._files, strict=True):
            wanted = {
                number: keys
                for number, keys in files.items()
                if any(key not in done for key in keys)
            }
            if not wanted:
                continue
            try:
                for number, data in source.read(wanted):
                    for key in wanted.pop(number):
                        if isinstance(data, Fault):
                            self.faults[key] = data
                        elif key not in done:
                            yield key, data
            except DAMAGE as error:
                self._note_damage(source.path, error)
            for keys in wanted.values():
                self.faults.update(dict.fromkeys(keys, Fault(DAMAGED_ARCHIVE, source.path.name)))

    def _resolve(self, requests: Requests) -> Resolved:
        resolver = Resolver(requests, self._is_same)
        for source in self._sources:
            resolver.take(self._listed(source), source.root, source.path.name)
        return resolver.result()

    def _listed(self, source: Source) -> Iterator[Listed]:
        try:
            yield from source.files()
        except DAMAGE as error:
            self._note_damage(source.path, error)

    def _note_damage(self, path: Path, error: Exception) -> None:
        if path not in self._damaged:
            self._damaged.add(path)
            self._problems.add(
                path.name, type(error).__name__, DAMAGED_ARCHIVE, str(error), num_texts=0
            )

    def _is_same(self, one: Place, other: Place) -> bool:
        """Tell whether two places hold one file: an archive and its unpacked form, or links."""
        left, right = self._sources[one.source], self._sources[other.source]
        if left is not right and _home(left.path) == _home(right.path):
            is_one = _below(one.path, left.root) == _below(other.path, right.root)
            return is_one and _size(left, one) == _size(right, other)
        if isinstance(left, Folder) and isinstance(right, Folder):
            with suppress(OSError):
                return (left.path / one.path).samefile(right.path / other.path)
        return False


def _open(path: Path) -> Source:
    if path.is_dir():
        return Folder(path)
    return Zip(path) if zipfile.is_zipfile(path) else Tar(path)


def _home(path: Path) -> tuple[Path, str]:
    """Return where an archive would be unpacked, or a folder lies."""
    return path.parent, path.name if path.is_dir() else root_of(path)


def _size(source: Source, place: Place) -> int:
    """Return the bytes of a file: archives say them where they list it."""
    with suppress(OSError):
        return place.size if place.size >= 0 else (source.path / place.path).stat().st_size
    return -1


def _below(path: str, root: str) -> str:
    return path.removeprefix("./").removeprefix(f"{root}/")


def _notes(resolved: Resolved) -> tuple[str, ...]:
    notes = []
    if resolved.num_bare:
        notes.append(
            f"{resolved.num_bare:,} pictures were taken by their names alone:"
            " the folders that the rows name are not there"
        )
    if resolved.num_untaken:
        notes.append(f"{resolved.num_untaken:,} pictures in the sources are taken by no row")
    return tuple(notes)
