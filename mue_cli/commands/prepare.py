"""`mue prepare`: files in, one prepared folder out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.display import Report, answer, answer_json, keeping, progress, say

if TYPE_CHECKING:
    from mue_cli.data.store.manifest import Manifest

SHAPES_EXAMPLES = (
    "mue prepare shapes",
    "mue prepare shapes --train 20000 --seed 1 --out data/more-shapes",
)

COCO_EXAMPLES = (
    "mue prepare coco --download",
    "mue prepare coco --source ~/coco --out data/coco",
)

FLICKR8K_EXAMPLES = (
    "mue prepare flickr8k --download",
    "mue prepare flickr8k --source ~/flickr8k --vocab-size 4000",
)

SNLI_VE_EXAMPLES = (
    "mue prepare snli-ve --download --images ~/flickr30k-images.tar",
    "mue prepare snli-ve --source ~/snli_ve",
)

OutOption = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Folder to write or replace.")
]
SourceOption = Annotated[Path, typer.Option("--source", metavar="FOLDER", help="Files to read.")]
VocabularyOption = Annotated[
    int,
    typer.Option("--vocab-size", min=300, max=1_000_000, metavar="N", help="Tokens to learn."),
]
DownloadOption = Annotated[
    bool, typer.Option("--download", help="First fetch what the source lacks.")
]
MirrorOption = Annotated[
    str | None,
    typer.Option(metavar="URL", envvar="MUE_MIRROR", help="Fetch from here instead."),
]
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images", metavar="FOLDER|ARCHIVE", help="The photographs, where not in the source."
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option("--num-workers", min=0, max=64, metavar="N", help="Threads that check."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Stop where over a tenth of a split is no good.")
]
MOST_SCENES = 1_000_000


def shapes(
    out: OutOption = Path("data/shapes"),
    train: Annotated[
        int, typer.Option(min=1, max=MOST_SCENES, metavar="N", help="Scenes to train on.")
    ] = 6000,
    val: Annotated[
        int,
        typer.Option(min=1, max=MOST_SCENES, metavar="N", help="Scenes to validate on."),
    ] = 400,
    test: Annotated[
        int, typer.Option(min=1, max=MOST_SCENES, metavar="N", help="Scenes to test on.")
    ] = 400,
    image_size: Annotated[
        int, typer.Option(min=16, max=2048, metavar="N", help="Side of the pictures in pixels.")
    ] = 64,
    vocab_size: VocabularyOption = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of scenes and texts.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Draw scenes of coloured shapes, with captions and with sentences that are true, false or
    undecidable.

    Reads nothing. Writes pictures, texts, a vocabulary and manifest.json to data/shapes. The same
    numbers give the same data.
    """
    from mue_cli.experiment.prepare import learn_vocabulary, prepare_shapes

    with _preparing("shapes", out) as report:
        manifest = prepare_shapes(
            out, learn_vocabulary(vocab_size), seed, train, val, test, image_size, progress=report
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
    as_json: options.Json = False,
) -> None:
    """Prepare COCO captions: the official 2014 or 2017 files, with Karpathy's splits when they are
    there, or OFA's caption_*.tsv.

    Reads downloads/coco. Writes pictures, captions, a vocabulary and manifest.json to data/coco;
    problems.jsonl there lists what was left out. Without the files it says what to download from
    where. --download fetches them itself: 20.4 GB, and the prepared data take as much again. A run
    that was stopped, or killed, is gone on with by the same command.
    """
    checks = {"num_workers": num_workers, "strict": strict}
    _from_files("coco", source, out, vocab_size, download, mirror, as_json, **checks)


def flickr8k(
    source: SourceOption = Path("downloads/flickr8k"),
    download: DownloadOption = False,
    mirror: MirrorOption = None,
    out: OutOption = Path("data/flickr8k"),
    vocab_size: VocabularyOption = 4000,
    num_workers: WorkersOption = 4,
    strict: StrictOption = False,
    as_json: options.Json = False,
) -> None:
    """Prepare Flickr8k captions: Karpathy's dataset_flickr8k.json and the photographs, as a folder
    or an archive.

    Reads downloads/flickr8k. Writes pictures, captions, a vocabulary and manifest.json to
    data/flickr8k; problems.jsonl there lists what was left out. Without the files it says what to
    download from where. --download fetches them itself: 1.2 GB.
    """
    checks = {"num_workers": num_workers, "strict": strict}
    _from_files("flickr8k", source, out, vocab_size, download, mirror, as_json, **checks)


def snli_ve(
    source: SourceOption = Path("downloads/snli-ve"),
    images: ImagesOption = None,
    download: DownloadOption = False,
    mirror: MirrorOption = None,
    out: OutOption = Path("data/snli-ve"),
    vocab_size: VocabularyOption = 10000,
    num_workers: WorkersOption = 4,
    strict: StrictOption = False,
    as_json: options.Json = False,
) -> None:
    """Prepare SNLI-VE, visual entailment: the official jsonl files and the Flickr30k photographs,
    or OFA's snli_ve_*.tsv.

    Reads downloads/snli-ve. Writes pictures, sentence pairs, a vocabulary and manifest.json to
    data/snli-ve; problems.jsonl there lists what was left out. Without the files it says what to
    download from where. --download makes the jsonl files of SNLI 1.0 as SNLI-VE's authors do; the
    photographs need your own copy.
    """
    checks = {"images": images, "num_workers": num_workers, "strict": strict}
    _from_files("snli-ve", source, out, vocab_size, download, mirror, as_json, **checks)


def _from_files(
    dataset: str,
    source: Path,
    out: Path,
    vocab_size: int,
    download: bool,
    mirror: str | None,
    as_json: bool,
    **of_reader: object,
) -> None:
    """Fetch what `source` lacks where that is wanted, prepare it, and show what there is."""
    from mue_cli.experiment import prepare as procedure

    procedure.require_folders(source, out, download, of_reader.get("images"))
    if download:
        kept = f"`{source}` keeps what has come; the same command goes on from there"
        with keeping(lambda: kept), progress(f"download {dataset}") as report:
            procedure.download_source(dataset, source, out, mirror, report)
        procedure.require_photographs(dataset, source, of_reader.get("images"))
    with _preparing(dataset, out) as report:
        manifest = procedure.prepare_files(
            dataset, source, out, vocab_size, progress=report, **of_reader
        )
    _show(manifest, out, as_json)


@contextmanager
def _preparing(dataset: str, out: Path) -> Iterator[Report]:
    """Show progress; on Ctrl-C say that the folder is as it was, and how much the next run need not
    do again.
    """
    from mue_cli.experiment.prepare import inode_of, kept_so_far

    before = inode_of(out)
    with keeping(lambda: kept_so_far(out, before)), progress(f"prepare {dataset}") as report:
        yield report


def _show(manifest: "Manifest", out: Path, as_json: bool) -> None:
    """Print what is in the folder, what was left out and, last where it is much, how much."""
    from mue_cli.experiment.prepare import contents, remarks, warnings
    from mue_cli.reports.table_forms import to_text

    if as_json:
        answer_json({"folder": str(out), **asdict(manifest)})
    else:
        answer(to_text(contents(manifest)))
        for line in remarks(manifest, out):
            answer(line)
        answer(str(out))
    for line in warnings(manifest):
        say(line)
