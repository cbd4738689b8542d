"""Encoded images out of folders and archives, read where they lie: nothing is unpacked to disk, so
no member name can escape.
"""

import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

from mue_cli.data.rows import Problems
from mue_cli.errors import DataError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MAX_FILE_BYTES = 256 * 2**20

KeyOf = Callable[[str], str | None]

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
)


def is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


def find_images(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return what exists of `names` in `folder` or `folder`/images: each as a folder or an archive
    of that name.
    """
    candidates = (
        base / f"{name}{suffix}"
        for base in (folder, folder / "images")
        for name in names
        for suffix in ("", *ARCHIVES)
    )
    return [path for path in candidates if path.is_dir() or is_archive(path)]


def read_images(
    sources: Sequence[Path],
    key_of: KeyOf,
    wanted: set[str],
    problems: Problems,
    done: Container[str] = (),
) -> Iterator[tuple[str, bytes]]:
    """Yield (key, encoded bytes) of every wanted image, once, in the order of the sources; stop
    when all were found.

    key_of: file name without folders -> the image's key, or None for another file. done: keys to
    pass over; the rest, problems included, is as without them. Files that cannot be read and
    damaged archives are listed as problems.
    """
    missing = set(wanted)
    for source in sources:
        read = (
            _read_folder
            if source.is_dir()
            else _read_zip
            if zipfile.is_zipfile(source)
            else _read_tar
        )
        try:
            for key, data in read(source, key_of, missing, done, problems):
                missing.discard(key)
                if key not in done:
                    yield key, data
                if not missing:
                    return
        except _DAMAGE as error:
            problems.add(source.name, type(error).__name__, "archive damaged or cut short")


def require_images(sources: Sequence[Path], where: Path, hint: str) -> None:
    """Raise DataError when there is nothing to read images from."""
    if not sources:
        raise DataError(f"no images found in {where}", hint=hint)


def _read_folder(
    folder: Path, key_of: KeyOf, missing: set[str], done: Container[str], problems: Problems
) -> Iterator[tuple[str, bytes]]:
    for parent, subfolders, names in os.walk(folder):
        subfolders.sort()
        for name in sorted(names):
            key = _key(name, key_of)
            if key not in missing:
                continue
            try:
                data = b"" if key in done else (Path(parent) / name).read_bytes()
            except OSError:
                problems.add(folder.name, name, "image file cannot be read")
                continue
            yield key, data


def _read_tar(
    path: Path, key_of: KeyOf, missing: set[str], done: Container[str], problems: Problems
) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r:*") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined] # tarfile keeps every header it has seen
            key = _key(member.name, key_of)
            if not member.isfile() or key not in missing:
                continue
            file = archive.extractfile(member) if member.size <= MAX_FILE_BYTES else None
            if file is None:
                problems.add(path.name, member.name, "image file too large")
                continue
            yield key, b"" if key in done else file.read()


def _read_zip(
    path: Path, key_of: KeyOf, missing: set[str], done: Container[str], problems: Problems
) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()[::-1]
        archive.filelist.clear()  # an entry takes almost a kilobyte: each is let go when it has been read
        archive.NameToInfo.clear()
        while members:
            member = members.pop()
            key = _key(member.filename, key_of)
            if member.is_dir() or key not in missing:
                continue
            if member.file_size > MAX_FILE_BYTES:
                problems.add(path.name, member.filename, "image file too large")
                continue
            try:
                data = b"" if key in done else archive.read(member)
            except (
                *_DAMAGE,
                RuntimeError,
            ):  # which is what zipfile says of passwords and unknown methods
                problems.add(path.name, member.filename, "image file cannot be read")
                continue
            yield key, data


def _key(name: str, key_of: KeyOf) -> str:
    """The image's key, or "" for what is no image: hidden files, other suffixes, names that key_of
    does not know.
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    if base.startswith(".") or not base.lower().endswith(SUFFIXES):
        return ""
    return key_of(base) or ""
