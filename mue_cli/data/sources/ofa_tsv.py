"""OFA's own data: tab-separated lines that carry the picture as base64 (github.com/OFA-Sys/OFA,
datasets.md).

    captions     uniq-id, image-id, caption ("&&" between several), object labels (not used), image
    SNLI-VE      uniq-id, image-id, image, hypothesis, premise, label

The files have tens of gigabytes. They are read twice, line by line: first the texts and where each
picture stands, then each picture once.
"""

import base64
import binascii
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mue_cli.data.rows import CaptionRow, EntailmentRow, Problems
from mue_cli.data.sources.karpathy import usable_captions
from mue_cli.data.sources.sources import describe_images
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.storage import Progress, TrainTokenizer, write_prepared
from mue_cli.data.tasks import LABELS

CAPTION_FILES = {
    # Stage 2 has each picture once with all its captions, stage 1 a line for each caption.
    "train": ("caption_stage2_train.tsv", "caption_stage1_train.tsv"),
    "val": ("caption_val.tsv",),
    "test": ("caption_test.tsv",),
}
PAIR_FILES = {
    "train": ("snli_ve_train.tsv",),
    "val": ("snli_ve_dev.tsv",),
    "test": ("snli_ve_test.tsv",),
}
MAX_LINE_BYTES = 64 * 2**20

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


@dataclass(frozen=True)
class Place:
    """Where a picture stands: the offset of its line. crc: of its base64, to tell a second picture
    under the same id.
    """

    path: Path
    offset: int
    layout: Layout
    crc: int


@dataclass(frozen=True)
class TsvData:
    """What the first reading gives. places: image id -> where its picture stands."""

    captions: dict[str, list[CaptionRow]] = field(default_factory=dict)
    pairs: dict[str, list[EntailmentRow]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)


def prepare_captions(
    files: Mapping[str, Path],
    root: Path,
    name: str,
    train_tokenizer: TrainTokenizer,
    progress: Progress | None = None,
    num_workers: int = 0,
) -> Manifest:
    """Write the captions of these files to `root`. Raises DataError when nothing is left."""
    problems = Problems()
    return _write(
        read_captions(files, problems),
        files,
        root,
        name,
        train_tokenizer,
        problems,
        progress,
        num_workers,
    )


def prepare_pairs(
    files: Mapping[str, Path],
    root: Path,
    name: str,
    train_tokenizer: TrainTokenizer,
    progress: Progress | None = None,
    num_workers: int = 0,
) -> Manifest:
    """Write the SNLI-VE pairs of these files to `root`. Raises DataError when nothing is left."""
    problems = Problems()
    return _write(
        read_pairs(files, problems),
        files,
        root,
        name,
        train_tokenizer,
        problems,
        progress,
        num_workers,
    )


def find_files(source: Path, names: Mapping[str, Sequence[str]]) -> dict[str, Path]:
    """Return the file of each split that is there, the first of its names."""
    found = {
        split: [source / name for name in choices if (source / name).is_file()]
        for split, choices in names.items()
    }
    return {split: paths[0] for split, paths in found.items() if paths}


def read_captions(files: Mapping[str, Path], problems: Problems) -> TsvData:
    """Read captions per split. A picture's captions come together wherever its lines are; lines
    that cannot be used are problems.
    """
    data = TsvData()
    for split, path in files.items():
        captions: dict[str, list[object]] = {}
        for _, texts in _rows(path, CAPTION_LAYOUT, data.places, problems):
            captions.setdefault(texts[1], []).extend(texts[2].split("&&"))
        rows = [
            CaptionRow(image_id, usable_captions(found)) for image_id, found in captions.items()
        ]
        for row in rows:
            if not row.captions:
                problems.add(path.name, row.image_id, "no usable caption")
        data.captions[split] = [row for row in rows if row.captions]
    return data


def read_pairs(files: Mapping[str, Path], problems: Problems) -> TsvData:
    """Read SNLI-VE per split. Lines that cannot be used are problems; pair ids are made where
    absent or repeated.
    """
    data = TsvData()
    for split, path in files.items():
        rows, seen = data.pairs.setdefault(split, []), set[str]()
        for number, (pair_id, image_id, _, hypothesis, premise, label, *_) in _rows(
            path, PAIR_LAYOUT, data.places, problems
        ):
            spare_id = f"{path.stem}-{number}"
            if label not in LABELS:
                problems.add(path.name, f"line {number}", "unknown label")
            elif not hypothesis:
                problems.add(path.name, f"line {number}", "no hypothesis")
            else:
                unique = (
                    spare_id
                    if not pair_id
                    else f"{pair_id}-{spare_id}"
                    if pair_id in seen
                    else pair_id
                )
                seen.add(unique)
                rows.append(EntailmentRow(image_id, unique, premise or None, hypothesis, label))
    return data


def read_images(places: Mapping[str, Place], problems: Problems) -> Iterator[tuple[str, bytes]]:
    """Yield (image id, encoded bytes), in the order of `places`, one at a time. What is no base64
    is a problem.
    """
    by_file: dict[Path, list[tuple[str, Place]]] = {}
    for image_id, place in places.items():
        by_file.setdefault(place.path, []).append((image_id, place))
    for path, found in by_file.items():
        with path.open("rb") as file:
            for image_id, place in found:
                file.seek(place.offset)
                text = (
                    file.readline(MAX_LINE_BYTES).rstrip(b"\r\n").split(b"\t")[place.layout.image]
                )
                try:
                    yield image_id, _decode(text)
                except binascii.Error:
                    problems.add(path.name, image_id, "picture is no base64")


def _write(
    data: TsvData,
    files: Mapping[str, Path],
    root: Path,
    name: str,
    train_tokenizer: TrainTokenizer,
    problems: Problems,
    progress: Progress | None,
    num_workers: int,
) -> Manifest:
    wanted = {row.image_id for rows in data.captions.values() for row in rows}
    wanted |= {row.image_id for pairs in data.pairs.values() for row in pairs}
    return write_prepared(
        root,
        name,
        images=lambda done: read_images(
            {key: place for key, place in data.places.items() if key in wanted and key not in done},
            problems,
        ),
        num_images=len(wanted),
        train_tokenizer=train_tokenizer,
        captions=data.captions,
        entailment=data.pairs,
        problems=problems,
        sources={"tsv": describe_images(files.values())},
        notes=["OFA's own files"],
        progress=progress,
        num_workers=num_workers,
    )


def _rows(
    path: Path, layout: Layout, places: dict[str, Place], problems: Problems
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, columns as stripped text, the picture's left empty), and note in `places`
    where each new picture stands.
    """
    for number, offset, line in _lines(path, problems):
        columns = line.split(b"\t")
        if len(columns) < layout.columns:
            problems.add(path.name, f"line {number}", "malformed line")
            continue
        crc = zlib.crc32(columns[layout.image])
        columns[layout.image] = b""
        try:
            texts = [column.decode("utf-8").strip() for column in columns]
        except UnicodeDecodeError:
            problems.add(path.name, f"line {number}", "malformed line")
            continue
        if not texts[1]:
            problems.add(path.name, f"line {number}", "no photograph named")
        elif places.setdefault(texts[1], Place(path, offset, layout, crc)).crc != crc:
            problems.add(path.name, f"line {number}", "another picture under the same image id")
        else:
            yield number, texts


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, int, bytes]]:
    """Yield (number, offset, line without its end) of each line that is not empty; no more than
    MAX_LINE_BYTES are held at once.
    """
    number = offset = 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            number, start = number + 1, offset
            offset += len(line)
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                problems.add(path.name, f"line {number}", "line too long")
                while rest := file.readline(MAX_LINE_BYTES):
                    offset += len(rest)
                    if rest.endswith(b"\n"):
                        break
            elif line.strip():
                yield number, start, line.rstrip(b"\r\n")


def _decode(text: bytes) -> bytes:
    """Return the bytes of standard or URL-safe base64, padded or not. Raises binascii.Error."""
    text = text.strip().translate(_TO_STANDARD)
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
