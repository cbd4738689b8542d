"""Karpathy's split files (dataset_coco.json, dataset_flickr8k.json): captions and splits of the photographs in one JSON."""

import json
from collections.abc import Callable
from pathlib import Path

from mue_cli.data.rows import SPLITS, CaptionRow, Problems
from mue_cli.data.tasks import caption_target
from mue_cli.errors import DataError

# restval: the part of COCO's val that everybody trains on
SPLIT_OF = {"train": "train", "restval": "train", "val": "val", "test": "test"}


def read_json(path: Path) -> dict[str, object]:
    """Return the object in a JSON file. Raises DataError when it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="download the file again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not an object", hint="is it the right file?")
    return content


def list_in(content: dict[str, object], key: str, path: Path) -> list[object]:
    """Return the list at `key`. Raises DataError when there is none."""
    value = content.get(key)
    if not isinstance(value, list):
        raise DataError(f"{path} has no list {key!r}", hint="is it the right file?")
    return value


def usable_captions(captions: list[object]) -> tuple[str, ...]:
    """Return the captions in which a word is left after clean-up, white space collapsed."""
    return tuple(" ".join(caption.split()) for caption in captions if isinstance(caption, str) and caption_target(caption))


def read_karpathy(path: Path, image_id_of: Callable[[dict[str, object]], str], problems: Problems) -> dict[str, list[CaptionRow]]:
    """Return the captions per split. Malformed entries and unknown splits are listed as problems.

    image_id_of: entry of the file -> image id; it may raise KeyError, TypeError or ValueError when the entry is malformed.
    """
    rows: dict[str, list[CaptionRow]] = {split: [] for split in SPLITS}
    seen: set[str] = set()
    for number, entry in enumerate(list_in(read_json(path), "images", path)):
        try:
            image_id = image_id_of(entry)  # type: ignore[arg-type]
            split = SPLIT_OF.get(str(entry["split"]))  # type: ignore[index]
            captions = usable_captions([sentence["raw"] for sentence in entry["sentences"]])  # type: ignore[index]
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.add(path.name, f"images[{number}]", "malformed entry")
            continue
        if split is None:
            problems.add(path.name, image_id, "unknown split")
        elif image_id in seen:
            problems.add(path.name, image_id, "image listed twice")
        elif not captions:
            problems.add(path.name, image_id, "no usable caption")
        else:
            seen.add(image_id)
            rows[split].append(CaptionRow(image_id, captions))
    return rows
