"""COCO captions: the official 2014 and 2017 layouts, or Karpathy's splits."""

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from mue_cli.data.problems import MALFORMED, SEVERAL_FILES, Fault, Problems
from mue_cli.data.rows import ROWS_PER_BATCH, CaptionRow, Rows
from mue_cli.data.sources import ofa_tsv
from mue_cli.data.sources.coco_files import CocoFiles, find_annotations
from mue_cli.data.sources.fields import MalformedError, id_of, object_of, optional_text
from mue_cli.data.sources.json_list import read_lists
from mue_cli.data.sources.karpathy import Captions, read_karpathy, usable_captions
from mue_cli.data.sources.places import COMMON_NAMES, Pictures, find_images, require_images
from mue_cli.data.sources.provenance import describe_images, describe_texts
from mue_cli.data.sources.resolver import Requests
from mue_cli.data.store.image_shards import Progress
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.storage import TrainTokenizer, write_prepared
from mue_cli.data.tasks.captioning import COCO_CAPTION
from mue_cli.errors import DataError

IMAGE_NAMES = ("train2014", "val2014", "train2017", "val2017")
LAYOUT = """needed in one folder:
  annotations/captions_train2014.json, captions_val2014.json   from
      http://images.cocodataset.org/annotations/annotations_trainval2014.zip
  train2014.zip, val2014.zip (or unpacked, or .tar)            from
      http://images.cocodataset.org/zips/
  dataset_coco.json (Karpathy's splits, as papers use them)    from
      https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip
the 2017 files do as well, and so does a part of them (val2017 alone), or OFA's own caption_*.tsv
without anything else; then run: mue prepare coco --source FOLDER; with --download it fetches all of
this itself"""

_OFFICIAL_NAME = re.compile(r"(?:COCO_[a-z]+20\d\d_)?(\d{12})\.jpg")


@dataclass
class _Annotations:
    """Captions as the official files have them, in any order.

    order: image id -> its place among the ids that came. places, batches: of each caption the place
    of its image, and its text, ROWS_PER_BATCH at a time ("": cannot be used); Python's strings
    would take three times the memory. names: image id -> file_name, a fault where two are given.
    """

    order: dict[str, int] = field(default_factory=dict)
    places: "array[int]" = field(default_factory=lambda: array("q"))
    batches: list[pa.StringArray] = field(default_factory=list)
    names: dict[str, str | Fault] = field(default_factory=dict)
    numeric_ids: bool = True


@dataclass
class _Official:
    """What the official files ask for so far. name_of: key of a picture -> its file_name. faults:
    keys whose file_name is not clear.
    """

    requests: Requests = field(default_factory=lambda: Requests(official_ids))
    name_of: dict[str, str] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    numeric_ids: bool = True


def prepare_coco(
    source: Path,
    root: Path,
    train_tokenizer: TrainTokenizer,
    progress: Progress | None = None,
    num_workers: int = 0,
    strict: bool = False,
) -> Manifest:
    """Read COCO from the folder `source` and write it to `root`; OFA's own TSV files where they are
    there alone.

    Splits: Karpathy's where dataset_coco.json is there. Otherwise captions_train is train, and
    captions_val is halved into val and test by a hash of the image id where there is no
    captions_test; a lone file is cut 80/10/10 by that hash. The manifest says which. Raises
    DataError when files are missing or nothing is left; with `strict`, when more than a tenth of a
    split is lost.
    """
    files = find_annotations(source)
    if files.tsv.of_split:
        read = ofa_tsv.read_captions
        return ofa_tsv.prepare_tsv(
            read, files.tsv, root, "coco", train_tokenizer, progress, num_workers, strict
        )
    problems = Problems()
    captions = _read_captions(source, files, problems)
    paths = find_images(source, IMAGE_NAMES) or find_images(source, COMMON_NAMES)
    require_images(paths, source, LAYOUT)
    pictures = Pictures(paths, captions.requests, problems)
    pictures.faults.update(captions.faults)
    return write_prepared(
        root,
        "coco",
        pictures,
        train_tokenizer,
        captions=captions.rows,
        problems=problems,
        sources={"captions": describe_texts(captions.files), "images": describe_images(paths)},
        notes=(*captions.notes, *pictures.notes),
        numeric_ids=captions.numeric_ids,
        progress=progress,
        num_workers=num_workers,
        strict=strict,
    )


def official_ids(name: str) -> Iterator[str]:
    """Yield the image id in an official name ("COCO_val2014_000000000042.jpg" -> "42")."""
    if match := _OFFICIAL_NAME.fullmatch(name):
        yield str(int(match[1]))


def hash_split(image_id: str, cuts: Sequence[tuple[str, int]]) -> str:
    """Return a split that depends on the image id alone. cuts: (split, share in per cent), together
    100.
    """
    place = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8]) % 100
    for split, share in cuts:
        if place < share:
            return split
        place -= share
    raise ValueError("the shares must sum to 100")


def _read_captions(source: Path, files: CocoFiles, problems: Problems) -> Captions:
    if files.karpathy is not None:
        captions = read_karpathy(files.karpathy, problems, id_field="cocoid", ids_of=official_ids)
        return replace(captions, notes=("Karpathy's splits; restval counts as train", *files.notes))
    official = files.official
    if not official:
        raise DataError(f"no captions found in {source}", hint=LAYOUT)
    reading = _Official()
    if len(official) > 1:
        rows, notes = _read_splits(official, reading, problems)
    else:
        (path,) = official.values()
        cuts = (("train", 80), ("val", 10), ("test", 10))
        rows = _cut(_read_official(path, "", reading, problems), cuts)
        notes = (
            f"{path.name} alone: cut 80/10/10 into train, val and test by a hash of the image id",
        )
    return Captions(
        rows,
        reading.requests,
        tuple(official.values()),
        reading.numeric_ids,
        (*notes, *files.notes),
        reading.faults,
    )


def _read_splits(
    files: Mapping[str, Path], reading: "_Official", problems: Problems
) -> tuple[dict[str, Rows[CaptionRow]], tuple[str, ...]]:
    """Read the file of each split; what is neither of val and test is cut out of the other."""
    if "val" in files and "test" in files:
        rows = {
            split: Rows(CaptionRow, _read_official(path, split, reading, problems))
            for split, path in files.items()
        }
        return rows, ()
    held_out = files.get("val", files.get("test", Path()))
    cut = _cut(_read_official(held_out, "", reading, problems), (("val", 50), ("test", 50)))
    train = Rows(CaptionRow, _read_official(files["train"], "train", reading, problems))
    note = f"{held_out.name} halved into val and test by a hash of the image id"
    return {"train": train, **cut}, (note,)


def _read_official(
    path: Path, split: str, reading: "_Official", problems: Problems
) -> Iterator[CaptionRow]:
    """Yield the rows in the order in which the file names the images first; it has their captions
    in no order at all. Ids with one file name are one picture.
    """
    annotations = _read_annotations(path, split, problems)
    reading.numeric_ids = reading.numeric_ids and annotations.numeric_ids
    image_ids = list(annotations.order)
    places = _first_of_its_name(image_ids, annotations.names)[np.asarray(annotations.places)]
    order = np.argsort(places, kind="stable")
    ends = [*np.flatnonzero(np.diff(places[order])) + 1, len(order)]
    for start, end in pairwise([0, *ends] if len(order) else ends):
        image_id = image_ids[places[order[start]]]
        texts = (
            annotations.batches[number // ROWS_PER_BATCH][number % ROWS_PER_BATCH].as_py()
            for number in order[start:end].tolist()
        )
        usable = tuple(text for text in texts if text)
        if usable:
            name = annotations.names.get(image_id, "")
            key = _ask(reading, image_id, name, path)
            yield CaptionRow(image_id, usable, "" if key == image_id else key)


def _first_of_its_name(image_ids: Sequence[str], names: Mapping[str, str | Fault]) -> np.ndarray:
    """Return for the place of each id the place of the first id with the same file name."""
    first: dict[str, int] = {}
    places = np.arange(len(image_ids))
    for place, image_id in enumerate(image_ids):
        name = names.get(image_id)
        if isinstance(name, str):
            places[place] = first.setdefault(name, place)
    return places


def _ask(reading: "_Official", image_id: str, name: str | Fault, path: Path) -> str:
    """Ask for an image's picture, and return its key: the id, or another where another file uses
    the id for another picture.
    """
    key, text = image_id, name if isinstance(name, str) else ""
    if reading.name_of.get(key, text) != text:
        key = f"{path.stem}:{image_id}"
    if key in reading.name_of:
        return key
    reading.name_of[key] = text
    if isinstance(name, Fault):
        reading.faults[key] = name
    elif name:
        reading.requests.add_path(key, name)
    else:
        reading.requests.add_id(key, image_id)
    return key


def _read_annotations(path: Path, split: str, problems: Problems) -> "_Annotations":
    annotations = _Annotations()
    newest: list[str] = []
    numbers = {"annotations": 0, "images": 0}
    for key, raw in read_lists(path, ("annotations",), optional=("images",)):
        item = f"{key}[{numbers[key]}]"
        numbers[key] += 1
        try:
            if key == "images":
                _take_image(raw, annotations)
                continue
            entry = object_of(raw)
            image_id = id_of(entry, "image_id")
        except MalformedError as error:
            problems.add(path.name, item, MALFORMED, str(error), split, key == "annotations")
            continue
        caption = usable_captions([entry.get(COCO_CAPTION)], path.name, item, split, problems)
        annotations.numeric_ids = annotations.numeric_ids and isinstance(image_id, int)
        order = annotations.order
        annotations.places.append(order.setdefault(str(image_id), len(order)))
        newest += caption or ("",)
        if len(newest) == ROWS_PER_BATCH:
            annotations.batches.append(pa.array(newest, pa.string()))
            newest = []
    annotations.batches.append(pa.array(newest, pa.string()))
    return annotations


def _take_image(raw: object, annotations: "_Annotations") -> None:
    entry = object_of(raw)
    image_id, name = str(id_of(entry, "id")), optional_text(entry, "file_name")
    known = annotations.names.setdefault(image_id, name)
    if known != name:
        before = known.value if isinstance(known, Fault) else f"id {image_id}: {known}"
        annotations.names[image_id] = Fault(SEVERAL_FILES, f"{before}, {name}")


def _cut(
    rows: Iterable[CaptionRow], cuts: Sequence[tuple[str, int]]
) -> dict[str, Rows[CaptionRow]]:
    parts = {split: Rows(CaptionRow) for split, _ in cuts}
    for row in rows:
        parts[hash_split(row.image_id, cuts)].append(row)
    return parts
