"""`mue prepare`: files in, one prepared folder out."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.display import Report, answer, answer_json, keeping, percent, progress, say
from mue_cli.commands.options import JsonOption

if TYPE_CHECKING:
    from mue_cli.data.store.manifest import Manifest

SHAPES_EXAMPLES = """Examples

mue prepare shapes

mue prepare shapes --train 20000 --seed 1 --out data/more-shapes"""

COCO_EXAMPLES = """Examples

mue prepare coco --download

mue prepare coco --source ~/coco --out data/coco"""

FLICKR8K_EXAMPLES = """Examples

mue prepare flickr8k --download

mue prepare flickr8k --source ~/flickr8k --vocab-size 4000"""

SNLI_VE_EXAMPLES = """Examples

mue prepare snli-ve --download --images ~/flickr30k-images.tar

mue prepare snli-ve --source ~/snli_ve"""

OutOption = Annotated[
    Path,
    typer.Option(
        "--out", metavar="FOLDER", help="Folder to write; earlier prepared data there is replaced."
    ),
]
SourceOption = Annotated[
    Path, typer.Option("--source", metavar="FOLDER", help="Folder with the downloaded files.")
]
VocabularyOption = Annotated[
    int,
    typer.Option(
        "--vocab-size",
        min=300,
        max=1_000_000,
        help="Tokens to learn from the training texts, at most.",
    ),
]
DownloadOption = Annotated[
    bool,
    typer.Option(
        "--download",
        help="First fetch what the source folder lacks; goes on where an earlier download stopped.",
    ),
]
MirrorOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="MUE_MIRROR",
        show_default="the official addresses",
        help="Folder on the web to download from; it has the files under the same names.",
    ),
]
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="FOLDER|ARCHIVE",
        show_default="looked for in the source",
        help="The photographs.",
    ),
]

WorkersOption = Annotated[
    int,
    typer.Option(
        "--num-workers",
        min=0,
        max=64,
        help="Threads that check the pictures while others are read; 0: one after the other.",
    ),
]

StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Stop with an error when more than a tenth of a split, or all of it, cannot be used.",
    ),
]

MOST_SCENES = 1_000_000


def shapes(
    out: OutOption = Path("data/shapes"),
    train: Annotated[int, typer.Option(min=1, max=MOST_SCENES, help="Scenes to train on.")] = 6000,
    val: Annotated[
        int, typer.Option(min=1, max=MOST_SCENES, help="Scenes to validate and calibrate on.")
    ] = 400,
    test: Annotated[int, typer.Option(min=1, max=MOST_SCENES, help="Scenes to test on.")] = 400,
    image_size: Annotated[
        int, typer.Option(min=16, max=2048, help="Side of the pictures in pixels.")
    ] = 64,
    vocab_size: VocabularyOption = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenes and texts.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Draw scenes of coloured shapes, with captions and with sentences that are true, false or
    undecidable.

    Reads nothing. Writes pictures, texts, a vocabulary and manifest.json to data/shapes. The same
    numbers give the same data.
    """
    from mue_cli.data.sources.shapes import prepare_shapes

    with _preparing("shapes", out) as report:
        manifest = prepare_shapes(
            out, _learn_vocabulary(vocab_size), seed, train, val, test, image_size, progress=report
        )
    _show(manifest, out, as_json)


def coco(
    source: SourceOption = Path("downloads/coco"),
    download: DownloadOption = False,
    mirror: MirrorOption = None,
    out: OutOption = Path("data/coco"),
    vocab_size: VocabularyOption = 10000,
    num_workers: WorkersOption = 4,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare COCO captions: the official 2014 or 2017 files, with Karpathy's splits when they are
    there, or OFA's caption_*.tsv.

    Reads downloads/coco. Writes pictures, captions, a vocabulary and manifest.json to data/coco;
    problems.jsonl there lists what was left out. Without the files it says what to download from
    where. --download fetches them itself: 20.4 GB, and the prepared data take as much again. A run
    that was stopped, or killed, is gone on with by the same command.
    """
    from mue_cli.data.sources.coco import prepare_coco

    _require_folders(source, out, download)
    if download:
        _download("coco", source, out, mirror)

    with _preparing("coco", out) as report:
        manifest = prepare_coco(
            source, out, _learn_vocabulary(vocab_size), report, num_workers, strict
        )
    _show(manifest, out, as_json)


def flickr8k(
    source: SourceOption = Path("downloads/flickr8k"),
    download: DownloadOption = False,
    mirror: MirrorOption = None,
    out: OutOption = Path("data/flickr8k"),
    vocab_size: VocabularyOption = 4000,
    num_workers: WorkersOption = 4,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare Flickr8k captions: Karpathy's dataset_flickr8k.json and the photographs, as a folder
    or an archive.

    Reads downloads/flickr8k. Writes pictures, captions, a vocabulary and manifest.json to
    data/flickr8k; problems.jsonl there lists what was left out. Without the files it says what to
    download from where. --download fetches them itself: 1.2 GB.
    """
    from mue_cli.data.sources.flickr8k import prepare_flickr8k

    _require_folders(source, out, download)
    if download:
        _download("flickr8k", source, out, mirror)

    with _preparing("flickr8k", out) as report:
        manifest = prepare_flickr8k(
            source, out, _learn_vocabulary(vocab_size), report, num_workers, strict
        )
    _show(manifest, out, as_json)


def snli_ve(
    source: SourceOption = Path("downloads/snli-ve"),
    images: ImagesOption = None,
    download: DownloadOption = False,
    mirror: MirrorOption = None,
    out: OutOption = Path("data/snli-ve"),
    vocab_size: VocabularyOption = 10000,
    num_workers: WorkersOption = 4,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare SNLI-VE, visual entailment: the official jsonl files and the Flickr30k photographs,
    or OFA's snli_ve_*.tsv.

    Reads downloads/snli-ve. Writes pictures, sentence pairs, a vocabulary and manifest.json to
    data/snli-ve; problems.jsonl there lists what was left out. Without the files it says what to
    download from where. --download makes the jsonl files of SNLI 1.0 as SNLI-VE's authors do; the
    photographs need your own copy.
    """
    from mue_cli.data.sources.snli_ve import prepare_snli_ve

    _require_folders(source, out, download)
    if download:
        _download("snli-ve", source, out, mirror)
        _require_photographs(source, images)

    with _preparing("snli-ve", out) as report:
        manifest = prepare_snli_ve(
            source,
            out,
            _learn_vocabulary(vocab_size),
            images,
            progress=report,
            num_workers=num_workers,
            strict=strict,
        )
    _show(manifest, out, as_json)


@contextmanager
def _preparing(dataset: str, out: Path) -> Iterator[Report]:
    """Show progress; on Ctrl-C say that the folder is as it was, and how much the next run need not
    do again.
    """
    before = _inode(out)
    with keeping(lambda: _kept(out, before)), progress(f"prepare {dataset}") as report:
        yield report


def _require_folders(source: Path, out: Path, download: bool) -> None:
    """Raise DataError, before anything is read, for folders that cannot serve."""
    from mue_cli.data.sources.places import require_folder
    from mue_cli.data.store.partial import require_replaceable

    if not download:
        require_folder(source)
    require_replaceable(out)


def _inode(path: Path) -> int | None:
    """Return what tells one folder from another that takes its place."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _kept(out: Path, before: int | None) -> str:
    from mue_cli.data.store.partial import count_kept

    if _inode(out) != before:
        return f"`{out}` is done: the new data is in its place"
    count = count_kept(out)
    return f"`{out}` is as it was before" + (
        f"; {count:,} images are kept, and the same command goes on from there" if count else ""
    )


def _download(dataset: str, source: Path, out: Path, mirror: str | None) -> None:
    """Fetch what `source` lacks; on Ctrl-C say that what came is kept."""
    from mue_cli.data.fetch.fetch import fetch

    with (
        keeping(lambda: f"`{source}` keeps what has come; the same command goes on from there"),
        progress(f"download {dataset}") as report,
    ):
        fetch(dataset, source, out, mirror, report)


def _require_photographs(source: Path, images: Path | None) -> None:
    from mue_cli.data.fetch.addresses import FLICKR30K_FORM
    from mue_cli.data.sources.places import find_images
    from mue_cli.data.sources.snli_ve import IMAGE_NAMES
    from mue_cli.errors import DataError

    if images is None and not find_images(source, IMAGE_NAMES):
        raise DataError(
            f"the SNLI-VE annotations are in {source};"
            " the Flickr30k photographs cannot be downloaded without you",
            hint=f"ask for them with the form at {FLICKR30K_FORM}, then run:"
            f" mue prepare snli-ve --source {source} --images FOLDER|ARCHIVE",
        )


def _learn_vocabulary(size: int) -> Callable[[Iterable[str], Path], Callable[[str], int]]:
    """Return the function that learns a vocabulary from texts, writes it, and returns the one that
    counts the tokens of a text.
    """
    from mue_cli.data.tasks import WHOLE_WORDS
    from mue_cli.model.tokenizer import Tokenizer

    def learn(texts: Iterable[str], path: Path) -> Callable[[str], int]:
        tokenizer = Tokenizer.train(texts, size, WHOLE_WORDS)
        tokenizer.save(path)
        of_word = functools.cache(lambda word: len(tokenizer.encode(f" {word}")))
        return lambda text: sum(map(of_word, text.split()))  # no token reaches over a space

    return learn


def _show(manifest: "Manifest", out: Path, as_json: bool) -> None:
    """Print what is in the folder, what was left out and, last where it is much, how much."""
    from mue_cli.reports.tables import Column, Table, to_text

    if as_json:
        answer_json({"folder": str(out), **asdict(manifest)})
    else:
        rows = tuple(
            (task, split, counts.get("images"), counts.get("captions", counts.get("pairs")))
            for task, splits in manifest.counts.items()
            for split, counts in splits.items()
        )
        columns = (
            Column("task"),
            Column("split"),
            Column("images", ",d"),
            Column("captions or pairs", ",d"),
        )
        answer(to_text(Table(columns, rows)))
        for line in _remarks(manifest, out):
            answer(line)
        answer(str(out))
    for line in _warnings(manifest):
        say(line)


def _remarks(manifest: "Manifest", out: Path) -> Iterator[str]:
    if manifest.text_only_accuracy is not None:
        right = percent(manifest.text_only_accuracy)
        yield f"entailment without looking (text alone, test): {right} right"
    for note in manifest.notes:
        yield f"note: {note}"
    if manifest.images_in_several_splits:
        yield f"note: {manifest.images_in_several_splits} images are in more than one split"
    listed = f" ({out / 'problems.jsonl'})"
    if manifest.remarks:
        remarks = "; ".join(f"{count:,} x {what}" for what, count in manifest.remarks.items())
        yield f"kept with a remark: {remarks}{listed}"
    if manifest.problems:
        problems = ", ".join(f"{count:,} x {why}" for why, count in manifest.problems.items())
        yield f"left out: {problems}{listed}"


def _warnings(manifest: "Manifest") -> Iterator[str]:
    """Yield a line where much is lost; the last word, on stderr."""
    from mue_cli.data.problems import Loss
    from mue_cli.data.store.storage import loud_losses

    losses = [Loss(split, loss["lost"], loss["kept"]) for split, loss in manifest.losses.items()]
    if loud := loud_losses(losses):
        reasons = ", ".join(f"{why}: {count:,}" for why, count in manifest.problems.items())
        yield f"WARNING: {'; '.join(map(str, loud))} ({reasons})"
