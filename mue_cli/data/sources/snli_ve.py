"""SNLI-VE (Xie et al., 2019): the official jsonl files and the Flickr30k photographs they speak of.

A photograph is looked up by the number that its file name starts with, so Flickr8k's files
("2181846120_3744ca3942.jpg") serve as well; other ids by the whole name.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mue_cli.data.problems import EMPTY_TEXT, MALFORMED, OTHER_LABEL, Problems
from mue_cli.data.rows import EntailmentRow, Rows, is_text
from mue_cli.data.sources import ofa_tsv
from mue_cli.data.sources.archives import is_archive
from mue_cli.data.sources.fields import (
    MalformedError,
    id_of,
    object_of,
    optional_text,
    text_of,
    unambiguous,
    without_words,
)
from mue_cli.data.sources.names import split_of, stem_of
from mue_cli.data.sources.places import Pictures, find_images, require_images
from mue_cli.data.sources.provenance import describe_images, describe_texts
from mue_cli.data.sources.resolver import Requests
from mue_cli.data.sources.tsv_files import PAIR_FILE, find_files, require_one_form
from mue_cli.data.store.image_shards import Progress
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.storage import TrainTokenizer, write_prepared
from mue_cli.data.tasks import LABELS
from mue_cli.errors import DataError
from mue_cli.files import open_text

FILES = {"train": "snli_ve_train.jsonl", "val": "snli_ve_dev.jsonl", "test": "snli_ve_test.jsonl"}
IMAGE_NAMES = (
    "flickr30k-images",
    "flickr30k_images",
    "images",
    "Images",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset",
)
LAYOUT = """needed in one folder:
  snli_ve_train.jsonl, snli_ve_dev.jsonl, snli_ve_test.jsonl   from
      https://github.com/necla-ml/SNLI-VE
  flickr30k-images/ (or .tar, .tar.gz, .zip)                   from
      https://shannon.cs.illinois.edu/DenotationGraph/
photographs that lie elsewhere are named with --images; OFA's own snli_ve_*.tsv do without anything
else; then run: mue prepare snli-ve --source FOLDER; with --download it fetches all but the
photographs itself"""

NO_LABEL = "no gold label"

_FILE = re.compile(r"snli_ve_(\w+)\.jsonl", re.IGNORECASE)


def prepare_snli_ve(
    source: Path,
    root: Path,
    train_tokenizer: TrainTokenizer,
    images: Path | None = None,
    progress: Progress | None = None,
    num_workers: int = 0,
    strict: bool = False,
) -> Manifest:
    """Read SNLI-VE from the folder `source` and write it to `root`; OFA's own TSV files where they
    are there alone.

    images: folder or archive with the photographs; when None they are looked for in `source`. A
    missing file of a split is noted. Raises DataError when all are missing or nothing is left; with
    `strict`, when more than a tenth of a split is lost.
    """
    tsv = find_files(source, PAIR_FILE)
    beside = [path for path in sorted(source.glob("*")) if _FILE.fullmatch(path.name)]
    require_one_form(source, tsv, beside)
    if tsv.of_split:
        if images is not None:
            unread = f"{images} is not read: OFA's files hold their pictures"
            tsv = replace(tsv, notes=(*tsv.notes, unread))
        return ofa_tsv.prepare_tsv(
            ofa_tsv.read_pairs, tsv, root, "snli-ve", train_tokenizer, progress, num_workers, strict
        )
    files, notes = find_pairs(source)
    if not files:
        raise DataError(f"none of {', '.join(FILES.values())} is in {source}", hint=LAYOUT)
    paths = _image_paths(source, images)
    problems, requests = Problems(), Requests(photograph_ids)
    rows = {split: read_pairs(path, problems, split) for split, path in files.items()}
    _ask(rows, requests)
    pictures = Pictures(paths, requests, problems)
    return write_prepared(
        root,
        "snli-ve",
        pictures,
        train_tokenizer,
        entailment=rows,
        problems=problems,
        sources={"pairs": describe_texts(files.values()), "images": describe_images(paths)},
        notes=(*notes, *tsv.notes, *pictures.notes),
        progress=progress,
        num_workers=num_workers,
        strict=strict,
    )


def find_pairs(source: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the file of each split, and notes on splits without one and files that are none's.

    Raises DataError when two files are the same split's.
    """
    files: dict[str, Path] = {}
    notes = []
    for path in sorted(source.glob("*")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        split = split_of(match[1])
        if split is None:
            notes.append(f"{path.name} is not read: {match[1]!r} is no split that is known")
        elif split in files:
            raise DataError(
                f"both {files[split].name} and {path.name} are the {split} split",
                hint="move one of them away",
            )
        else:
            files[split] = path
    missing = [
        f"no {name}: no {split} split" for split, name in FILES.items() if split not in files
    ]
    return {split: files[split] for split in FILES if split in files}, (*missing, *notes)


def photograph_ids(name: str) -> Iterator[str]:
    """Yield what a file may be called in the annotations: its name without the suffix, then the
    number that it starts with.
    """
    stem = stem_of(name)
    yield stem
    if (digits := re.match(r"([0-9]+)_", stem)) is not None:
        yield digits[1]


def read_pairs(path: Path, problems: Problems, split: str = "") -> Rows[EntailmentRow]:
    """Return the pairs of one jsonl file; lines that cannot be used are listed as problems. Pair
    ids are made where absent or repeated.
    """
    rows = Rows(EntailmentRow)
    used: set[str] = set()
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            item = f"line {number}"
            try:
                row = _read_pair(line, f"{path.stem}-{number}", used)
            except MalformedError as error:
                problems.add(path.name, item, MALFORMED, str(error), split)
                continue
            if row.label not in LABELS:
                reason = NO_LABEL if row.label == "-" else OTHER_LABEL
                problems.add(path.name, item, reason, row.label, split)
            elif empty := without_words(sentence1=row.premise, sentence2=row.hypothesis):
                problems.add(path.name, item, EMPTY_TEXT, empty, split)
            else:
                used.add(row.pair_id)
                rows.append(row)
    return rows


def _read_pair(line: str, spare_id: str, used: set[str]) -> EntailmentRow:
    try:
        entry = object_of(json.loads(line, object_pairs_hook=unambiguous))
    except (ValueError, RecursionError) as error:
        if isinstance(error, MalformedError):
            raise
        raise MalformedError("line", line.strip()) from error
    image_id = str(id_of(entry, "Flickr30K_ID"))
    pair_id = str(id_of(entry, "pairID")) if entry.get("pairID") else spare_id
    label = text_of(entry, "gold_label")
    hypothesis = entry.get("sentence2")
    if not is_text(hypothesis):
        raise MalformedError("sentence2", hypothesis)
    premise = optional_text(entry, "sentence1") if "sentence1" in entry else ""
    return EntailmentRow(
        image_id,
        f"{pair_id}-{spare_id}" if pair_id in used else pair_id,
        premise or None,
        hypothesis,
        label.strip().lower(),
    )


def _ask(rows: Mapping[str, Rows[EntailmentRow]], requests: Requests) -> None:
    """Ask for the photograph of each row: by path where the id is one, else by the id."""
    named: set[str] = set()
    for pairs in rows.values():
        for row in pairs:
            if row.image_id in named:
                continue
            named.add(row.image_id)
            name = row.image_id.partition("#")[0]
            if stem_of(name) != name:
                requests.add_path(row.image_id, name)
            else:
                requests.add_id(row.image_id, row.image_id)


def _image_paths(source: Path, images: Path | None) -> list[Path]:
    if images is None:
        paths = find_images(source, IMAGE_NAMES)
        require_images(paths, source, LAYOUT)
        return paths
    if is_archive(images):
        return [images]
    if not images.is_dir():
        raise DataError(f"{images} is neither a folder nor an archive of images", hint=LAYOUT)
    return find_images(images, IMAGE_NAMES) or [images]
