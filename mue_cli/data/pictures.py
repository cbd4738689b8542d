"""A user's own pictures: named by file, folder, pattern or list, and read ahead of the model in a
few threads.
"""

import glob
import io
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mue_cli.errors import DataError, one_line
from mue_cli.files import decode, encoding_of

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL_SIDE = 480
READ_AHEAD = 32
"""Pictures that wait for the model at most."""

_LONGEST_PATH = 4096  # bytes
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Picture:
    """path: as the user would name it. image: RGB, in the model's size. thumbnail: JPEG for people
    to look at, where one was asked for. remark: what is wrong with a picture that is used.
    """

    path: str
    image: "Image"
    thumbnail: bytes | None = None
    remark: str | None = None


@dataclass(frozen=True)
class Unreadable:
    """Something that gives no picture. reason: in a few words."""

    path: str
    reason: str


def find_pictures(
    words: Iterable[str], passed_over: list[str] | None = None
) -> list[str | Unreadable]:
    """Return the paths that a command line means, in its order; one that cannot be had is there as
    Unreadable.

    A word is a file, a folder (searched with its subfolders, links followed, for files that are
    named like pictures, sorted), a pattern, or "-": paths from stdin, one per line or with NUL
    between them. What exists is never taken for a pattern. passed_over: gains the other files of
    the folders, hidden ones (.name) apart.
    """
    paths: list[str | Unreadable] = []
    others = passed_over if passed_over is not None else []
    for word in words:
        if word == "-":
            paths += [each for path in _listed() for each in _find(path, others)]
        else:
            paths += _find(word, others, patterns=True)
    return paths


def read_pictures(
    paths: Iterable[str | Unreadable], size: int, num_thumbnails: int = 0
) -> Iterator[Picture | Unreadable]:
    """Yield every picture in order, resized to a square of `size`, the first `num_thumbnails` with
    a thumbnail.

    At most READ_AHEAD of them are in memory beside the one that was asked for.
    """
    from mue_cli.data.ahead import ahead

    return ahead(
        lambda item: _read(item[1], size, thumbnail=item[0] < num_thumbnails),
        enumerate(paths),
        READ_AHEAD,
    )


def _listed() -> list[str]:
    """Return the paths on stdin. Raises DataError for what is no list of paths, before any of them
    is looked at: one that was misread may name a whole disk.
    """
    data = sys.stdin.buffer.read()
    place = "the list on stdin"
    if (encoding := encoding_of(data)) != "utf-8":
        data = os.fsencode(decode(data, place))
    separator = b"\0" if b"\0" in data else None
    if separator and encoding == "utf-8" and _is_wide(data):
        raise DataError(f"{place} is UTF-16 without its mark", "write it as UTF-8")
    lines = data.split(separator) if separator else data.splitlines()
    for number, line in enumerate(lines, start=1):
        if len(line) > _LONGEST_PATH or _CONTROL.search(line):
            shown = one_line(os.fsdecode(line), 60)
            raise DataError(
                f"{place} is no list of paths: entry {number} is `{shown}`",
                "give one path per line, or with NUL between them as `find -print0` does",
            )
    return [os.fsdecode(line) for line in lines if line.strip()]


def _is_wide(data: bytes) -> bool:
    """Return whether every second byte of several lines, names or folders is zero."""
    halves = data[0::2], data[1::2]
    text = set(b"\n./\\")
    return any(
        other and not any(zeros) and not text.isdisjoint(other)
        for zeros, other in (halves, halves[::-1])
    )


def _find(word: str, others: list[str], patterns: bool = False) -> list[str | Unreadable]:
    try:
        mode = os.stat(word).st_mode  # noqa: PTH116 - a Path takes no name for this folder
    except (OSError, ValueError) as error:
        if patterns and glob.has_magic(word):
            return _matches(word, others)
        return [Unreadable(word, _reason(error))]
    return _inside(word, others) if stat.S_ISDIR(mode) else [word]


def _matches(pattern: str, others: list[str]) -> list[str | Unreadable]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern and rewrites "./x"
    paths = dict.fromkeys(
        each for match in matches for each in _find(match, others)
    )  # "**" names a folder and what is in it
    return list(paths) or [Unreadable(pattern, "no file matches this pattern")]


def _inside(folder: str, others: list[str]) -> list[str | Unreadable]:
    from mue_cli.data.files_below import files_below
    from mue_cli.data.sources.names import is_picture_name

    paths: list[str | Unreadable] = []
    closed: list[OSError] = []
    for name in files_below(folder, closed.append, hidden=False):
        file = str(Path(folder, name))
        (paths if is_picture_name(file) else others).append(file)
    paths += [Unreadable(str(error.filename), _reason(error)) for error in closed]
    return paths or [Unreadable(folder, "no pictures in this folder")]


def _read(path: str | Unreadable, size: int, thumbnail: bool) -> Picture | Unreadable:
    from mue_cli.data.images import CUT_SHORT, decode_image, ends_early, resize

    if isinstance(path, Unreadable):
        return path
    try:
        data = _bytes(path)
        image = decode_image(data, upright=True)
    except DataError as error:
        return Unreadable(path, error.message)
    except OSError as error:
        return Unreadable(path, _reason(error))
    shown = _thumbnail(image) if thumbnail else None
    return Picture(path, resize(image, size), shown, CUT_SHORT if ends_early(data) else None)


def prepare_picture(name: str, image: "Image", size: int) -> Picture:
    """Return a picture that is in memory already, as one that was read from a file."""
    from mue_cli.data.images import resize, to_rgb

    return Picture(name, resize(to_rgb(image, upright=True), size))


def _bytes(path: str) -> bytes:
    """Read a plain file of sensible size: a pipe might never end. Raises OSError, DataError."""
    from mue_cli.data.sources.folder import MAX_FILE_BYTES

    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError("not a plain file")
    if status.st_size > MAX_FILE_BYTES:
        raise DataError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
    return Path(path).read_bytes()


def _thumbnail(image: "Image") -> bytes:
    """Return a small JPEG. It is drawn anew, so that nothing of the file but its pixels (no place,
    no time) comes along.
    """
    small, buffer = image.copy(), io.BytesIO()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def _reason(error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or str(error)).lower()
