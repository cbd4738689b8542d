"""Karpathy's split files (dataset_coco.json, dataset_flickr8k.json): captions and splits of the
photographs in one JSON.
"""

from collections.abc import Callable
from pathlib import Path

from mue_cli.data.rows import SPLITS, CaptionRow, Problems, Rows, is_text
from mue_cli.data.sources.json_list import read_list
from mue_cli.data.tasks import caption_target

# restval: the part of COCO's val that everybody trains on
SPLIT_OF = {"train": "train", "restval": "train", "val": "val", "test": "test"}


def usable_captions(captions: list[object]) -> tuple[str, ...]:
    """Return the captions in which a word is left after clean-up, white space collapsed."""
    return tuple(
        " ".join(caption.split())
        for caption in captions
        if is_text(caption) and caption_target(caption)
    )


def read_karpathy(
    path: Path, image_id_of: Callable[[dict[str, object]], str], problems: Problems
) -> dict[str, Rows[CaptionRow]]:
    """Return the captions per split. Malformed entries and unknown splits are listed as problems.

    image_id_of: entry of the file -> image id; it may raise KeyError, TypeError or ValueError when
    the entry is malformed.
    """
    rows = {split: Rows(CaptionRow) for split in SPLITS}
    seen: set[str] = set()
    for number, entry in enumerate(read_list(path, "images")):
        try:
            image_id = image_id_of(entry)  # type: ignore[arg-type]
            image_id.encode()  # raises ValueError for half a character
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
