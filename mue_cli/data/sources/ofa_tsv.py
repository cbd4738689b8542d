"""OFA's own data: tab-separated lines that carry the picture as base64 (github.com/OFA-Sys/OFA,
datasets.md).

    captions     uniq-id, image-id, caption ("&&" between several), object labels (not used), image
    SNLI-VE      uniq-id, image-id, image, hypothesis, premise, label

The files have tens of gigabytes. They are read twice, line by line: first the texts and where each
picture stands, then the pictures.
"""

import base64
import binascii
import zlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mue_cli.data.problems import (
    BROKEN,
    EMPTY_TEXT,
    MALFORMED,
    OTHER_LABEL,
    SEVERAL_PICTURES,
    TOO_LARGE,
    Fault,
    Problems,
)
from mue_cli.data.rows import CaptionRow, EntailmentRow, Rows, is_text
from mue_cli.data.sources.fields import MalformedError, require_text, without_words
from mue_cli.data.sources.karpathy import usable_captions
from mue_cli.data.sources.provenance import describe_images
from mue_cli.data.sources.tsv_files import TsvFiles
from mue_cli.data.store.image_shards import Progress
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.storage import TrainTokenizer, write_prepared
from mue_cli.data.tasks import LABELS
from mue_cli.files import encoding_of, open_text, plain_file

MAX_LINE_BYTES = 64 * 2**20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True)
class Layout:
    """How many columns a line has, and which holds the picture. Each line opens with uniq-id and
    image-id.
    """

    columns: int
    image: int


CAPTION_LAYOUT = Layout(columns=5, image=4)
PAIR_LAYOUT = Layout(columns=6, image=2)


@dataclass(frozen=True, slots=True)
class Line:
    """Where a picture stands. number: of the line, from 1. crc: of its base64, to tell a second
    picture under the same id.
    """

    path: Path
    number: int
    layout: Layout
    crc: int


@dataclass
class TsvData:
    """Texts per split and the pictures beside them: key of an image -> line.

    faults: key -> why it has no picture; grows while they are read.
    """

    captions: dict[str, Rows[CaptionRow]] = field(default_factory=dict)
    pairs: dict[str, Rows[EntailmentRow]] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        return len(self.lines)

    def read(self, done: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (key, encoded bytes) of what is not in `done`, one at a time."""
        by_file: dict[Path, dict[int, str]] = {}
        for key, place in self.lines.items():
            if key not in done:
                by_file.setdefault(place.path, {})[place.number] = key
        for path, keys in by_file.items():
            for number, line in _lines(path):
                if number not in keys or isinstance(line, Fault):
                    continue
                key = keys[number]
                try:
                    yield key, _decode(line.split(b"\t")[self.lines[key].layout.image])
                except (binascii.Error, IndexError) as error:
                    self.faults[key] = Fault(BROKEN, f"no base64: {error}")


def prepare_tsv(
    read: Callable[[TsvFiles, Problems], TsvData],
    files: TsvFiles,
    root: Path,
    name: str,
    train_tokenizer: TrainTokenizer,
    progress: Progress | None = None,
    num_workers: int = 0,
    strict: bool = False,
) -> Manifest:
    """Write what these files hold to `root`. read: read_captions or read_pairs. Raises DataError
    when nothing is left; with `strict`, when more than a tenth of a split is lost.
    """
    problems = Problems()
    data = read(files, problems)
    return write_prepared(
        root,
        name,
        data,
        train_tokenizer,
        captions=data.captions,
        entailment=data.pairs,
        problems=problems,
        sources={"tsv": describe_images(files.of_split.values())},
        notes=["OFA's own files", *files.notes],
        progress=progress,
        num_workers=num_workers,
        strict=strict,
    )


def read_captions(files: TsvFiles, problems: Problems) -> TsvData:
    """Read captions per split. A picture's captions come together wherever its lines are; lines
    that cannot be used are problems.
    """
    data = TsvData()
    for split, path in files.of_split.items():
        captions: dict[tuple[str, str], list[str]] = {}
        for number, key, texts in _rows(path, split, CAPTION_LAYOUT, data.lines, problems):
            usable = usable_captions(
                list(texts[2].split("&&")), path.name, f"line {number}", split, problems
            )
            captions.setdefault((texts[1], key), []).extend(usable)
        data.captions[split] = Rows(
            CaptionRow,
            (
                CaptionRow(image_id, tuple(usable), "" if key == image_id else key)
                for (image_id, key), usable in captions.items()
                if usable
            ),
        )
    _drop_unused(data)
    return data


def read_pairs(files: TsvFiles, problems: Problems) -> TsvData:
    """Read SNLI-VE per split. Lines that cannot be used are problems; pair ids are made where
    absent or repeated.
    """
    data = TsvData()
    for split, path in files.of_split.items():
        rows, used = data.pairs.setdefault(split, Rows(EntailmentRow)), set[str]()
        for number, key, texts in _rows(path, split, PAIR_LAYOUT, data.lines, problems):
            try:
                row = _pair(texts, "" if key == texts[1] else key)
            except MalformedError as error:
                problems.add(path.name, f"line {number}", MALFORMED, str(error), split)
                continue
            if row.label not in LABELS:
                problems.add(path.name, f"line {number}", OTHER_LABEL, texts[5], split)
            elif empty := without_words(hypothesis=row.hypothesis, premise=row.premise):
                problems.add(path.name, f"line {number}", EMPTY_TEXT, empty, split)
            else:
                pair_id = _unique(row.pair_id, f"{path.stem}-{number}", used)
                rows.append(replace(row, pair_id=pair_id))
    _drop_unused(data)
    return data


def _pair(texts: list[str], picture: str) -> EntailmentRow:
    pair_id, image_id, _, hypothesis, premise, label = texts[:6]
    require_text(pair_id=pair_id, hypothesis=hypothesis, premise=premise)
    return EntailmentRow(image_id, pair_id, premise or None, hypothesis, label.lower(), picture)


def _unique(pair_id: str, spare_id: str, used: set[str]) -> str:
    """Return the id, or another where it is absent or was used."""
    unique = pair_id or spare_id
    unique = f"{unique}-{spare_id}" if unique in used else unique
    used.add(unique)
    return unique


def _drop_unused(data: TsvData) -> None:
    """Forget the pictures of lines that gave no row."""
    used = {row.key for rows in data.captions.values() for row in rows}
    used |= {row.key for rows in data.pairs.values() for row in rows}
    data.lines = {key: line for key, line in data.lines.items() if key in used}


def _rows(
    path: Path, split: str, layout: Layout, lines: dict[str, Line], problems: Problems
) -> Iterator[tuple[int, str, list[str]]]:
    """Yield (line number, key of the picture, columns as stripped text, the picture's left empty),
    and note in `lines` where each new picture stands.
    """
    for number, line in _lines(path):
        item = f"line {number}"
        if isinstance(line, Fault):
            problems.add(path.name, item, line.reason, line.value, split)
            continue
        columns = line.split(b"\t")
        if len(columns) < layout.columns:
            value = f"columns: {len(columns)}, expected {layout.columns}"
            problems.add(path.name, item, MALFORMED, value, split)
            continue
        crc = zlib.crc32(columns[layout.image])
        columns[layout.image] = b""
        try:
            texts = [column.decode("utf-8").strip() for column in columns]
        except UnicodeDecodeError as error:
            value = f"no UTF-8: {error.object[error.start :][:16]!r}"
            problems.add(path.name, item, MALFORMED, value, split)
            continue
        if not texts[1] or not is_text(texts[1]):
            value = f"image-id: {texts[1] or 'absent'}"
            problems.add(path.name, item, MALFORMED, value, split)
            continue
        key = _key(texts[1], Line(path, number, layout, crc), lines)
        if key is None:
            problems.add(path.name, item, SEVERAL_PICTURES, texts[1], split)
        else:
            yield number, key, texts


def _key(image_id: str, line: Line, lines: dict[str, Line]) -> str | None:
    """Return the key of a line's picture: the id, or another where another file uses the id for
    another picture; None where the same file does.
    """
    known = lines.setdefault(image_id, line)
    if known.crc == line.crc:
        return image_id
    if known.path == line.path:
        return None
    key = f"{line.path.stem}:{image_id}"
    return key if lines.setdefault(key, line).crc == line.crc else None


def _lines(path: Path) -> Iterator[tuple[int, bytes | Fault]]:
    """Yield (number, UTF-8 line without its end) of each line that is not empty; no more than
    MAX_LINE_BYTES are held at once.
    """
    with plain_file(path).open("rb") as file:
        encoding = encoding_of(file.read(4))
    lines = _utf8_lines(path) if encoding.startswith("utf-8") else _wide_lines(path)
    for number, line in enumerate(lines, start=1):
        if isinstance(line, Fault) or line.strip():
            yield number, line


def _wide_lines(path: Path) -> Iterator[bytes]:
    with open_text(path) as text:
        yield from (line.rstrip("\n").encode() for line in text)


def _utf8_lines(path: Path) -> Iterator[bytes | Fault]:
    with path.open("rb") as file:
        if file.read(3) != _BYTE_ORDER_MARK:
            file.seek(0)
        while line := file.readline(MAX_LINE_BYTES):
            if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
                yield line.rstrip(b"\r\n")
                continue
            size = len(line)
            while rest := file.readline(MAX_LINE_BYTES):
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield Fault(TOO_LARGE, f"line of {size:,} bytes")


def _decode(text: bytes) -> bytes:
    """Return the bytes of standard or URL-safe base64, padded or not. Raises binascii.Error."""
    text = text.strip().translate(_TO_STANDARD)
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
