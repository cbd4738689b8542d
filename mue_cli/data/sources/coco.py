"""COCO captions: the official 2014 and 2017 layouts, or Karpathy's splits of the 2014 photographs."""

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from mue_cli.data.rows import ROWS_PER_BATCH, CaptionRow, Problems, Rows
from mue_cli.data.sources import ofa_tsv
from mue_cli.data.sources.image_files import find_images, read_images, require_images
from mue_cli.data.sources.json_list import read_list
from mue_cli.data.sources.karpathy import read_karpathy, usable_captions
from mue_cli.data.sources.sources import describe_images, describe_texts
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.storage import Progress, TrainTokenizer, write_prepared
from mue_cli.errors import DataError

SPLIT_FILE = "dataset_coco.json"
IMAGE_NAMES = ("train2014", "val2014", "train2017", "val2017")
YEARS = ("2017", "2014")
LAYOUT = """needed in one folder:
  annotations/captions_train2014.json, captions_val2014.json   from http://images.cocodataset.org/annotations/annotations_trainval2014.zip
  train2014.zip, val2014.zip (or unpacked, or .tar)            from http://images.cocodataset.org/zips/
  dataset_coco.json (Karpathy's splits, as papers use them)    from https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip
the 2017 files do as well, and so does a part of them (val2017 alone), or OFA's own caption_*.tsv without anything else;
then run: mue prepare coco --source FOLDER; with --download it fetches all of this itself"""


@dataclass(frozen=True)
class Captions:
    """What was read. notes: how splits were made where the files do not say."""

    rows: dict[str, Rows[CaptionRow]]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def prepare_coco(
    source: Path,
    root: Path,
    train_tokenizer: TrainTokenizer,
    progress: Progress | None = None,
    num_workers: int = 0,
) -> Manifest:
    """Read COCO from the folder `source` and write it to `root`; OFA's own TSV files where they are
    there.

    Splits: Karpathy's where dataset_coco.json is there. Otherwise captions_train is train, and
    captions_val is halved into val and test by a hash of the image id; a lone file is cut 80/10/10
    by that hash. The manifest says which. Raises DataError when files are missing or nothing is
    left.
    """
    tsv = ofa_tsv.find_files(source, ofa_tsv.CAPTION_FILES)
    if tsv:
        return ofa_tsv.prepare_captions(tsv, root, "coco", train_tokenizer, progress, num_workers)
    problems = Problems()
    captions = _read_captions(source, problems)
    sources = find_images(source, IMAGE_NAMES)
    require_images(sources, source, LAYOUT)
    wanted = {row.image_id for rows in captions.rows.values() for row in rows}
    return write_prepared(
        root,
        "coco",
        images=lambda done: read_images(sources, image_id_of_file, wanted, problems, done),
        num_images=len(wanted),
        train_tokenizer=train_tokenizer,
        captions=captions.rows,
        problems=problems,
        sources={"captions": describe_texts(captions.files), "images": describe_images(sources)},
        notes=captions.notes,
        progress=progress,
        num_workers=num_workers,
    )


def image_id_of_file(name: str) -> str | None:
    """Return COCO's image id: the number that ends the file's stem ("COCO_val2014_000000000042.jpg"
    -> "42").
    """
    digits = re.search(r"(\d+)\.\w+$", name)
    return str(int(digits[1])) if digits else None


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


def _read_captions(source: Path, problems: Problems) -> Captions:
    karpathy = _find(source, SPLIT_FILE)
    if karpathy is not None:
        rows = read_karpathy(karpathy, lambda entry: str(int(str(entry["cocoid"]))), problems)
        return Captions(rows, (karpathy,), ("Karpathy's splits; restval counts as train",))
    for year in YEARS:
        train, val = (_find(source, f"captions_{part}{year}.json") for part in ("train", "val"))
        if train is not None and val is not None:
            held_out = _cut(_read_official(val, problems), (("val", 50), ("test", 50)))
            notes = (f"{val.name} halved into val and test by a hash of the image id",)
            return Captions(
                {"train": Rows(CaptionRow, _read_official(train, problems)), **held_out},
                (train, val),
                notes,
            )
    for year in YEARS:
        for part in ("val", "train"):
            path = _find(source, f"captions_{part}{year}.json")
            if path is not None:
                rows = _cut(
                    _read_official(path, problems), (("train", 80), ("val", 10), ("test", 10))
                )
                return Captions(
                    rows,
                    (path,),
                    (
                        f"{path.name} alone: cut 80/10/10 into train, val and test by a hash of the image id",
                    ),
                )
    raise DataError(f"no captions found in {source}", hint=LAYOUT)


def _find(source: Path, name: str) -> Path | None:
    return next(
        (path for path in (source / name, source / "annotations" / name) if path.is_file()), None
    )


def _read_official(path: Path, problems: Problems) -> Iterator[CaptionRow]:
    """Yield the rows in the order in which the file names the images first; it has their captions
    in no order at all.
    """
    image_ids, captions = _read_annotations(path, problems)
    _, first, image = np.unique(image_ids, return_index=True, return_inverse=True)
    order = np.argsort(first[image], kind="stable")
    ends = [*np.flatnonzero(np.diff(image_ids[order])) + 1, len(order)]
    for start, end in pairwise([0, *ends] if len(order) else ends):
        image_id = str(image_ids[order[start]])
        texts = (
            captions[number // ROWS_PER_BATCH][number % ROWS_PER_BATCH].as_py()
            for number in order[start:end].tolist()
        )
        usable = tuple(text for text in texts if text)
        if usable:
            yield CaptionRow(image_id, usable)
        else:
            problems.add(path.name, image_id, "no usable caption")


def _read_annotations(path: Path, problems: Problems) -> tuple[np.ndarray, list[pa.StringArray]]:
    """Return image ids and captions as the file has them; the captions ROWS_PER_BATCH at a time, ""
    for one that cannot be used.

    Python's strings would take three times the memory.
    """
    image_ids, batches, newest = array("q"), list[pa.StringArray](), list[str]()
    for number, entry in enumerate(read_list(path, "annotations")):
        try:
            caption = entry["caption"]  # type: ignore[index]
            image_ids.append(int(entry["image_id"]))  # type: ignore[index]
        except (KeyError, TypeError, ValueError, OverflowError):
            problems.add(path.name, f"annotations[{number}]", "malformed entry")
            continue
        newest += usable_captions([caption]) or ("",)
        if len(newest) == ROWS_PER_BATCH:
            batches.append(pa.array(newest, pa.string()))
            newest = []
    return np.array(image_ids), [*batches, pa.array(newest, pa.string())]


def _cut(
    rows: Iterable[CaptionRow], cuts: Sequence[tuple[str, int]]
) -> dict[str, Rows[CaptionRow]]:
    parts = {split: Rows(CaptionRow) for split, _ in cuts}
    for row in rows:
        parts[hash_split(row.image_id, cuts)].append(row)
    return parts
