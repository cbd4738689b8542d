"""The manifest of a prepared folder: what is in it, where it came from, what was left out. Written
last.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from mue_cli.errors import DataError, MissingStepError

FILE_NAME = "manifest.json"
FORMAT = 2
READABLE = (1, FORMAT)  # 1: no date, no checksums, all images in one table
DATASETS = ("shapes", "coco", "flickr8k", "snli-ve")


@dataclass(frozen=True)
class Manifest:
    """What `mue prepare` did.

    prepared: when, in UTC; the one thing that differs when the same sources are prepared again.
    counts: task -> split -> {"images": ..., "captions": ...} or {"images": ..., "pairs": ...}.
    sources: what it was made of: files with size and checksum, or the numbers the pictures were
    drawn from.
    problems: reason -> how many rows or images were left out; problems.jsonl lists each.
    text_only_accuracy: fraction of the entailment test pairs solved without pictures or premises
    (None without such pairs). images_in_several_splits: images that play more than one of train,
    val and test, over all tasks.
    checksums: path in the folder -> sha256.
    """

    name: str
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    num_images: int
    prepared: str = ""
    sources: Mapping[str, object] = field(default_factory=dict)
    problems: Mapping[str, int] = field(default_factory=dict)
    text_only_accuracy: float | None = None
    images_in_several_splits: int = 0
    notes: tuple[str, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.counts)


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
    if not path.is_file():
        raise MissingStepError(f"no prepared data at {folder}", hint=hint)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") not in READABLE:
            raise DataError(f"{path} has another format than this version writes", hint=hint)
        content.pop("tasks")
        return Manifest(**{**content, "notes": tuple(content["notes"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a manifest of prepared data: {error}", hint=hint) from error
