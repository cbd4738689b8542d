"""Rows that were made otherwise than the study says now are no seeds of the new ones."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from small_study import STUDY, evaluated, of_row, write_study

from mue_cli.errors import MissingStepError
from mue_cli.experiment.run_folder import Run
from mue_cli.study import entries, need, notes
from mue_cli.study.file import journal, keep, load
from mue_cli.study.settings import row_settings, training_of
from mue_cli.study.stale import stale

EDITED = STUDY.replace("exits.joint: 4, exits.decoder: 4", "exits.joint: 2, exits.decoder: 2")
TRAINED = STUDY.replace("training.steps: 6", "training.steps: 7")


class Place:
    """A study in a folder of its own, whose rows are written by hand."""

    def __init__(self, folder: Path) -> None:
        self.run, self._folder = Run(folder / "run"), folder

    def says(self, text: str) -> None:
        """Make the study say something; what was evaluated before stays."""
        self.study = load(write_study(self._folder, text))
        keep(self.run, self.study)

    def evaluates(self, seed: int, score: float, row: str = "static", **settings: object) -> None:
        """Evaluate a row as the study is now, but for settings that were noted otherwise."""
        name = self.study.rows[row].folder
        note = {**row_settings(self.study, row), **settings}
        each = of_row(row, score, id=f"{row}{seed}{score:g}")
        evaluated(self.run, seed, name, each)
        here, training = journal(self.run, seed), training_of(self.study, name)
        here.note(f"folder {name}", {"training": training, "finished": True})
        here.note(f"row {row}", {"settings": note, "evaluated": each.id})

    def scores(self) -> Mapping[int, float]:
        return {
            entry.seed: entry.record.score
            for entry in entries(self.run, "test")
            if entry.row == "static"
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.says(STUDY)
    for seed in (0, 1):
        place.evaluates(seed, 90.0 + seed)
    return place


def test_a_study_as_it_was_has_nothing_stale(place: Place) -> None:
    assert stale(place.run, "test") == []
    assert place.scores() == {0: 90.0, 1: 91.0}


@pytest.mark.parametrize(
    ("text", "key"), [(EDITED, "exits.decoder"), (TRAINED, "start.training.steps")]
)
def test_old_settings_are_no_seed_of_new_ones(place: Place, text: str, key: str) -> None:
    place.says(text)
    place.evaluates(0, 50.0)
    assert place.scores() == {0: 50.0}
    (old,) = stale(place.run, "test")
    assert (old.name, old.change.key, old.left_out) == ("static of seed 1", key, True)
    place.evaluates(1, 51.0)
    assert stale(place.run, "test") == [] and place.scores() == {0: 50.0, 1: 51.0}


def test_old_rows_that_are_alike_are_shown_and_named(place: Place) -> None:
    """No number is made of two settings; records of before a recipe changed are worth reading."""
    place.says(EDITED)
    assert place.scores() == {0: 90.0, 1: 91.0}
    assert [each.left_out for each in stale(place.run, "test")] == [False, False]
    first, _ = (note.text for note in notes(place.run, "test"))
    assert "exits.decoder 4" in first and "the study says 2" in first
    assert f"mue study {place.run.study}/study.yaml" in first


def test_two_kinds_of_old_rows_are_both_left_out(place: Place) -> None:
    place.evaluates(1, 80.0, target_reduction=0.5)
    place.says(EDITED)
    assert place.scores() == {}
    with pytest.raises(MissingStepError) as error:
        need(place.run, "test")
    assert (
        error.value.hint == f"run: mue study {place.run.study}/study.yaml --run {place.run.folder}"
    )


def test_data_that_were_prepared_otherwise_are_other_data(place: Place) -> None:
    """What they are is not known here, where none were prepared, but that they differ."""
    place.evaluates(1, 80.0, data="0f")
    assert place.scores() == {0: 90.0, 1: 80.0}, "of seed 0 nothing is known"
    place.evaluates(0, 70.0, data="1e")
    assert place.scores() == {0: 70.0}
    (note,) = notes(place.run, "test")
    assert note.text.startswith("static of seed 1 was made on other data: left out")


def test_rows_of_which_nothing_is_noted_are_kept(place: Place) -> None:
    for seed in (0, 1):
        journal(place.run, seed).path.unlink()
    place.says(EDITED)
    assert place.scores() == {0: 90.0, 1: 91.0} and notes(place.run, "test") == []


def test_other_splits_are_of_evaluations_of_their_own(place: Place) -> None:
    place.says(EDITED)
    assert stale(place.run, "val") == []


def test_table_leaves_them_out_and_names_row_and_command(mue, place: Place) -> None:
    for seed in (0, 1):
        place.evaluates(seed, 100.0, row="full")
    place.says(EDITED)
    place.evaluates(0, 50.0)
    shown = mue("table", 1, "--run", place.run.folder)
    (line,) = [each for each in shown.stdout.splitlines() if each.startswith("static  ")]
    assert line.split()[2:4] == ["50.0", "50.0%"], "one seed, no deviation"
    assert "static of seed 1 was made with exits.decoder 4.0, where the study says" in shown.stdout
    assert "static of seed 1; `mue study" in shown.stderr
    other = mue("table", 4, "--run", place.run.folder)
    assert "static" not in other.stdout + other.stderr, "it has no row there"
    drawn = mue("plot", "tradeoff", "--run", place.run.folder)
    assert "note: static of seed 1 was made with" in drawn.stderr
    page = mue("report", "--run", place.run.folder)
    assert page.code == 0
    assert "static of seed 1 was made with" in (place.run.folder / "report.html").read_text()
