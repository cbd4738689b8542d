"""Karpathy's split files (dataset_coco.json, dataset_flickr8k.json): captions and splits of the
photographs in one JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mue_cli.data.problems import (
    EMPTY_TEXT,
    MALFORMED,
    SEVERAL_FILES,
    TWO_SPLITS,
    UNKNOWN_SPLIT,
    Fault,
    Problems,
    shown,
)
from mue_cli.data.rows import SPLITS, CaptionRow, Rows, is_text
from mue_cli.data.sources.fields import MalformedError, id_of, object_of, optional_text, text_of
from mue_cli.data.sources.json_list import read_list
from mue_cli.data.sources.names import split_of, stem_of, tidy
from mue_cli.data.sources.resolver import IdsOf, Requests
from mue_cli.data.tasks import has_words


@dataclass(frozen=True)
class Captions:
    """Captions per split, and the pictures that they ask for.

    numeric_ids: the ids are numbers in the source. notes: how splits were made where the files do
    not say. faults: key of an image -> why it has no picture.
    """

    rows: Mapping[str, Rows[CaptionRow]]
    requests: Requests
    files: tuple[Path, ...]
    numeric_ids: bool = False
    notes: tuple[str, ...] = ()
    faults: Mapping[str, Fault] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    """An entry of the file. name: path of its picture, "" where only an id is given."""

    image_id: str | int
    name: str
    split: str
    captions: tuple[str, ...]


@dataclass
class _Reading:
    """What was read so far.

    derived: ids are made of the names. picture_of: image id -> (name, split). more: captions of ids
    that came again.
    """

    rows: dict[str, Rows[CaptionRow]]
    requests: Requests
    derived: bool
    picture_of: dict[str, tuple[str, str]] = field(default_factory=dict)
    more: dict[str, list[str]] = field(default_factory=dict)
    numeric_ids: bool = True


def read_karpathy(
    path: Path, problems: Problems, id_field: str | None = None, ids_of: IdsOf | None = None
) -> Captions:
    """Return the captions per split; entries of one picture are gathered, what cannot be used is
    listed as problems.

    id_field: where the image id stands; None: it is the path without the suffix. ids_of: files that
    an id may mean, where an entry has no file name. Raises DataError when the file cannot be read.
    """
    reading = _Reading(
        {split: Rows(CaptionRow) for split in SPLITS}, Requests(ids_of), id_field is None
    )
    for number, raw in enumerate(read_list(path, "images")):
        item = f"images[{number}]"
        try:
            entry = _entry(raw, id_field, path.name, item, problems)
        except MalformedError as error:
            problems.add(path.name, item, MALFORMED, str(error), _split_in(raw))
            continue
        if entry.captions:
            _take(reading, entry, path.name, item, problems)
    return Captions(
        _gathered(reading), reading.requests, (path,), reading.numeric_ids and not reading.derived
    )


def usable_captions(
    captions: list[object], source: str, item: str, split: str, problems: Problems
) -> tuple[str, ...]:
    """Return the captions with white space collapsed; one that is no text, or has no word left
    after clean-up, is a problem.
    """
    usable = []
    for caption in captions:
        if not is_text(caption):
            problems.add(source, item, MALFORMED, f"caption: {shown(caption)}", split)
        elif not has_words(caption):
            problems.add(source, item, EMPTY_TEXT, caption, split)
        else:
            usable.append(" ".join(caption.split()))
    return tuple(usable)


def _entry(raw: object, id_field: str | None, source: str, item: str, problems: Problems) -> _Entry:
    entry = object_of(raw)
    folder, name = optional_text(entry, "filepath"), optional_text(entry, "filename")
    name = f"{folder.rstrip('/')}/{name}" if folder and name else name
    name = f"{'/' if name.startswith('/') else ''}{tidy(name)}"  # "./a.jpg" is "a.jpg"
    image_id = id_of(entry, id_field) if id_field else stem_of(name)
    if image_id == "":
        raise MalformedError("filename", entry.get("filename"))
    split = text_of(entry, "split")
    split = split_of(split) or split
    sentences = entry.get("sentences")
    if not isinstance(sentences, list):
        raise MalformedError("sentences", sentences)
    texts = [each.get("raw") if isinstance(each, dict) else each for each in sentences]
    if not texts:
        problems.add(source, item, EMPTY_TEXT, "no sentences", split)
    return _Entry(image_id, name, split, usable_captions(texts, source, item, split, problems))


def _take(reading: _Reading, entry: _Entry, source: str, item: str, problems: Problems) -> None:
    """Make a row of an entry, or add its captions to the row of its picture."""
    image_id, split, count = str(entry.image_id), entry.split, len(entry.captions)
    if split not in SPLITS:
        problems.add(source, item, UNKNOWN_SPLIT, split, split, count)
        return
    known = reading.picture_of.get(image_id)
    if known is not None and known[0] != entry.name and reading.derived:
        image_id = entry.name  # "a.png" beside "a.jpg": ids with their suffixes
        known = reading.picture_of.get(image_id)
    if known is None:
        reading.picture_of[image_id] = entry.name, split
        reading.numeric_ids = reading.numeric_ids and isinstance(entry.image_id, int)
        reading.rows[split].append(CaptionRow(image_id, entry.captions))
        if entry.name:
            reading.requests.add_path(image_id, entry.name)
        else:
            reading.requests.add_id(image_id, image_id)
    elif known[0] != entry.name:
        value = f"id {image_id}: {known[0]}, {entry.name}"
        problems.add(source, item, SEVERAL_FILES, value, split, count)
    elif known[1] != split:
        problems.add(source, item, TWO_SPLITS, f"{entry.name}: {known[1]}", split, count)
    else:
        reading.more.setdefault(image_id, []).extend(entry.captions)


def _gathered(reading: _Reading) -> dict[str, Rows[CaptionRow]]:
    if not reading.more:
        return reading.rows
    return {
        split: Rows(
            CaptionRow,
            (
                CaptionRow(row.image_id, (*row.captions, *reading.more.get(row.image_id, ())))
                for row in rows
            ),
        )
        for split, rows in reading.rows.items()
    }


def _split_in(raw: object) -> str:
    """Return the split that a malformed entry names, "" where it names none."""
    split = raw.get("split") if isinstance(raw, dict) else None
    return (split_of(split) or split) if is_text(split) else ""
