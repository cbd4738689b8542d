"""Long lists inside a JSON file, read entry by entry: the file never lies in memory as a whole.

Own code, since ijson 3.6 serves badly here: a number of 5,000 digits ends the process (segmentation
fault), 100,000 opening brackets take all memory, and half a character silently becomes "?".
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TextIO

from mue_cli.data.sources.fields import unambiguous
from mue_cli.errors import DataError, MueError
from mue_cli.files import open_text

CHUNK_CHARACTERS = 2**18
_WHITE = " \t\r\n"
_AFTER = tuple(_WHITE + ",:]}")  # ends a value for sure: "1" may go on as "12", and "1." as "1.5"


def read_list(path: Path, key: str) -> Iterator[object]:
    """Yield the entries of the list that the file's object has at `key`. Raises DataError as
    read_lists does.
    """
    return (entry for _, entry in read_lists(path, (key,)))


def read_lists(
    path: Path, keys: Collection[str], optional: Collection[str] = ()
) -> Iterator[tuple[str, object]]:
    """Yield (key, entry) of the lists that the file's object has at `keys`, in the file's order. An
    object with a key twice comes as Repeated.

    What stands beside the lists is passed over, but must be JSON: a file that was cut short does
    not pass. Raises DataError, maybe after some entries, when the file cannot be read, is no JSON
    object, lacks a list at one of `keys` or has it twice; `optional` ones may be absent.
    """
    try:
        with open_text(path) as file:
            yield from _Scanner(file, path).entries(keys, optional)
    except MueError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        # without json's line and column, which count from the window's start
        reason = getattr(error, "msg", error)
        raise DataError(f"cannot read {path}: {reason}", hint="download the file again") from error


class _Scanner:
    """A window on the text. Only the value being read has to fit in it."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._decode = json.JSONDecoder(object_pairs_hook=unambiguous).raw_decode
        self._text = ""
        self._at = 0

    def entries(
        self, keys: Collection[str], optional: Collection[str]
    ) -> Iterator[tuple[str, object]]:
        if self._peek() != "{":
            raise DataError(
                f"{self._path} holds a {type(self._value()).__name__}, not an object",
                hint="is it the right file?",
            )
        met: set[str] = set()
        for _ in self._items("{", "}"):
            key = self._value()
            self._take(":")
            if self._peek() != "[":
                self._value()
                continue
            is_wanted = isinstance(key, str) and (key in keys or key in optional)
            if is_wanted and key in met:
                raise DataError(
                    f"{self._path} has the list {key!r} twice", hint="make one list of both"
                )
            met.add(str(key))
            for entry in self._list():
                if is_wanted:
                    yield str(key), entry
        if self._peek():
            raise ValueError(f"something follows the object: {self._peek()!r}")
        for key in set(keys) - met:
            raise DataError(f"{self._path} has no list {key!r}", hint="is it the right file?")

    def _list(self) -> Iterator[object]:
        """Yield the entries of a list: many at once where they are objects that end alike."""
        in_bulk = True
        for _ in self._items("[", "]"):
            while in_bulk and (entries := self._several()):
                yield from entries
            in_bulk = False  # nested entries, or the list's end is near
            yield self._value()

    def _several(self) -> list[object]:
        """Return the entries up to the last "}," of the window; none where that is not an entry's
        end.
        """
        if len(self._text) - self._at < CHUNK_CHARACTERS // 2 and not self._more(CHUNK_CHARACTERS):
            return []
        end = self._text.rfind("},", self._at)
        if end < 0:
            return []
        try:
            entries: list[object] = json.loads(
                f"[{self._text[self._at : end + 1]}]", object_pairs_hook=unambiguous
            )
        except (ValueError, RecursionError):
            return []
        self._at = end + 2
        return entries

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
        """Return the next character that is not white, or "" at the end."""
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
