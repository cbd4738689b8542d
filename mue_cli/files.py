"""Files that are either whole or absent, and the one way to open text.

A file is written beside its place first, then moved there in one step; where its name is a link,
what that leads to is replaced, and the link stays. Text is UTF-8 with or
without its mark, or UTF-16 by its mark; line ends are `\\n`, `\\r\\n` or `\\r`.
"""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from mue_cli.errors import FileError, os_error

PART = ".mue-part-"
"""How the names of unfinished files begin; the number of the process that writes them follows."""

_MARKS = {  # the longer marks first: UTF-32's begins like UTF-16's
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_FULL_BELOW = 1 << 16  # bytes


def is_first_process() -> bool:
    """Return whether this process is the one that writes and speaks: of those that `torchrun`
    started, the first.
    """
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


@contextmanager
def replacing(path: Path, sync: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it takes the place of `path`, on
    any error it goes away and `path` is as it was.

    Makes the folder when it is absent. The temporary name keeps the suffix of `path`. sync: wait
    until the disk holds it, where losing it to a power cut would be dear. Raises OSError, naming
    `path`, also for a full disk that a library reports in its own words; FileError for a pipe, a
    device or a link to nowhere.
    """
    temporary, place = None, path
    try:
        place = _place_of(path)  # what forbids it is found out now, not when the work is done
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = _make_beside(place)
        yield temporary
        temporary.chmod(_plain_mode())
        if sync:
            _wait_for_disk(temporary)
        temporary.replace(place)
        if sync:
            _wait_for_disk(place.parent)
    except OSError as error:
        own = error.filename is None or str(error.filename) in map(str, (temporary, place, path))
        if not own and PART not in str(error.filename):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except Exception as error:
        if not _is_full(place.parent, error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, sync: bool = False) -> None:
    """Write `text` as UTF-8 in one step."""
    with replacing(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def staged() -> Iterator[Callable[[Path], Path]]:
    """Yield a function from the place of a file to a temporary path beside it. At the end all files
    that it was called for move to their places, the first one last; on any error none does.
    """
    with ExitStack() as stack:
        temporary: dict[Path, Path] = {}

        def beside(path: Path) -> Path:
            if path not in temporary:
                temporary[path] = stack.enter_context(replacing(path))
            return temporary[path]

        yield beside


def append(path: Path, line: str) -> None:
    """Add a line, or several, in one go; the folder is made when it is absent.

    After a line that was cut short the new one starts afresh. Raises OSError when it cannot be
    written whole: then the file is as it was; FileError for what is no plain file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        plain_file(path)
    data = f"{line}\n".encode()
    with path.open("ab+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            data = data if file.read(1) == b"\n" else b"\n" + data
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except BaseException:
            file.truncate(end)
            raise


def sweep(folder: Path) -> None:
    """Remove the unfinished files that ended processes left in `folder`."""
    for path in folder.glob(f"{PART}*"):
        process = path.name.removeprefix(PART).partition("-")[0]
        if not (process.isdecimal() and is_alive(int(process))):
            with suppress(OSError):
                path.unlink()


def is_alive(process: int) -> bool:
    """Return whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def is_file(path: Path) -> bool:
    """Return whether a plain file is there; never raises, whatever the name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def plain_file(path: Path) -> Path:
    """Return `path`. Raises FileError when it is absent, a folder, a pipe or a device, or cannot be
    looked at: a pipe would be waited for, a device would never end.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from None
    if not stat.S_ISREG(mode):
        raise FileError(f"cannot read `{path}`: it is {_kind(path)}", "name a plain file")
    return path


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a plain file. Raises FileError."""
    try:
        return plain_file(path).read_bytes()
    except OSError as error:
        raise _cannot_read(path, error) from None


def read_text(path: Path) -> str:
    """Return the text of a plain file, its line ends as `\\n`. Raises FileError, naming the line
    and the byte that no text holds.
    """
    return decode(read_bytes(path), f"`{path}`")


def decode(data: bytes, place: str) -> str:
    """Return the text in `data`, its line ends as `\\n`. place: where it came from, for the error.

    Raises FileError.
    """
    try:
        text = data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        raise _no_text(place, error, 1 + data.count(b"\n", 0, error.start)) from None
    if "\0" in text:
        raise _null_bytes(place)
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Yield a plain file opened as text, to be read line by line. Raises FileError on opening, and
    on the line that is no text.
    """
    try:
        with plain_file(path).open("rb") as file:
            head = file.read(1024)
        if not _is_wide(encoding := encoding_of(head)) and b"\0" in head:
            raise _null_bytes(f"`{path}`")
        with path.open(encoding=encoding) as text:
            yield text
    except UnicodeDecodeError as error:
        raise _no_text(f"`{path}`", error, _first_bad_line(path)) from None
    except OSError as error:
        if error.filename != str(path):
            raise
        raise _cannot_read(path, error) from None


def encoding_of(head: bytes) -> str:
    """Return the encoding that the first bytes of a text ask for: by its mark, else UTF-8."""
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")


def _kind(path: Path) -> str:
    return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "no plain file")


def _place_of(path: Path) -> Path:
    """Return where a file is to be written: where a link leads for a link, else its own place."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():  # a pipe or a device is not ours to replace
        raise FileError(f"cannot write `{path}`: it is {_kind(path)}", "name a plain file")
    if path.is_symlink() and not path.exists():
        hint = "see where it leads with: ls -l; remove it, or make that whole"
        raise FileError(f"cannot write `{path}`: it is a link to nowhere", hint)
    return path.resolve() if path.is_symlink() else path


def _make_beside(path: Path) -> Path:
    handle, name = tempfile.mkstemp(
        prefix=f"{PART}{os.getpid()}-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    return Path(name)


def _plain_mode() -> int:
    """Return the permissions that a newly made file would have; mkstemp gives stricter ones."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _wait_for_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_full(folder: Path, error: Exception) -> bool:
    """Return whether `error`, of a library that writes files its own way, means a full disk."""
    try:
        return "os error 28" in str(error) or shutil.disk_usage(folder).free < _FULL_BELOW
    except OSError:
        return False


def _is_wide(encoding: str) -> bool:
    return encoding in ("utf-16", "utf-32")


def _first_bad_line(path: Path) -> int | None:
    """Return the number of the first line that is not UTF-8, None in a wider encoding."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return None


def _no_text(place: str, error: UnicodeDecodeError, line: int | None) -> FileError:
    expected = error.encoding.upper()[:6].rstrip("-")
    where = "" if line is None or expected != "UTF-8" else f" in line {line}"
    byte = error.object[error.start]
    return FileError(
        f"cannot read {place}: it is not {expected} text (byte 0x{byte:02x}{where})",
        "save it as UTF-8",
    )


def _null_bytes(place: str) -> FileError:
    return FileError(
        f"cannot read {place}: it is not UTF-8 text (byte 0x00)",
        "save it as UTF-8; UTF-16 is read where its mark is at the start",
    )


def _cannot_read(path: Path, error: OSError | ValueError) -> FileError:
    if isinstance(error, ValueError):  # a zero byte in the name
        return FileError(f"cannot read `{path}`: no file has such a name")
    message, hint = os_error(error)
    return FileError(f"cannot read `{path}`: {message}", hint)
