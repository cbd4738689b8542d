"""The manifest of a prepared folder: contents, sources, losses. Written last."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from mue_cli.data.rows import SPLITS
from mue_cli.data.tasks import TASKS
from mue_cli.errors import DataError, MissingStepError, MueError
from mue_cli.files import read_text
from mue_cli.schema.schema import Natural, Range, build

FILE_NAME = "manifest.json"
TOKENIZER = "tokenizer.json"
FORMAT = 2
DATASETS = ("shapes", "coco", "flickr8k", "snli-ve")

TEXTS = ("captions", "pairs")

Counts = Mapping[str, Mapping[str, Mapping[str, Natural]]]


@dataclass(frozen=True)
class Manifest:
    """Contents of a prepared folder, as `mue prepare` left it.

    prepared: when, in UTC; the one thing that differs when the same sources are prepared again.
    counts: task -> split -> {"images": ..., "captions": ...} or {"images": ..., "pairs": ...}.
    sources: files with size and checksum, or the numbers the pictures were drawn from.
    problems: reason -> number of rows left out; remarks: remark -> number of pictures or captions
    that are kept; problems.jsonl lists both. losses: split -> {"lost": ..., "kept": ...}, captions
    or pairs; "" is all of them. numeric_ids: image ids are numbers in the source.
    text_only_accuracy: fraction of the entailment test pairs solved without pictures or premises
    (None without such pairs). images_in_several_splits: images that play more than one of train,
    val and test, over all tasks, under whatever names. checksums: path in the folder -> sha256.
    shard_fingerprints: path of a shard of pictures -> a hash of its size and some of its blocks,
    which can be compared at every start; none in folders that were prepared before.
    """

    name: str
    counts: Counts
    num_images: Natural
    prepared: str = ""
    sources: Mapping[str, object] = field(default_factory=dict)
    problems: Mapping[str, Natural] = field(default_factory=dict)
    remarks: Mapping[str, Natural] = field(default_factory=dict)
    losses: Mapping[str, Mapping[str, Natural]] = field(default_factory=dict)
    numeric_ids: bool = False
    text_only_accuracy: Annotated[float, Range(0, 1)] | None = None
    images_in_several_splits: Natural = 0
    notes: tuple[str, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    shard_fingerprints: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.counts)

    @property
    def fingerprint(self) -> str:
        """A name for the contents, the same whenever the same sources are prepared: the sha256 of
        all checksums.
        """
        lines = (f"{path} {digest}\n" for path, digest in sorted(self.checksums.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def library_versions() -> dict[str, str]:
    return {
        name: version(name)
        for name in ("datasets", "numpy", "pillow", "pyarrow", "tokenizers", "torch")
    }


def write_manifest(manifest: Manifest, folder: Path) -> None:
    text = json.dumps(
        {"format": FORMAT, "tasks": manifest.tasks, **asdict(manifest)},
        indent=2,
        ensure_ascii=False,
    )
    (folder / FILE_NAME).write_text(
        text + "\n", encoding="utf-8", errors="backslashreplace"
    )  # paths may be no Unicode


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest. Raises MissingStepError when nothing was prepared here, DataError when it
    is not ours.
    """
    path = folder / FILE_NAME
    hint = f"run: mue prepare {folder.name if folder.name in DATASETS else '<dataset>'}"
    try:
        is_there = path.exists()
    except OSError:  # a name that is too long
        is_there = False
    if not is_there:
        raise MissingStepError(f"no prepared data at {folder}", hint=hint)
    try:
        content = json.loads(read_text(path))
        if content.pop("format") != FORMAT:
            raise DataError(f"{path} has another format than this version writes", hint=hint)
        content.pop("tasks")
        manifest = build(Manifest, content, lambda key: f"{path}")
    except DataError:
        raise
    except MueError as error:
        raise DataError(f"{error.message}: not a manifest of prepared data", hint=hint) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is not a manifest of prepared data: {error}", hint=hint) from error
    _require_counts(manifest, path, hint)
    return manifest


def num_texts(counts: Mapping[str, int]) -> int:
    """Return the captions or pairs of a split."""
    return sum(counts.get(name, 0) for name in TEXTS)


def _require_counts(manifest: Manifest, path: Path, hint: str) -> None:
    for task, splits in manifest.counts.items():
        for split, counts in splits.items():
            names = [name for name in counts if name != "images"]
            is_ours = "images" in counts and len(names) == 1 and names[0] in TEXTS
            if task not in TASKS or split not in SPLITS or not is_ours:
                raise DataError(
                    f"{path} is not a manifest of prepared data: counts.{task}.{split} holds"
                    f" {', '.join(counts) or 'nothing'}",
                    hint=hint,
                )
