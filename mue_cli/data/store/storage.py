"""Writing a prepared folder: Arrow tables, finished or absent, never half.

    manifest.json                    the contents; written last
    problems.jsonl                   a line for each thing left out, or kept with a remark
    tokenizer.json                   the vocabulary learned from the training texts
    images/data-00000.arrow          image_id, image (encoded bytes); each picture once, in shards
    caption/<split>/data.arrow       image (row in images, counted through the shards), image_id,
                                     captions
    entailment/<split>/data.arrow    image, image_id, pair_id, premise (or null), hypothesis, label

Each table also opens with `datasets.Dataset.from_file`.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from mue_cli import __version__
from mue_cli.data.disk import file_sha256, writing
from mue_cli.data.problems import BROKEN, Fault, Loss, Problems
from mue_cli.data.rows import CaptionRow, EntailmentRow, Row, Rows, RowsBySplit
from mue_cli.data.store.image_shards import IMAGES, PictureSource, Progress, write_images
from mue_cli.data.store.journal import Shard
from mue_cli.data.store.manifest import TOKENIZER, Manifest, library_versions, write_manifest
from mue_cli.data.store.partial import keep_problems, prepared_folder
from mue_cli.data.store.replaceable import PROBLEMS
from mue_cli.data.store.shared_pictures import SHARED, shared_pictures
from mue_cli.data.store.stored_pictures import shard_fingerprints
from mue_cli.data.store.text_only import text_only_accuracy
from mue_cli.data.store.written_tables import write_tables
from mue_cli.data.tasks import (
    ANSWERS,
    CAPTION,
    CAPTION_PROMPT,
    ENTAILMENT,
    MAX_QUESTION_WORDS,
    caption_target,
    entailment_source,
    is_cut,
)
from mue_cli.errors import DataError

LOUD_SHARE = 0.1
"""A split that has lost more of its texts than this is spoken of loudly."""

CountTokens = Callable[[str], int]
TrainTokenizer = Callable[[Iterable[str], Path], CountTokens | None]
"""train_tokenizer(texts, path): write the vocabulary of these texts, each of which starts with a
space; may return what counts the tokens of a text.
"""

MAX_TARGET_TOKENS = 20
"""Of a caption, as recipes have `data.max_target_tokens` at first."""
MAX_SOURCE_TOKENS = 80
"""Of a question, as recipes have `data.max_source_tokens` at first."""
MANY_TOKENS = f"caption of more than {MAX_TARGET_TOKENS} tokens (data.max_target_tokens)"
MANY_SOURCE_TOKENS = f"question of more than {MAX_SOURCE_TOKENS} tokens (data.max_source_tokens)"
MANY_WORDS = f"premise or hypothesis of more than {MAX_QUESTION_WORDS} words: its end is not asked"


@dataclass(frozen=True)
class _Texts:
    """The rows whose image is there; splits without any are absent."""

    captions: RowsBySplit[CaptionRow]
    entailment: RowsBySplit[EntailmentRow]


def write_prepared(
    root: Path,
    name: str,
    pictures: PictureSource,
    train_tokenizer: TrainTokenizer,
    captions: RowsBySplit[CaptionRow] | None = None,
    entailment: RowsBySplit[EntailmentRow] | None = None,
    problems: Problems | None = None,
    sources: Mapping[str, object] | None = None,
    notes: Sequence[str] = (),
    numeric_ids: bool = False,
    progress: Progress | None = None,
    num_workers: int = 0,
    strict: bool = False,
) -> Manifest:
    """Store pictures and the rows about them as a prepared folder, and return its manifest. One
    that was stopped before is gone on with.

    Rows whose picture cannot be used are listed as problems. sources: equal ones must give equal
    pictures. progress(images done, images in all, remark beside it). num_workers: threads that look
    at the pictures; 0: none but this one. Raises DataError when no row is left, the disk is full,
    another run is writing the same folder or, with `strict`, more than LOUD_SHARE of a split is
    lost; the problems are then kept beside `root`.
    """
    problems = problems or Problems()
    pa.default_memory_pool().release_unused()  # what sorting captions took
    versions = {"mue": __version__, **library_versions()}
    plan = {
        "name": name,
        "num_images": pictures.num_images,
        "sources": dict(sources or {}),
        "versions": versions,
    }
    with prepared_folder(root, plan) as partial:
        stored = write_images(
            partial.folder, pictures, problems, progress, num_workers, partial.note
        )
        faults = pictures.faults
        texts = _Texts(
            _with_image(captions or {}, CaptionRow, stored.index, faults, problems, name),
            _with_image(entailment or {}, EntailmentRow, stored.index, faults, problems, name),
        )
        losses = problems.losses(_num_texts(texts))
        with keep_problems(root, problems):
            _require_rows(texts, name, losses, problems, strict)
        with writing(root):
            tables = write_tables(partial.folder, texts.captions, texts.entailment, stored.index)
            count_tokens = train_tokenizer(
                training_texts(texts.captions, texts.entailment), partial.folder / TOKENIZER
            )
            _count_long(texts, count_tokens, problems)
            shared = shared_pictures(
                (texts.captions, texts.entailment), stored.index, stored.digests
            )
            for picture in shared:
                problems.remark("images", picture.name, SHARED, str(picture))
            problems.write(partial.folder / PROBLEMS)
            manifest = Manifest(
                name=name,
                prepared=datetime.now(UTC).isoformat(timespec="seconds"),
                counts=_counts(texts),
                num_images=len(stored.index),
                sources=dict(sources or {}),
                problems=problems.counts(),
                remarks=problems.remark_counts(),
                losses={loss.split: {"lost": loss.lost, "kept": loss.kept} for loss in losses},
                numeric_ids=numeric_ids,
                text_only_accuracy=_text_only(texts.entailment),
                images_in_several_splits=len(shared),
                notes=tuple(notes),
                checksums=_checksums(partial.folder, stored.shards, tables),
                shard_fingerprints=shard_fingerprints(partial.folder),
                versions=versions,
            )
            write_manifest(manifest, partial.folder)
    return manifest


def loud_losses(losses: Iterable[Loss]) -> list[Loss]:
    """Return the losses that are more than LOUD_SHARE, or all of a split."""
    return [loss for loss in losses if loss.share > LOUD_SHARE or not loss.kept]


def training_texts(
    captions: RowsBySplit[CaptionRow], entailment: RowsBySplit[EntailmentRow]
) -> Iterator[str]:
    """Yield every text the model reads or writes in training, prompts and answers included. Without
    a train split: all splits.
    """
    if captions:
        yield CAPTION_PROMPT
    for caption_rows in [captions["train"]] if "train" in captions else captions.values():
        for row in caption_rows:
            yield from (f" {caption_target(caption)}" for caption in row.captions)
    if entailment:
        yield from (f" {answer}" for answer in ANSWERS)
    for pairs in [entailment["train"]] if "train" in entailment else entailment.values():
        yield from (entailment_source(pair.premise, pair.hypothesis) for pair in pairs)


def _with_image(
    rows: RowsBySplit[Row],
    kind: type[Row],
    index: Mapping[str, int],
    faults: Mapping[str, Fault],
    problems: Problems,
    name: str,
) -> dict[str, Sequence[Row]]:
    """Leave out rows without a picture, then splits without rows."""
    kept: dict[str, Sequence[Row]] = {}
    for split, of_split in rows.items():
        num_lost = 0
        for row in of_split:
            if row.key not in index:
                fault = faults.get(row.key, Fault(BROKEN))
                item = row.pair_id if isinstance(row, EntailmentRow) else row.image_id
                problems.add(name, item, fault.reason, fault.value, split, row.num_texts)
                num_lost += 1
        if num_lost == 0 and len(of_split):
            kept[split] = of_split
        elif num_lost < len(of_split):
            kept[split] = Rows(kind, (row for row in of_split if row.key in index))
    return kept


def _num_texts(texts: _Texts) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for split, captions in texts.captions.items():
        counts[split] += sum(row.num_texts for row in captions)
    for split, pairs in texts.entailment.items():
        counts[split] += len(pairs)
    return dict(counts)


def _require_rows(
    texts: _Texts, name: str, losses: Sequence[Loss], problems: Problems, strict: bool
) -> None:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in problems.counts().items())
    if not texts.captions and not texts.entailment:
        raise DataError(
            f"nothing is left of {name} ({reasons or 'no rows at all'})",
            hint="check that texts and images belong together",
        )
    loud = loud_losses(losses)
    if strict and loud:
        raise DataError(
            f"{'; '.join(map(str, loud))} ({reasons})",
            hint="mend the sources, or run it without --strict to go on without them",
        )


def _count_long(texts: _Texts, count_tokens: CountTokens | None, problems: Problems) -> None:
    """Count the texts that training cuts at the recipes' defaults. A caption's target is its words'
    targets, and no token reaches over a space.
    """
    if count_tokens is None:
        return
    counts: Counter[str] = Counter()
    of_word = functools.cache(lambda word: count_tokens(f" {caption_target(word)}"))
    for captions in texts.captions.values():
        for caption in (each for row in captions for each in row.captions):
            counts[MANY_TOKENS] += sum(map(of_word, caption.split())) > MAX_TARGET_TOKENS
    for pairs in texts.entailment.values():
        for pair in pairs:
            source = entailment_source(pair.premise, pair.hypothesis)
            counts[MANY_WORDS] += is_cut(pair.premise, pair.hypothesis)
            counts[MANY_SOURCE_TOKENS] += count_tokens(source) > MAX_SOURCE_TOKENS
    for reason, number in counts.items():
        problems.count(reason, number)


def _counts(texts: _Texts) -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, dict[str, int]]] = {}
    if texts.captions:
        counts[CAPTION.name] = {
            split: {"images": len(rows), "captions": sum(len(row.captions) for row in rows)}
            for split, rows in texts.captions.items()
        }
    if texts.entailment:
        counts[ENTAILMENT.name] = {
            split: {"images": len({row.key for row in rows}), "pairs": len(rows)}
            for split, rows in texts.entailment.items()
        }
    return counts


def _text_only(entailment: RowsBySplit[EntailmentRow]) -> float | None:
    if "train" not in entailment or "test" not in entailment:
        return None
    return text_only_accuracy(entailment["train"], entailment["test"])


def _checksums(folder: Path, shards: Sequence[Shard], tables: Sequence[Path]) -> dict[str, str]:
    """Return sha256 by path of everything in the folder but the manifest; that of a shard was taken
    while it was at hand.
    """
    of_shards = {f"{IMAGES}/{shard.name}": shard.sha256 for shard in shards}
    return of_shards | {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in (*tables, folder / TOKENIZER, folder / PROBLEMS)
    }
