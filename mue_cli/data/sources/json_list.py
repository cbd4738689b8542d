"""A long list inside a JSON file, read entry by entry: the file never lies in memory as a whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mue_cli.errors import DataError

CHUNK_CHARACTERS = 2**18
_WHITE = " \t\r\n"
_AFTER = tuple(_WHITE + ",:]}")  # ends a value for sure: "1" may go on as "12", and "1." as "1.5"


def read_list(path: Path, key: str) -> Iterator[object]:
    """Yield the entries of the list that the file's object has at `key`.

    What stands beside the list is passed over, but must be JSON: a file that was cut short is found
    out. Raises DataError, maybe after some entries, when the file cannot be read, is no JSON object
    or has no such list.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _Scanner(file, path).entries(key)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(
            error, "msg", error
        )  # without json's line and column, which count from the window's start
        raise DataError(f"cannot read {path}: {reason}", hint="download the file again") from error


class _Scanner:
    """A window on the text. Only the value being read has to fit in it."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0

    def entries(self, wanted: str) -> Iterator[object]:
        if self._peek() != "{":
            raise DataError(
                f"{self._path} holds a {type(self._value()).__name__}, not an object",
                hint="is it the right file?",
            )
        found = False
        for _ in self._items("{", "}"):
            key = self._value()
            self._take(":")
            is_list = self._peek() == "["
            if key == wanted and is_list:
                found = True
                yield from (self._value() for _ in self._items("[", "]"))
            elif is_list:  # "images" stands beside "annotations", and is as long
                for _ in self._items("[", "]"):
                    self._value()
            else:
                self._value()
        if self._peek():
            raise ValueError(f"something follows the object: {self._peek()!r}")
        if not found:
            raise DataError(f"{self._path} has no list {wanted!r}", hint="is it the right file?")

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        """Stop before each item of a list or an object; the caller reads it."""
        self._take(opening)
        if self._peek() == closing:
            self._at += 1
            return
        while True:
            yield
            if self._peek() == closing:
                self._at += 1
                return
            self._take(",")

    def _take(self, character: str) -> None:
        if self._peek() != character:
            raise ValueError(f"expected {character!r}, found {self._peek()!r}")
        self._at += 1

    def _peek(self) -> str:
        """The next character that is not white, or "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _WHITE:
                    return self._text[self._at]
                self._at += 1
            if not self._more(CHUNK_CHARACTERS):
                return ""

    def _value(self) -> object:
        self._peek()
        size = CHUNK_CHARACTERS
        while True:
            try:
                value, end = self._decode(self._text, self._at)
                if self._text[end : end + 1] in _AFTER or not self._more(size):
                    self._at = end
                    return value
            except ValueError:  # malformed, or not all here yet
                if not self._more(size):
                    raise
            size *= 2

    def _more(self, size: int) -> bool:
        """Read on; what is behind is forgotten."""
        read = self._file.read(size)
        self._text, self._at = self._text[self._at :] + read, 0
        return bool(read)
