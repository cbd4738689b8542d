"""SNLI-VE made of SNLI 1.0 and the split lists of Flickr30k, by the rule of the authors'
snli_ve_generator.py.

Their ready-made files (github.com/necla-ml/SNLI-VE) lie where only a browser can fetch them. Pairs
about Flickr30k photographs that have a gold label are kept; the photograph is what stands before
".jpg" in the pair id. The last 1,000 photographs of the first list are dev, the others train.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from mue_cli.data.disk import writing
from mue_cli.data.fetch.archives import open_member
from mue_cli.errors import DataError
from mue_cli.files import replacing

PARTS = ("train", "dev", "test")
DEV_IMAGES = 1000
FIELDS = ("captionID", "gold_label", "pairID", "sentence1", "sentence2")


def write_snli_ve(archive: Path, train_val_list: Path, test_list: Path, folder: Path) -> None:
    """Write snli_ve_train.jsonl, _dev.jsonl and _test.jsonl, without the parses.

    Order: the photographs as listed, each with its pairs as SNLI has them. Raises DataError when
    the sources are not what they should be.
    """
    train_val, test = _read_list(train_val_list), _read_list(test_list)
    if len(train_val) <= DEV_IMAGES:
        raise DataError(
            f"{train_val_list} lists {len(train_val)} photographs, expected more than {DEV_IMAGES}",
            hint="is it the right file?",
        )
    pairs: dict[str, list[str]] = {}
    for part in PARTS:
        for image, line in _flickr_pairs(archive, f"snli_1.0/snli_1.0_{part}.jsonl"):
            pairs.setdefault(image, []).append(line)
    for part, images in (
        ("train", train_val[:-DEV_IMAGES]),
        ("dev", train_val[-DEV_IMAGES:]),
        ("test", test),
    ):
        path = folder / f"snli_ve_{part}.jsonl"
        with (
            writing(path),
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8") as out,
        ):
            out.writelines(line for image in images for line in pairs.get(image, ()))


def _flickr_pairs(archive: Path, member: str) -> Iterator[tuple[str, str]]:
    """Yield (photograph, line of SNLI-VE) of the pairs to keep."""
    with open_member(archive, member) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                pair = json.loads(line)
                pair_id, label = pair["pairID"], pair["gold_label"]
                image, suffix, _ = pair_id.rpartition(".jpg")
                kept = {"Flickr30K_ID": image, **{name: pair[name] for name in FIELDS}}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{archive}: line {number} of {member} is no pair of SNLI",
                    hint="is it SNLI 1.0?",
                ) from error
            if (
                label != "-" and suffix
            ):  # pairs about Visual Genome's photographs are in no list and fall out later
                yield image, json.dumps(kept, ensure_ascii=False) + "\n"


def _read_list(path: Path) -> list[str]:
    """Return the photographs of a split list, one number a line."""
    lines = path.read_text(encoding="utf-8", errors="replace").split()
    if not lines or not all(line.isdecimal() for line in lines):
        raise DataError(f"{path} is no list of photographs", hint="remove it and download it again")
    return lines
