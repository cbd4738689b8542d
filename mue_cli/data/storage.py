"""Writing a prepared folder: Arrow tables through `datasets`, finished or absent, never half.

    manifest.json    what is inside; written last
    problems.jsonl   one line for each thing left out, with the reason
    tokenizer.json   the vocabulary learned from the training texts
    images/data.arrow                image_id, image (encoded bytes); each image once
    caption/<split>/data.arrow       image (row in images), image_id, captions
    entailment/<split>/data.arrow    image, image_id, pair_id, premise (or null), hypothesis, label

Each table also opens with `datasets.Dataset.from_file`.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from datasets import Features, Value
from datasets.arrow_writer import ArrowWriter

from mue_cli.data.images import decode_image
from mue_cli.data.manifest import FILE_NAME, Manifest, library_versions, write_manifest
from mue_cli.data.rows import CaptionRow, EntailmentRow, Problems
from mue_cli.data.tasks import ANSWERS, CAPTION, CAPTION_PROMPT, ENTAILMENT, caption_target, entailment_source
from mue_cli.data.text_only import text_only_accuracy
from mue_cli.errors import DataError

TABLE = "data.arrow"
IMAGES = "images"
PROBLEMS = "problems.jsonl"
TOKENIZER = "tokenizer.json"
ROWS_PER_BATCH = 100

Progress = Callable[[int, int], None]
TrainTokenizer = Callable[[Iterable[str], Path], None]
Row = TypeVar("Row", CaptionRow, EntailmentRow)
RowsBySplit = Mapping[str, Sequence[Row]]

_IMAGE_COLUMNS = {"image_id": Value("string"), "image": Value("binary")}
_CAPTION_COLUMNS = {"image": Value("int64"), "image_id": Value("string"), "captions": [Value("string")]}
_ENTAILMENT_COLUMNS = {
    "image": Value("int64"),
    **{name: Value("string") for name in ("image_id", "pair_id", "premise", "hypothesis", "label")},
}


@contextmanager
def prepared_folder(root: Path) -> Iterator[Path]:
    """Give a folder beside `root` to write in; it becomes `root` when all went well, and vanishes otherwise.

    Raises DataError when `root` holds something that was not prepared by us.
    """
    if root.exists() and not (root / FILE_NAME).is_file() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root} exists and is no prepared data", hint="choose another folder, or move it away")
    root.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (root.with_name(f".{root.name}.{suffix}") for suffix in ("partial", "old"))
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if root.exists():
        root.rename(old)
    partial.rename(root)
    shutil.rmtree(old, ignore_errors=True)


def write_prepared(
    root: Path,
    name: str,
    images: Iterable[tuple[str, bytes]],
    num_images: int,
    train_tokenizer: TrainTokenizer,
    captions: RowsBySplit[CaptionRow] | None = None,
    entailment: RowsBySplit[EntailmentRow] | None = None,
    problems: Problems | None = None,
    sources: Mapping[str, object] | None = None,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
    num_workers: int = 0,
) -> Manifest:
    """Store images (image_id, encoded bytes) and the rows about them as a prepared folder, and return its manifest.

    Images that cannot be decoded and rows without an image are listed as problems. train_tokenizer(texts, path) writes the vocabulary;
    each text starts with a space. progress(images done, num_images).
    Raises DataError when no row is left.
    """
    problems = problems or Problems()
    with prepared_folder(root) as folder:
        index = _write_images(folder / IMAGES / TABLE, images, num_images, problems, progress)
        kept_captions = {split: _with_image(rows, index, problems, name) for split, rows in (captions or {}).items()}
        kept_pairs = {split: _with_image(rows, index, problems, name) for split, rows in (entailment or {}).items()}
        kept_captions = {split: rows for split, rows in kept_captions.items() if rows}
        kept_pairs = {split: rows for split, rows in kept_pairs.items() if rows}
        if not kept_captions and not kept_pairs:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in problems.counts().items())
            raise DataError(
                f"nothing is left of {name} ({reasons or 'no rows at all'})", hint="check that texts and images belong together"
            )
        for split, caption_rows in kept_captions.items():
            _write_table(folder / CAPTION.name / split / TABLE, _CAPTION_COLUMNS, (_caption_record(row, index) for row in caption_rows))
        for split, pairs in kept_pairs.items():
            _write_table(folder / ENTAILMENT.name / split / TABLE, _ENTAILMENT_COLUMNS, (_pair_record(row, index) for row in pairs))
        train_tokenizer(training_texts(kept_captions, kept_pairs), folder / TOKENIZER)
        lines = (json.dumps(problem, ensure_ascii=False) + "\n" for problem in problems.as_dicts())
        (folder / PROBLEMS).write_text("".join(lines), encoding="utf-8")
        manifest = Manifest(
            name=name,
            counts=_counts(kept_captions, kept_pairs),
            num_images=len(index),
            sources=dict(sources or {}),
            problems=problems.counts(),
            text_only_accuracy=_text_only(kept_pairs),
            images_in_several_splits=_shared_images(kept_captions, kept_pairs),
            notes=tuple(notes),
            versions=library_versions(),
        )
        write_manifest(manifest, folder)
    return manifest


def training_texts(captions: RowsBySplit[CaptionRow], entailment: RowsBySplit[EntailmentRow]) -> Iterator[str]:
    """Yield every text the model reads or writes in training, prompts and answers included. Without a train split: all splits."""
    if captions:
        yield CAPTION_PROMPT
    for caption_rows in [captions["train"]] if "train" in captions else captions.values():
        for row in caption_rows:
            yield from (f" {caption_target(caption)}" for caption in row.captions)
    if entailment:
        yield from (f" {answer}" for answer in ANSWERS)
    for pairs in [entailment["train"]] if "train" in entailment else entailment.values():
        yield from (entailment_source(pair.premise, pair.hypothesis) for pair in pairs)


def _write_images(
    path: Path, images: Iterable[tuple[str, bytes]], num_images: int, problems: Problems, progress: Progress | None
) -> dict[str, int]:
    """Store each readable image once; return image_id -> row."""
    index: dict[str, int] = {}

    def records() -> Iterator[dict[str, object]]:
        for done, (image_id, data) in enumerate(images, start=1):
            if image_id not in index and _readable(image_id, data, problems):
                index[image_id] = len(index)
                yield {"image_id": image_id, "image": data}
            if progress is not None:
                progress(done, num_images)

    _write_table(path, _IMAGE_COLUMNS, records())
    return index


def _readable(image_id: str, data: bytes, problems: Problems) -> bool:
    try:
        decode_image(data, shrink_to=8)
    except DataError as error:
        problems.add("images", image_id, "image too large" if "too large" in error.message else "image broken")
        return False
    return True


def _write_table(path: Path, columns: Mapping[str, object], records: Iterable[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True)
    with ArrowWriter(path=str(path), features=Features(dict(columns)), writer_batch_size=ROWS_PER_BATCH) as writer:
        for record in records:
            writer.write(dict(record))
        writer.finalize()


def _with_image(rows: Sequence[Row], index: Mapping[str, int], problems: Problems, name: str) -> list[Row]:
    for row in rows:
        if row.image_id not in index:
            problems.add(name, row.pair_id if isinstance(row, EntailmentRow) else row.image_id, "row without a readable image")
    return [row for row in rows if row.image_id in index]


def _caption_record(row: CaptionRow, index: Mapping[str, int]) -> dict[str, object]:
    return {"image": index[row.image_id], "image_id": row.image_id, "captions": list(row.captions)}


def _pair_record(row: EntailmentRow, index: Mapping[str, int]) -> dict[str, object]:
    return {"image": index[row.image_id], **vars(row)}


def _counts(captions: RowsBySplit[CaptionRow], entailment: RowsBySplit[EntailmentRow]) -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, dict[str, int]]] = {}
    if captions:
        counts[CAPTION.name] = {
            split: {"images": len(rows), "captions": sum(len(row.captions) for row in rows)} for split, rows in captions.items()
        }
    if entailment:
        counts[ENTAILMENT.name] = {
            split: {"images": len({row.image_id for row in rows}), "pairs": len(rows)} for split, rows in entailment.items()
        }
    return counts


def _text_only(entailment: RowsBySplit[EntailmentRow]) -> float | None:
    if "train" not in entailment or "test" not in entailment:
        return None
    train, test = ([(row.hypothesis, row.label) for row in entailment[split]] for split in ("train", "test"))
    return text_only_accuracy(train, test)


def _shared_images(captions: RowsBySplit[CaptionRow], entailment: RowsBySplit[EntailmentRow]) -> int:
    splits_of: dict[str, set[str]] = {}
    roles = [(split, row.image_id) for split, rows in captions.items() for row in rows]
    roles += ((split, row.image_id) for split, rows in entailment.items() for row in rows)
    for split, image_id in roles:
        splits_of.setdefault(image_id, set()).add(split)
    return sum(len(splits) > 1 for splits in splits_of.values())
