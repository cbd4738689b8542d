"""Single files out of a zip, by the names that we expect; an archive whose names would leave the
folder is refused as a whole.
"""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mue_cli.data.disk import writing
from mue_cli.errors import DataError
from mue_cli.files import replacing

MAX_MEMBER_BYTES = 2 * 2**30
HINT = "remove it and download it again"

_ESCAPES = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")


def unpack(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Write members of a zip to the folder. members: name in the archive -> path in the folder.

    Raises DataError as open_member does.
    """
    for name, target in members.items():
        path = folder / target
        with (
            writing(path),
            open_member(archive, name) as source,
            replacing(path) as temporary,
            temporary.open("wb") as out,
        ):
            shutil.copyfileobj(source, out)


@contextmanager
def open_member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """Open one member of a zip for reading.

    Raises DataError when the archive is damaged or has names that lead outside, or the member is
    absent, no plain file or too large.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            for other in content.namelist():
                if _ESCAPES.search(other):
                    raise DataError(
                        f"{archive} has a member {other!r} that leads outside its folder;"
                        " nothing was unpacked",
                        hint=HINT,
                    )
            member = _plain_member(content, name, archive)
            try:
                file = content.open(member)
            except RuntimeError as error:  # encrypted, or packed in a way Python does not know
                raise DataError(f"cannot read {name} in {archive}: {error}", hint=HINT) from error
            with file:  # gives no more than the declared size, and checks the CRC
                yield file
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive} is damaged: {error}", hint=HINT) from error


def _plain_member(content: zipfile.ZipFile, name: str, archive: Path) -> zipfile.ZipInfo:
    try:
        member = content.getinfo(name)
    except KeyError:
        raise DataError(f"{archive} has no member {name}", hint="is it the right file?") from None
    if member.is_dir() or stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        raise DataError(f"{name} in {archive} is no plain file", hint=HINT)
    if member.file_size > MAX_MEMBER_BYTES:
        raise DataError(
            f"{name} in {archive} unpacks to {member.file_size:,} bytes,"
            f" expected {MAX_MEMBER_BYTES:,} at most",
            hint=HINT,
        )
    return member
