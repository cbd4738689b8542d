"""The files of archives, read where they lie: nothing is unpacked, so no name can escape."""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path

from mue_cli.data.problems import TOO_LARGE, UNREADABLE, Fault
from mue_cli.data.sources import folder
from mue_cli.data.sources.links import aliases, target_of
from mue_cli.data.sources.names import other_spellings, spellings
from mue_cli.data.sources.resolver import Listed

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
MAX_LINK_BYTES = 4096

DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,  # zipfile: a compression that Python does not know
)
"""What the readers of archives raise when one is damaged."""

_UTF8_FLAG = 0x800


class Tar:
    """A source of files in a tar, compressed or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = root_of(path)

    def files(self) -> Iterator[Listed]:
        """Yield each file in the archive's order, then the names that links give to them. Raises
        one of DAMAGE.
        """
        files: list[Listed] = []
        links: dict[str, str] = {}
        for number, member in enumerate(_members(self.path)):
            if member.isfile():
                files.append(Listed(number, member.name, size=member.size))
                yield files[-1]
                for spelling in other_spellings(member.name):
                    yield replace(files[-1], path=spelling, reread=True)
            elif member.islnk():
                links[member.name] = member.linkname.lstrip("/")
            elif member.issym():
                links[member.name] = target_of(member.name, member.linkname)
        yield from aliases(files, links)

    def read(self, wanted: Container[int]) -> Iterator[tuple[int, bytes | Fault]]:
        """Yield the bytes of the wanted files, in order. Raises one of DAMAGE."""
        with tarfile.open(self.path, "r:*") as archive:
            for number, member in enumerate(_members(self.path, archive)):
                if number not in wanted:
                    continue
                if member.size > folder.MAX_FILE_BYTES:
                    yield number, Fault(TOO_LARGE, f"{member.name} has {member.size:,} bytes")
                elif (file := archive.extractfile(member)) is not None:
                    yield number, file.read()


class Zip:
    """A source of files in a zip."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = root_of(path)

    def files(self) -> Iterator[Listed]:
        """Yield each file in the archive's order, then the names that links give to them. Raises
        one of DAMAGE.
        """
        files: list[Listed] = []
        links: dict[str, str] = {}
        with zipfile.ZipFile(self.path) as archive:
            for number, member in enumerate(_taken_apart(archive)):
                if member.is_dir():
                    continue
                if stat.S_ISLNK(member.external_attr >> 16):
                    link = _read_member(archive, member, MAX_LINK_BYTES)
                    if isinstance(link, bytes):
                        target = link.decode("utf-8", "surrogateescape")
                        links[member.filename] = target_of(member.filename, target)
                    continue
                files.append(Listed(number, member.filename, size=member.file_size))
                yield files[-1]
                for spelling in _other_names(member):
                    yield replace(files[-1], path=spelling, reread=True)
        yield from aliases(files, links)

    def read(self, wanted: Container[int]) -> Iterator[tuple[int, bytes | Fault]]:
        """Yield the bytes of the wanted files, in order. Raises one of DAMAGE."""
        with zipfile.ZipFile(self.path) as archive:
            for number, member in enumerate(_taken_apart(archive)):
                if number in wanted:
                    yield number, _read_member(archive, member, folder.MAX_FILE_BYTES)


def is_archive(path: Path) -> bool:
    """Tell whether a path is a file named like an archive."""
    try:
        return path.is_file() and path.name.lower().endswith(SUFFIXES)
    except OSError:  # a name that is too long
        return False


def root_of(path: Path) -> str:
    """Return an archive's name without its suffix: where it would be unpacked."""
    name = path.name
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def _members(path: Path, archive: tarfile.TarFile | None = None) -> Iterator[tarfile.TarInfo]:
    if archive is None:
        with tarfile.open(path, "r:*") as opened:
            yield from _members(path, opened)
        return
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined] # tarfile keeps every header
        yield member


def _taken_apart(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """Yield the members and let each go: an entry takes almost a kilobyte."""
    members = archive.infolist()[::-1]
    archive.filelist.clear()
    archive.NameToInfo.clear()
    while members:
        yield members.pop()


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes | Fault:
    if member.file_size > limit:
        return Fault(TOO_LARGE, f"{member.filename} has {member.file_size:,} bytes")
    try:
        return archive.read(member)
    except (*DAMAGE, RuntimeError) as error:  # RuntimeError: a password, an unknown method
        return Fault(UNREADABLE, f"{member.filename}: {error or type(error).__name__}")


def _other_names(member: zipfile.ZipInfo) -> Iterator[str]:
    """Yield other readings of a name that is not marked as UTF-8; zipfile takes it for cp437."""
    name = member.orig_filename
    if name.isascii() or member.flag_bits & _UTF8_FLAG:
        return
    yield from (other for other in spellings(name.encode("cp437")) if other != member.filename)
