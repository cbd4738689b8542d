"""Errors a user can act on: one line that says what is wrong, one hint that says what to do."""

import errno
import os


class MueError(Exception):
    """A mistake or a missing thing outside the program; shown as one line and a hint, exit code 2,
    no traceback.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RecipeError(MueError):
    """A recipe that cannot be read, or a value in it that makes no sense."""


class MissingStepError(MueError):
    """A command was run before the one that writes what it reads."""


class DataError(MueError):
    """Source files or prepared data that are absent, malformed or empty."""


class CheckpointError(MueError):
    """Weights that are absent, damaged or do not fit the model."""


class FileError(MueError):
    """A file that cannot be read: absent, no plain file, no text, another's."""


_HINTS = {
    errno.ENOSPC: "make room, or write elsewhere; files that were whole before still are",
    errno.EDQUOT: "make room, or write elsewhere; files that were whole before still are",
    errno.EFBIG: "write where files may be larger; files that were whole before still are",
    errno.EROFS: "write elsewhere: nothing can be changed there",
    errno.EACCES: "see who may read and write there with: ls -ld",
    errno.EPERM: "see who may read and write there with: ls -ld",
    errno.ENOENT: "see what is there with: ls -l",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "something else is there: name another place, or move it away",
    errno.ENOTEMPTY: "something else is there: name another place, or move it away",
    errno.ELOOP: "a link there leads back to itself: name what it should lead to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "close other programs, or raise the limit with: ulimit -n",
    errno.ENFILE: "close other programs, or raise the limit with: ulimit -n",
    errno.ENOMEM: "close other programs, or use a smaller batch or picture size",
    errno.EIO: "the disk or its connection fails: copy what is dear, and look at the system's log",
    errno.ESTALE: "the network folder went away: mount it again",
    errno.ENODEV: "name a plain file",
    errno.ENXIO: "name a plain file",
}


def os_error(error: OSError) -> tuple[str, str]:
    """Return an error of the operating system in words ("no such file or folder"), and a hint."""
    if error.errno == errno.ENOENT:
        words = "no such file or folder"
    else:
        words = os.strerror(error.errno) if error.errno else str(error)
        words = words[:1].lower() + words[1:]
    return words, _HINTS.get(
        error.errno or 0, "see that the file, its folder and its disk are well"
    )


def one_line(text: str, longest: int = 1000) -> str:
    """Return `text` in one line that a terminal shows: control characters escaped, cut at
    `longest` characters.
    """
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in cut
    )
