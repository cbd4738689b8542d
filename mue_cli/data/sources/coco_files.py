"""Which of COCO's annotation files are read: those of one form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mue_cli.data.rows import SPLITS
from mue_cli.data.sources.names import split_of
from mue_cli.data.sources.tsv_files import CAPTION_FILE, TsvFiles, find_files, require_one_form
from mue_cli.errors import DataError

SPLIT_FILE = "dataset_coco.json"
YEARS = ("2017", "2014", "")

_CAPTION_FILE = re.compile(r"captions_([a-z]+?)_?((?:20\d\d)?)\.json", re.IGNORECASE)


@dataclass(frozen=True)
class CocoFiles:
    """The annotations that are there, in one of three forms.

    tsv: OFA's own. karpathy: his split file. official: the caption file of each split. notes: on
    files that are not read.
    """

    tsv: TsvFiles
    karpathy: Path | None = None
    official: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_annotations(source: Path) -> CocoFiles:
    """Return what is to be read of `source`: Karpathy's file goes before the official ones, whose
    splits it replaces.

    Raises DataError for OFA's files beside others, and for two files of one split.
    """
    tsv, karpathy = find_files(source, CAPTION_FILE), _karpathy(source)
    beside = list(dict.fromkeys(path for path, _ in _named_like_captions(source)))
    require_one_form(source, tsv, beside if karpathy is None else [karpathy, *beside])
    if tsv.of_split:
        return CocoFiles(tsv)
    if karpathy is not None:
        notes = (f"{path.name} is not read beside {karpathy.name}" for path in beside)
        return CocoFiles(tsv, karpathy, notes=(*notes, *tsv.notes))
    official, unread = _caption_files(source)
    return CocoFiles(tsv, official=official, notes=(*unread, *tsv.notes))


def _karpathy(source: Path) -> Path | None:
    """Return Karpathy's file. Raises DataError where there are two of them."""
    paths = [base / SPLIT_FILE for base in _bases(source) if (base / SPLIT_FILE).exists()]
    if len(paths) > 1 and not paths[0].samefile(paths[1]):
        both = " and ".join(str(path.relative_to(source)) for path in paths)
        raise DataError(f"both {both} are there", hint="move one of them away")
    return paths[0] if paths else None


def _bases(source: Path) -> tuple[Path, Path]:
    return source, source / "annotations"


def _named_like_captions(source: Path) -> list[tuple[Path, re.Match[str]]]:
    """Return the files that are named as the official ones are, by name."""
    paths = [path for base in _bases(source) for path in base.glob("captions_*")]
    matches = ((path, _CAPTION_FILE.fullmatch(path.name)) for path in paths)
    named = [(path, match) for path, match in matches if match is not None]
    return sorted(named, key=lambda each: each[0].name)


def _caption_files(source: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the caption file of each split, of the first year that has train and another, else the
    one file of a year; and notes on those that are not read. Raises DataError when two files are
    the same split's.
    """
    by_year: dict[str, dict[str, Path]] = {year: {} for year in YEARS}
    notes = []
    for path, match in _named_like_captions(source):
        split, year = split_of(match[1]), match[2]
        if split is None or year not in by_year:
            word = f"{match[1]!r} is no split" if split is None else f"{year} is no year"
            notes.append(f"{path.name} is not read: {word} that is known")
        elif not path.samefile(before := by_year[year].setdefault(split, path)):
            both = " and ".join(str(each.relative_to(source)) for each in (before, path))
            raise DataError(f"both {both} are the {split} split", hint="move one of them away")
    files = _of_one_year(list(by_year.values()))
    names = ", ".join(path.name for path in files.values())
    others = {path.name for year in by_year.values() for path in year.values()} - {
        path.name for path in files.values()
    }
    notes += [f"{name} is not read beside {names}" for name in sorted(others)]
    return files, tuple(notes)


def _of_one_year(by_year: Sequence[Mapping[str, Path]]) -> dict[str, Path]:
    for files in by_year:
        if "train" in files and len(files) > 1:
            return {split: files[split] for split in SPLITS if split in files}
    for files in by_year:
        for split in ("val", "train", "test"):
            if split in files:
                return {split: files[split]}
    return {}
