"""Prepare a data set: files in, one prepared folder out; what it holds, in words."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from mue_cli.data.fetch.addresses import FLICKR30K_FORM
from mue_cli.data.fetch.fetch import fetch
from mue_cli.data.problems import Loss
from mue_cli.data.sources import coco, flickr8k, snli_ve
from mue_cli.data.sources.places import find_images, require_folder
from mue_cli.data.sources.shapes import prepare_shapes
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.partial import count_kept, require_replaceable
from mue_cli.data.store.replaceable import require_apart
from mue_cli.data.store.storage import loud_losses
from mue_cli.data.tasks import WHOLE_WORDS
from mue_cli.errors import DataError
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.reports.tables import Column, Table

__all__ = ["kept_so_far", "learn_vocabulary", "prepare_files", "prepare_shapes"]

READERS: Mapping[str, Callable[..., Manifest]] = {
    "coco": coco.prepare_coco,
    "flickr8k": flickr8k.prepare_flickr8k,
    "snli-ve": snli_ve.prepare_snli_ve,
}


def prepare_files(
    dataset: str, source: Path, out: Path, vocab_size: int, **options: object
) -> Manifest:
    """Read a data set's files from `source` and write the prepared data to `out`.

    options: of its reader in data/sources/ (progress, num_workers, strict, images). Raises
    DataError.
    """
    require_apart(out, (source, options.get("images")))
    return READERS[dataset](source, out, learn_vocabulary(vocab_size), **options)


def require_folders(source: Path, out: Path, download: bool, images: object = None) -> None:
    """Raise DataError, before anything is read, for folders that cannot serve, among them sources
    in the folder that is to be replaced. images: where the photographs lie, None for the source.
    """
    if not download and os.path.lexists(source):  # where nothing is, the reader says what it needs
        require_folder(source)
    require_replaceable(out, (source, images))


def download_source(
    dataset: str,
    source: Path,
    out: Path,
    mirror: str | None,
    progress: Callable[..., None],
) -> None:
    """Fetch what `source` lacks. Raises DataError, MueError."""
    fetch(dataset, source, out, mirror, progress)


def require_photographs(dataset: str, source: Path, images: object) -> None:
    """Raise DataError where SNLI-VE's photographs are missing: nobody can download them unasked.

    images: where they lie, None for the source.
    """
    if dataset == "snli-ve" and images is None and not find_images(source, snli_ve.IMAGE_NAMES):
        raise DataError(
            f"the SNLI-VE annotations are in {source};"
            " the Flickr30k photographs cannot be downloaded without you",
            hint=f"ask for them with the form at {FLICKR30K_FORM}, then run:"
            f" mue prepare snli-ve --source {source} --images FOLDER|ARCHIVE",
        )


def inode_of(folder: Path) -> int | None:
    """Return what tells one folder from another that takes its place; None where there is none."""
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def kept_so_far(out: Path, before: int | None) -> str:
    """Return what an interrupted preparation leaves, in words. before: its inode_of(out)."""
    if inode_of(out) != before:
        return f"`{out}` is done: the new data is in its place"
    count = count_kept(out)
    more = f"; {count:,} images are kept, and the same command goes on from there" if count else ""
    return f"`{out}` is as it was before{more}"


def learn_vocabulary(size: int) -> Callable[[Iterable[str], Path], Callable[[str], int]]:
    """Return the function that learns a vocabulary from texts, writes it, and returns the one that
    counts the tokens of a text.
    """

    def learn(texts: Iterable[str], path: Path) -> Callable[[str], int]:
        tokenizer = Tokenizer.train(texts, size, WHOLE_WORDS)
        tokenizer.save(path)
        of_word = functools.cache(lambda word: len(tokenizer.encode(f" {word}")))
        return lambda text: sum(map(of_word, text.split()))  # no token reaches over a space

    return learn


def contents(manifest: Manifest) -> Table:
    """Return how many pictures and texts each split of each task has."""
    rows = tuple(
        (task, split, counts.get("images"), counts.get("captions", counts.get("pairs")))
        for task, splits in manifest.counts.items()
        for split, counts in splits.items()
    )
    numbers = (Column("images", ",d"), Column("captions or pairs", ",d"))
    return Table((Column("task"), Column("split"), *numbers), rows)


def remarks(manifest: Manifest, out: Path) -> Iterator[str]:
    """Yield what a reader has to know, a line each: notes, what was kept, what was left out."""
    if manifest.text_only_accuracy is not None:
        right = f"{100 * manifest.text_only_accuracy:.1f} %"
        yield f"entailment without looking (hypotheses alone, test): {right} right"
    for note in manifest.notes:
        yield f"note: {note}"
    if manifest.images_in_several_splits:
        yield f"note: {manifest.images_in_several_splits} images are in more than one split"
    listed = f" ({out / 'problems.jsonl'})"
    if manifest.remarks:
        kept = "; ".join(f"{count:,} x {what}" for what, count in manifest.remarks.items())
        yield f"kept with a remark: {kept}{listed}"
    if manifest.problems:
        problems = ", ".join(f"{count:,} x {why}" for why, count in manifest.problems.items())
        yield f"left out: {problems}{listed}"


def warnings(manifest: Manifest) -> Iterator[str]:
    """Yield a line where much is lost."""
    losses = [Loss(split, loss["lost"], loss["kept"]) for split, loss in manifest.losses.items()]
    if loud := loud_losses(losses):
        reasons = ", ".join(f"{why}: {count:,}" for why, count in manifest.problems.items())
        yield f"WARNING: {'; '.join(map(str, loud))} ({reasons})"
