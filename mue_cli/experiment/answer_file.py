"""The file of `mue predict --out`: a line per picture, JSON or CSV, gone on with where it stopped.

Pictures are told apart by where their paths lead: those of one name in two folders are two.
"""

import csv
import functools
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from filelock import FileLock, Timeout

from mue_cli.data.pictures import Unreadable
from mue_cli.errors import MueError
from mue_cli.experiment.answer_settings import (
    AGAIN,
    Settings,
    check_settings,
    keep_settings,
    settings_path,
)
from mue_cli.files import append, open_text
from mue_cli.schema.json_files import parse_json

MARK = "\ufeff"
"""Opens a CSV file: without it spreadsheets take UTF-8 for something else."""
FORMULA = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet would run."""
REMARK = "remark"
"""The column, or key, of what was wrong with a picture that has an answer."""


@dataclass(frozen=True)
class AnswerFile:
    """A file of answers. path: ends in .jsonl or .csv. columns: of CSV, the picture's path first.

    done: lines that an earlier run left, by place. failed: of them, pictures that could not be
    read. cut: bytes of a half-written line that were removed. folder: that its paths are meant
    from. written: when an earlier run last wrote, in seconds since 1970.
    """

    path: Path
    columns: Sequence[str]
    folder: str
    written: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    cut: int = 0

    @property
    def num_done(self) -> int:
        return self.done.total()

    def left(self, paths: Iterable[str | Unreadable]) -> list[str | Unreadable]:
        """Return the pictures that have no line yet; one named twice has two."""
        done, left, place = self.done.copy(), [], _places(Path.cwd())
        for each in paths:
            name = place(self._name(each.path if isinstance(each, Unreadable) else each))
            if done[name]:
                done[name] -= 1
            else:
                left.append(each)
        return left

    def changed(self, paths: Iterable[str | Unreadable]) -> list[str]:
        """Return the pictures that have a line and were changed, or moved, since it was written."""
        place = _places(Path.cwd())
        named = dict.fromkeys(each for each in paths if isinstance(each, str))
        done = (each for each in named if self.done[place(self._name(each))])
        return [each for each in done if _last_change(each) > self.written]

    def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add lines in one go: all of them or, on any error, none. Raises OSError."""
        if rows:
            here, is_elsewhere = str(Path.cwd()), str(Path.cwd()) != self.folder
            if is_elsewhere:
                rows = [{**row, "image": str(Path(here, str(row["image"])))} for row in rows]
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
            own = Settings(json.loads(json.dumps(settings)), str(Path.cwd()))
            kept = check_settings(path, own)
            file = _opened(path, columns, kept.folder)
            if kept.folder is None:
                keep_settings(path, own)
            yield file
        finally:
            lock.unlink(missing_ok=True)


def is_csv(path: Path) -> bool:
    """Return whether a file is for spreadsheets, by its suffix."""
    return path.suffix.lower() == ".csv"


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


def _opened(path: Path, columns: Sequence[str], folder: str | None) -> AnswerFile:
    """Return the file with what is in it, without a line that was half written. folder: that its
    paths are meant from, where that is known.
    """
    written = path.stat().st_mtime if path.exists() else 0.0
    header = _header(path, columns) if is_csv(path) else columns
    rows = list(_csv_rows(path, header) if is_csv(path) else _json_rows(path))
    if folder is None:
        _refuse_relative(path, [name for name, _ in rows])
        folder = str(Path.cwd())
    cut = _cut(path) if path.exists() else 0
    if is_csv(path) and not (path.exists() and path.stat().st_size):
        append(path, MARK + csv_line(columns))
    elif not path.exists():
        path.touch()
    place = _places(Path(folder))
    done = Counter(place(name) for name, _ in rows)
    failed = sum(not is_answered for _, is_answered in rows)
    return AnswerFile(path, header, folder, written, done, failed, cut)


def _refuse_relative(path: Path, names: Sequence[str]) -> None:
    """Raise MueError where a line names its picture from a folder that nothing tells."""
    if any(not Path(name).is_absolute() for name in names):
        raise MueError(
            f"`{path}` names pictures from a folder, and `{settings_path(path).name}` of an earlier"
            " version does not say which",
            f'add `"folder": "/path/of/that/folder"` there, beside `"settings"`; or {AGAIN}',
        )


def _places(folder: Path) -> Callable[[str], str]:
    """Return the function that says where a path leads from a folder, the links of folders
    followed.
    """
    real = functools.cache(os.path.realpath)

    def place(path: str) -> str:
        whole = Path(folder, path)
        return str(Path(real(whole.parent), whole.name))

    return place


def _last_change(path: str) -> float:
    """Return when a file was written, or moved here; never for one that cannot be seen."""
    try:
        status = Path(path).stat()
    except OSError:
        return 0.0
    return max(status.st_mtime, status.st_ctime)


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
    for number, line in enumerate(_whole_lines(path), start=1):
        place = f"line {number} of `{path}`"
        row = parse_json(line, place, AGAIN)
        if not isinstance(row, dict) or not isinstance(row.get("image"), str):
            raise MueError(f"{place} names no image", AGAIN)
        yield row["image"], "error" not in row


def _header(path: Path, columns: Sequence[str]) -> Sequence[str]:
    """Return the columns of a table that is there, else those wanted; an older one has no
    remarks.
    """
    header = next(csv.reader(_whole_lines(path)), list(columns))
    if header not in (list(columns), [each for each in columns if each != REMARK]):
        raise MueError(f"`{path}` has other columns than {', '.join(columns)}", AGAIN)
    return header


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, bool]]:
    rows = csv.reader(_whole_lines(path))
    next(rows, None)
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            message = f"line {number} of `{path}` has {len(row)} cells, expected {len(columns)}"
            raise MueError(message, AGAIN)
        yield row[0], not row[columns.index("error")]


def _whole_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, without a last one that was half written."""
    if path.exists():
        with open_text(path) as lines:
            yield from (line for line in lines if line.endswith("\n"))
