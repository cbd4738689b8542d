"""The file of `mue predict --out`: a line per picture, JSON or CSV, gone on with where it stopped.

Beside it, `<name>.settings.json` holds what its answers depend on.
"""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from filelock import FileLock, Timeout

from mue_cli.data.pictures import Unreadable
from mue_cli.errors import MueError
from mue_cli.files import append, open_text, plain_file, write_text
from mue_cli.schema.json_files import parse_json, read_json

MARK = "\ufeff"
"""Opens a CSV file: without it spreadsheets take UTF-8 for something else."""
FORMULA = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet would run."""
_AGAIN = "name another file with --out, or remove this one to begin anew"


@dataclass(frozen=True)
class Settings:
    """What the answers of a file depend on, by name."""

    settings: Mapping[str, object]


@dataclass(frozen=True)
class AnswerFile:
    """A file of answers. path: ends in .jsonl or .csv. columns: of CSV, the picture's path first.

    done: lines that an earlier run left, by picture. failed: of them, pictures that could not be
    read. cut: bytes of a half-written line that were removed.
    """

    path: Path
    columns: Sequence[str]
    done: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    cut: int = 0

    @property
    def num_done(self) -> int:
        return self.done.total()

    def left(self, paths: Iterable[str | Unreadable]) -> list[str | Unreadable]:
        """Return the pictures that have no line yet; one named twice has two."""
        done, left = self.done.copy(), []
        for each in paths:
            name = self._name(each.path if isinstance(each, Unreadable) else each)
            if done[name]:
                done[name] -= 1
            else:
                left.append(each)
        return left

    def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add lines in one go: all of them or, on any error, none. Raises OSError."""
        if rows:
            append(self.path, "\n".join(self._line(row) for row in rows))

    def _line(self, row: Mapping[str, object]) -> str:
        if not is_csv(self.path):
            return json_text(row)
        flat = _flat(row)
        return csv_line([cell(flat.get(column)) for column in self.columns])

    def _name(self, path: str) -> str:
        return cell(path) if is_csv(self.path) else path


@contextmanager
def writing(
    path: Path, columns: Sequence[str], settings: Mapping[str, object]
) -> Iterator[AnswerFile]:
    """Hold a file of answers, new or to be gone on with, and what its answers depend on.

    Raises MueError for a file of other settings, of another program, or that another command
    writes; DataError for one that was edited into nonsense.
    """
    lock = path.with_name(f".{path.name}.lock")
    with _held(FileLock(lock, timeout=0), path):
        try:
            _check_settings(path, json.loads(json.dumps(settings)))
            yield _opened(path, columns)
        finally:
            lock.unlink(missing_ok=True)


def is_csv(path: Path) -> bool:
    """Return whether a file is for spreadsheets, by its suffix."""
    return path.suffix.lower() == ".csv"


def settings_path(path: Path) -> Path:
    """Return the file beside the answers that says what they depend on."""
    return path.with_name(f"{path.name}.settings.json")


def json_text(row: Mapping[str, object]) -> str:
    """Return one line of JSON. What is no UTF-8 in a file name becomes JSON's own escape."""
    text = json.dumps(row, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_line(cells: Sequence[str]) -> str:
    """Return one line of CSV, without its end."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def cell(value: object) -> str:
    """Return a value as a cell: in one line, a path that looks like a formula as ./path."""
    if value is None or isinstance(value, bool):
        return "" if value is None else ("yes" if value else "no")
    if isinstance(value, float):
        return f"{value:.2f}"
    text = str(value)
    text = f"./{text}" if text.startswith(FORMULA) else text
    escaped = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


def _flat(row: Mapping[str, object]) -> dict[str, object]:
    """Return the values of a row with a column per stream, the decoder's layers as their mean."""
    layers = row.get("exit_layers")
    named = layers if isinstance(layers, Mapping) else {}
    means = {
        f"{stream} layer": fmean(layer) if isinstance(layer, list) else layer
        for stream, layer in named.items()
    }
    return {**row, **means}


@contextmanager
def _held(lock: FileLock, path: Path) -> Iterator[None]:
    try:
        lock.acquire()
    except Timeout:
        raise MueError(
            f"`{path}` is being written by another command",
            "wait for it, or name another file with --out",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _check_settings(path: Path, now: Mapping[str, object]) -> None:
    """Keep the settings of a new file. Raises MueError where those of an old one were others."""
    kept = settings_path(path)
    if os.path.lexists(path):
        plain_file(path)
    if not path.exists() or not path.stat().st_size:
        write_text(kept, json.dumps({"settings": now}, indent=1, ensure_ascii=False) + "\n")
        return
    if not kept.exists():
        raise MueError(f"`{path}` is there, and nothing says what wrote it", _AGAIN)
    before = read_json(Settings, kept, _AGAIN).settings
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            was, is_now = (json.dumps(each.get(name)) for each in (before, now))
            raise MueError(f"`{path}` was written with {name} {was}, now it is {is_now}", _AGAIN)


def _opened(path: Path, columns: Sequence[str]) -> AnswerFile:
    """Return the file with what is in it, without a line that was half written."""
    cut = _cut(path) if path.exists() else 0
    if is_csv(path) and not (path.exists() and path.stat().st_size):
        append(path, MARK + csv_line(columns))
    elif not path.exists():
        path.touch()
    done: Counter[str] = Counter()
    failed = 0
    for name, is_answered in _csv_rows(path, columns) if is_csv(path) else _json_rows(path):
        done[name] += 1
        failed += not is_answered
    return AnswerFile(path, columns, done, failed, cut)


def _cut(path: Path) -> int:
    """Remove what follows the last end of a line, and return how many bytes that was."""
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - 65536)
            file.seek(begin)
            place = file.read(end - begin).rfind(b"\n")
            end = begin if place < 0 else begin + place + 1
            if place >= 0:
                break
        file.truncate(end)
    return size - end


def _json_rows(path: Path) -> Iterator[tuple[str, bool]]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            place = f"line {number} of `{path}`"
            row = parse_json(line, place, _AGAIN)
            if not isinstance(row, dict) or not isinstance(row.get("image"), str):
                raise MueError(f"{place} names no image", _AGAIN)
            yield row["image"], "error" not in row


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, bool]]:
    with open_text(path) as lines:
        rows = csv.reader(lines)
        if next(rows, None) != list(columns):
            raise MueError(f"`{path}` has other columns than {', '.join(columns)}", _AGAIN)
        for number, row in enumerate(rows, start=2):
            if len(row) != len(columns):
                message = f"line {number} of `{path}` has {len(row)} cells, expected {len(columns)}"
                raise MueError(message, _AGAIN)
            yield row[0], not row[-1]
