"""SNLI-VE (Xie et al., 2019): the official jsonl files and the Flickr30k photographs they speak of.

A photograph is looked up by the digits that its file name starts with, so Flickr8k's files
("2181846120_3744ca3942.jpg") serve as well.
"""

import json
import re
from pathlib import Path

from mue_cli.data.rows import EntailmentRow, Problems, Rows, is_text
from mue_cli.data.sources import ofa_tsv
from mue_cli.data.sources.image_files import find_images, is_archive, read_images, require_images
from mue_cli.data.sources.sources import describe_images, describe_texts
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.storage import Progress, TrainTokenizer, write_prepared
from mue_cli.data.tasks import LABELS
from mue_cli.errors import DataError

FILES = {"train": "snli_ve_train.jsonl", "val": "snli_ve_dev.jsonl", "test": "snli_ve_test.jsonl"}
IMAGE_NAMES = (
    "flickr30k-images",
    "flickr30k_images",
    "images",
    "Images",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset",
)
LAYOUT = """needed in one folder:
  snli_ve_train.jsonl, snli_ve_dev.jsonl, snli_ve_test.jsonl   from https://github.com/necla-ml/SNLI-VE
  flickr30k-images/ (or .tar, .tar.gz, .zip)                   from https://shannon.cs.illinois.edu/DenotationGraph/
photographs that lie elsewhere are named with --images; OFA's own snli_ve_*.tsv do without anything else;
then run: mue prepare snli-ve --source FOLDER; with --download it fetches all but the photographs itself"""


def prepare_snli_ve(
    source: Path,
    root: Path,
    train_tokenizer: TrainTokenizer,
    images: Path | None = None,
    progress: Progress | None = None,
    num_workers: int = 0,
) -> Manifest:
    """Read SNLI-VE from the folder `source` and write it to `root`; OFA's own TSV files where they
    are there.

    images: folder or archive with the photographs; when None they are looked for in `source`. A
    missing file of a split is noted. Raises DataError when all are missing, or nothing is left.
    """
    tsv = ofa_tsv.find_files(source, ofa_tsv.PAIR_FILES)
    if tsv:
        return ofa_tsv.prepare_pairs(tsv, root, "snli-ve", train_tokenizer, progress, num_workers)
    files = {split: source / name for split, name in FILES.items() if (source / name).is_file()}
    if not files:
        raise DataError(f"none of {', '.join(FILES.values())} is in {source}", hint=LAYOUT)
    sources = _image_sources(source, images)
    problems = Problems()
    rows = {split: read_pairs(path, problems) for split, path in files.items()}
    wanted = {row.image_id for pairs in rows.values() for row in pairs}
    return write_prepared(
        root,
        "snli-ve",
        images=lambda done: read_images(sources, leading_digits, wanted, problems, done),
        num_images=len(wanted),
        train_tokenizer=train_tokenizer,
        entailment=rows,
        problems=problems,
        sources={"pairs": describe_texts(files.values()), "images": describe_images(sources)},
        notes=[
            f"no {name}: no {split} split" for split, name in FILES.items() if split not in files
        ],
        progress=progress,
        num_workers=num_workers,
    )


def leading_digits(name: str) -> str | None:
    """Return the Flickr id that a file name or id starts with, or None."""
    digits = re.match(r"\d+", name)
    return digits[0] if digits else None


def read_pairs(path: Path, problems: Problems) -> Rows[EntailmentRow]:
    """Return the pairs of one jsonl file; lines that cannot be used are listed as problems. Pair
    ids are made where absent or repeated.
    """
    rows = Rows(EntailmentRow)
    seen: set[str] = set()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = _read_pair(line, f"{path.stem}-{number}", seen)
            if isinstance(row, str):
                problems.add(path.name, f"line {number}", row)
            else:
                seen.add(row.pair_id)
                rows.append(row)
    return rows


def _read_pair(line: str, spare_id: str, seen: set[str]) -> EntailmentRow | str:
    """A pair, or the reason why there is none."""
    try:
        entry = json.loads(line)
        image_id = leading_digits(str(entry["Flickr30K_ID"]))
        pair_id = str(entry.get("pairID") or spare_id)
        pair_id.encode()  # raises ValueError for half a character
        premise, hypothesis, label = entry.get("sentence1"), entry["sentence2"], entry["gold_label"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "malformed line"
    if image_id is None:
        return "no photograph named"
    if not isinstance(label, str) or label not in LABELS:
        return "no gold label" if label == "-" else "unknown label"
    if not is_text(hypothesis) or not hypothesis.strip():
        return "no hypothesis"
    has_premise = is_text(premise) and bool(premise.strip())
    return EntailmentRow(
        image_id,
        f"{pair_id}-{spare_id}" if pair_id in seen else pair_id,
        premise if has_premise else None,
        hypothesis,
        label,
    )


def _image_sources(source: Path, images: Path | None) -> list[Path]:
    if images is None:
        sources = find_images(source, IMAGE_NAMES)
        require_images(sources, source, LAYOUT)
        return sources
    if is_archive(images):
        return [images]
    if not images.is_dir():
        raise DataError(f"{images} is neither a folder nor an archive of images", hint=LAYOUT)
    return find_images(images, IMAGE_NAMES) or [images]
