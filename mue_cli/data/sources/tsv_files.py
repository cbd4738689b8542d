"""Which of OFA's tab-separated files are read: one for each split."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mue_cli.data.rows import SPLITS
from mue_cli.data.sources.names import split_of
from mue_cli.errors import DataError

CAPTION_FILE = re.compile(r"caption_(?:stage(?P<stage>[0-9])_)?(?P<split>\w+)\.tsv", re.IGNORECASE)
PAIR_FILE = re.compile(r"snli_ve_(?P<split>\w+)\.tsv", re.IGNORECASE)


@dataclass(frozen=True)
class TsvFiles:
    """The file of each split that is there. notes: on files that are not read."""

    of_split: Mapping[str, Path]
    notes: tuple[str, ...] = ()


def find_files(source: Path, pattern: re.Pattern[str]) -> TsvFiles:
    """Return the files of `source` that are named so, maybe none. Stage 2 has each picture once
    with all its captions, stage 1 a line for each caption: the higher one is read.

    Raises DataError when two files are the same split's, one of them without a stage included.
    """
    of_split: dict[str, dict[str, Path]] = {}
    notes = []
    for path in sorted(source.glob("*")):
        if (match := pattern.fullmatch(path.name)) is None:
            continue
        split, stage = split_of(match["split"]), match.groupdict().get("stage") or ""
        if split is None:
            notes.append(f"{path.name} is not read: {match['split']!r} is no split that is known")
            continue
        stages = of_split.setdefault(split, {})
        if stages and (stage in stages or "" in (stage, *stages)):
            before = stages.get(stage) or next(iter(stages.values()))
            raise DataError(
                f"both {before.name} and {path.name} are the {split} split",
                hint="move one of them away",
            )
        stages[stage] = path
    files = {split: _highest(of_split[split], notes) for split in SPLITS if split in of_split}
    return TsvFiles(files, tuple(notes))


def require_one_form(source: Path, tsv: TsvFiles, others: Iterable[Path]) -> None:
    """Raise DataError where OFA's files lie beside annotations of another form: they may hold
    different pictures and splits, and nobody said which are meant.
    """
    names = ", ".join(path.name for path in others)
    if tsv.of_split and names:
        own = ", ".join(path.name for path in tsv.of_split.values())
        raise DataError(
            f"{source} holds annotations in two forms: OFA's {own} and {names}",
            hint="move one of the two away, or name a folder with --source that holds one",
        )


def _highest(stages: Mapping[str, Path], notes: list[str]) -> Path:
    """Return the file of the highest stage; the notes gain the others."""
    *others, highest = (stages[stage] for stage in sorted(stages))
    notes += [f"{path.name} is not read beside {highest.name}" for path in others]
    return highest
