"""Stale records: rows of a study that were trained or evaluated otherwise than it says now. Beside
new ones they would be averaged as if they were other seeds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mue_cli.experiment.run_folder import Run
from mue_cli.reports.entries import row_title
from mue_cli.schema.schema import show
from mue_cli.study.file import journal, kept, seeds, study_command
from mue_cli.study.journal import Change, first_change
from mue_cli.study.parts import SPLIT, Study
from mue_cli.study.settings import row_settings, training_of

_Noted = tuple[Mapping[str, object], Mapping[str, object]]
"""The training of a row's folder, and the row's settings; each empty where nothing was noted."""


@dataclass(frozen=True)
class Stale:
    """A row of one seed that is not what the study says now. change: the first setting that is not.
    left_out: from tables and figures; kept where no seed is newer and all are alike.
    """

    row: str
    seed: int
    change: Change
    left_out: bool

    @property
    def name(self) -> str:
        return f"{self.row} of seed {self.seed}"

    def in_words(self, run: Run) -> str:
        """Return what is stale, why, what became of it, and the command that mends it."""
        fate = "left out" if self.left_out else "shown all the same, as all its seeds are alike"
        change = self.change
        how = (
            "on other data"
            if change.key == "data"
            else f"with {change.key} {show(change.before)}, where the study says "
            f"{show(change.now)} now"
        )
        return (
            f"{row_title(self.row)} of seed {self.seed} was made {how}: {fate}. "
            f"`{study_command(run)}` makes it anew."
        )


def stale(run: Run, split: str) -> list[Stale]:
    """Return the rows of all seeds that were made otherwise than the run's study says now; nothing
    of a split that studies do not evaluate, of which nothing is noted.
    """
    study = kept(run)
    if study is None or split != SPLIT:
        return []
    return [each for name in study.rows for each in _of_row(study, run, name)]


def _of_row(study: Study, run: Run, name: str) -> Iterator[Stale]:
    noted = {
        seed: each for seed in seeds(run) if (each := _noted(study, run, seed, name)) is not None
    }
    now = training_of(study, study.rows[name].folder), _row_now(study, name, noted.values())
    changes = {seed: _first_change(each, now) for seed, each in noted.items()}
    first = next(iter(noted.values()), None)
    alike = all(first is None or _first_change(first, each) is None for each in noted.values())
    mixed = None in changes.values() or not alike
    for seed, change in changes.items():
        if change is not None:
            yield Stale(name, seed, change, left_out=mixed)


def _row_now(study: Study, name: str, noted: Iterable[_Noted]) -> Mapping[str, object]:
    """Return a row's settings as the study says them. Data that are not prepared here are those
    that its first seed was evaluated on.
    """
    settings = row_settings(study, name)
    known = (own["data"] for _, own in noted if own.get("data"))
    return settings if settings["data"] else {**settings, "data": next(known, None)}


def _noted(study: Study, run: Run, seed: int, name: str) -> _Noted | None:
    """Return what a seed's journal notes of a row that was evaluated, None before."""
    notes = journal(run, seed).notes()
    row, folder = notes.get(f"row {name}"), notes.get(f"folder {study.rows[name].folder}")
    if not isinstance(row, Mapping) or not row.get("evaluated"):
        return None
    return _mapping(folder, "training"), _mapping(row, "settings")


def _mapping(note: object, key: str) -> Mapping[str, object]:
    value = note.get(key) if isinstance(note, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _first_change(noted: _Noted, now: _Noted) -> Change | None:
    """Return the first setting that differs; what one side does not know is no difference."""
    changes = (_change(before, after) for before, after in zip(noted, now, strict=True))
    return next((each for each in changes if each is not None), None)


def _change(before: Mapping[str, object], after: Mapping[str, object]) -> Change | None:
    if not (before and after):
        return None
    if None in (before.get("data"), after.get("data")):  # not prepared here
        before, after = ({**each, "data": None} for each in (before, after))
    return first_change(before, after)
