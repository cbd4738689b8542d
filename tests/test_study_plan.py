"""The command lines of a study, and which of them are still to be run."""

import json
import secrets
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from small_study import STUDY, evaluated, of_row, record, write_study

from mue_cli.data.store.manifest import Manifest, write_manifest
from mue_cli.errors import DataError, RecipeError
from mue_cli.experiment.run_folder import Run
from mue_cli.study.file import load, seed_folder, trained_run
from mue_cli.study.fingerprint import fingerprint
from mue_cli.study.plan import RowPlan, plan

ROWS = ("full", "static", "deebert", "mue", "oracle")


class Place:
    """A study in a folder of its own, whose lines are run by pretending."""

    def __init__(self, folder: Path) -> None:
        self.run = Run(folder / "run")
        self.file = write_study(folder)

    def plans(
        self,
        *rows: str,
        text: str = STUDY,
        seeds: tuple[int, ...] = (0,),
        overrides: tuple[str, ...] = (),
    ) -> list[RowPlan]:
        self.file.write_text(text, encoding="utf-8")
        return plan(load(self.file, overrides), self.run, seeds, rows or ROWS)

    def lines(self, *rows: str, **options: object) -> list[str]:
        """Return the command lines, with the study's folder as RUN."""
        text = [
            shlex.join(line.words) for row in self.plans(*rows, **options) for line in row.tasks
        ]  # type: ignore[arg-type]
        return [line.replace(str(self.run.study), "RUN") for line in text]

    def carry_out(self, *rows: str, last: int | None = None, **options: object) -> None:
        """Do as the first `last` lines would, and note that they ended well."""
        lines = [line for row in self.plans(*rows, **options) for line in row.tasks]  # type: ignore[arg-type]
        journal = self.plans(*rows, **options)[0].journal  # type: ignore[arg-type]
        for line in lines[:last]:
            journal.note(line.key, line.begun)
            pretend(line.words)
            journal.note(line.key, line.finished())

    def folder(self, name: str) -> Run:
        return trained_run(self.run, 0, name)


def option(words: tuple[str, ...], name: str) -> str:
    return words[words.index(name) + 1]


def pretend(words: tuple[str, ...]) -> None:
    """Leave behind what a line would."""
    here, method = Run(Path(option(words, "--run"))), option(words, "--method")
    here.folder.mkdir(parents=True, exist_ok=True)
    if words[0] == "finetune" and method == "deebert":
        (here.folder / "deebert.safetensors").touch()
    elif words[0] == "finetune":
        here.checkpoint.write_text(secrets.token_hex(4), encoding="utf-8")
        here.last_state.touch()
    elif words[0] == "evaluate":
        study = Run(here.folder.parent.parent.parent)
        row = of_row(option(words, "--row"), method=method, id=secrets.token_hex(4))
        evaluated(study, 0, here.folder.name, row, record("full", id=row.id))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_lines_of_a_study(place: Place) -> None:
    assert place.lines() == [
        "finetune --recipe shapes-caption --run RUN/seed-0/start --seed 0 --method full"
        " --set training.steps=6 --set training.layer_loss=last --set model.decompose=false",
        "finetune --recipe shapes-caption --run RUN/seed-0/full --seed 0 --method full --weights RUN/seed-0/start"
        " --set training.steps=4 --set model.decompose=false",
        "evaluate --recipe shapes-caption --run RUN/seed-0/full --method full --row full --split test",
        "evaluate --recipe shapes-caption --run RUN/seed-0/full --method static --row static --split test --sweep"
        " --set exits.joint=4 --set exits.decoder=4",
        "finetune --recipe shapes-caption --run RUN/seed-0/full --seed 0 --method deebert --set training.steps=3",
        "calibrate --recipe shapes-caption --run RUN/seed-0/full --method deebert --target-reduction 0.15",
        "evaluate --recipe shapes-caption --run RUN/seed-0/full --method deebert --row deebert --split test --sweep",
        "finetune --recipe shapes-caption --run RUN/seed-0/mue --seed 0 --method mue --weights RUN/seed-0/start --set training.steps=4",
        "calibrate --recipe shapes-caption --run RUN/seed-0/mue --method mue --target-reduction 0.4 --set exits.tau=2",
        "evaluate --recipe shapes-caption --run RUN/seed-0/mue --method mue --row mue --split test --sweep --set exits.tau=2",
        "evaluate --recipe shapes-caption --run RUN/seed-0/mue --method oracle --row oracle --split test",
    ]


def test_one_row_trains_only_what_it_needs(place: Place) -> None:
    words = [
        line.split()[0] + " " + line.split()[4].removeprefix("RUN/")
        for line in place.lines("oracle")
    ]
    assert words == ["finetune seed-0/start", "finetune seed-0/mue", "evaluate seed-0/mue"]


def test_every_seed_has_all_its_lines(place: Place) -> None:
    once, twice = place.lines(seeds=(3,)), place.lines(seeds=(3, 5))
    assert twice == once + [
        line.replace("seed-3", "seed-5").replace("--seed 3", "--seed 5") for line in once
    ]


def test_overrides_stand_in_every_line_and_replace_the_studys_own(place: Place) -> None:
    lines = place.lines(overrides=("training.steps=9", "evaluation.samples=4"))
    assert all(line.endswith("--set training.steps=9 --set evaluation.samples=4") for line in lines)
    assert not [line for line in lines if "training.steps=6" in line]


def test_row_without_a_target_takes_the_recipes(place: Place) -> None:
    calibrate = place.lines("mue", text=STUDY.replace("target_reduction: 0.4, ", ""))[2]
    assert (
        calibrate
        == "calibrate --recipe shapes-caption --run RUN/seed-0/mue --method mue --set exits.tau=2"
    )


def test_nothing_is_left_when_all_is_done(place: Place) -> None:
    place.carry_out()
    assert place.lines() == []


def test_study_that_was_moved_is_still_done(place: Place, tmp_path: Path) -> None:
    place.carry_out()
    place.run.folder.rename(tmp_path / "elsewhere")
    place.run = Run(tmp_path / "elsewhere")
    assert place.lines() == []


@pytest.mark.parametrize("last", range(12))
def test_study_that_was_stopped_goes_on_with_the_row_it_was_in(place: Place, last: int) -> None:
    """Lines of a row that is not whole run again; trainings, the second stage among them, do not."""
    whole = place.lines()
    place.carry_out(last=last)

    assert place.lines() == whole[{6: 5, 9: 8}.get(last, last) :]


def test_training_that_was_cut_short_is_resumed(place: Place) -> None:
    first = place.lines()[0]
    place.folder("start").folder.mkdir(parents=True)
    place.folder("start").last_state.touch()
    assert place.lines()[0] == f"{first} --resume"


def test_training_anew_that_was_cut_short_is_resumed(place: Place) -> None:
    first, start = place.lines()[0], place.folder("start")
    start.beside.folder.mkdir(parents=True)
    start.checkpoint.touch()
    start.beside.last_state.touch()
    assert place.lines()[0] == f"{first} --resume"


def test_training_that_left_weights_but_no_state_starts_anew(place: Place) -> None:
    first = place.lines()[0]
    place.folder("start").folder.mkdir(parents=True)
    place.folder("start").checkpoint.touch()
    assert place.lines()[0] == f"{first} --force"


def test_second_stage_that_was_cut_short_starts_anew(place: Place) -> None:
    whole = place.lines()
    place.carry_out(last=4)
    (place.folder("full").folder / "deebert.safetensors").touch()
    assert place.lines() == [f"{whole[4]} --force", *whole[5:]]


def test_second_stage_of_another_backbone_starts_anew_and_so_do_the_rows(place: Place) -> None:
    whole = place.lines()
    place.carry_out(last=5)
    place.folder("full").checkpoint.write_text("others", encoding="utf-8")
    assert place.lines() == [*whole[2:4], f"{whole[4]} --force", *whole[5:]]


def test_rows_of_weights_that_are_others_now_are_evaluated_again(place: Place) -> None:
    place.carry_out()
    place.folder("mue").checkpoint.write_text("others", encoding="utf-8")
    assert [line.split()[0] for line in place.lines()] == ["calibrate", "evaluate", "evaluate"]


def test_fingerprint_tells_files_apart_by_size_and_content(tmp_path: Path) -> None:
    large, path = bytes(range(256)) * 40_000, tmp_path / "weights"
    found = []
    for content in (b"", b"a", b"b", b"aa", large, large[:-1] + b"x", b"x" + large[1:]):
        path.write_bytes(content)
        found.append(fingerprint(path))
    assert len(set(found)) == len(found) and fingerprint(path) == found[-1]
    assert fingerprint(tmp_path / "none") is None


def test_start_is_not_trained_again_when_nothing_begins_from_it(place: Place) -> None:
    place.carry_out()
    for path in place.folder("start").folder.iterdir():
        path.unlink()
    assert place.lines() == []


def test_row_whose_record_is_gone_is_evaluated_again(place: Place) -> None:
    whole = place.lines()
    place.carry_out()
    place.folder("mue").records.unlink()
    assert place.lines() == whole[8:]


def test_row_whose_target_changed_is_evaluated_again(place: Place) -> None:
    place.carry_out()
    other = STUDY.replace("0.4", "0.5")
    assert [line.split()[0] for line in place.lines(text=other)] == ["calibrate", "evaluate"]
    place.carry_out(text=other)
    assert place.lines(text=other) == []
    assert len(place.lines()) == 2


def test_rows_of_a_folder_that_is_trained_again_are_evaluated_again(place: Place) -> None:
    """Training removes the records of earlier weights."""
    whole = place.lines()
    place.carry_out()
    place.folder("full").checkpoint.unlink()
    place.folder("full").last_state.unlink()
    lines = (place.folder("full").records).read_text(encoding="utf-8").splitlines(keepends=True)
    place.folder("full").records.write_text(
        "".join(line for line in lines if "static" not in line), encoding="utf-8"
    )
    assert place.lines()[:3] == [whole[1], whole[2], whole[3]]


def test_training_that_is_not_the_studys_any_more_is_refused(place: Place) -> None:
    place.carry_out()
    with pytest.raises(RecipeError) as caught:
        place.lines(
            "mue",
            text=STUDY.replace(
                "mue, settings: {training.steps: 4", "mue, settings: {training.steps: 5"
            ),
        )
    assert (
        caught.value.message
        == f"`{place.folder('mue').folder}` was trained with training.steps 4, now it is 5"
    )
    assert caught.value.hint == "remove that folder to train it anew, or name another with --run"


def test_training_from_another_start_is_refused_although_the_start_is_gone(place: Place) -> None:
    place.carry_out()
    for path in place.folder("start").folder.iterdir():
        path.unlink()
    with pytest.raises(
        RecipeError, match=r"mue` was trained with start.training.steps 6, now it is 8"
    ):
        place.lines("oracle", text=STUDY.replace("training.steps: 6", "training.steps: 8"))


def test_folder_that_was_removed_is_trained_anew(place: Place) -> None:
    place.carry_out()
    for path in place.folder("mue").folder.iterdir():
        path.unlink()
    other = STUDY.replace("mue, settings: {training.steps: 4", "mue, settings: {training.steps: 5")
    assert [line.split()[0] for line in place.lines(text=other)] == [
        "finetune",
        "calibrate",
        "evaluate",
        "evaluate",
    ]


def test_journal_edited_into_nonsense_is_named(place: Place) -> None:
    path = seed_folder(place.run, 0) / "finished.json"
    path.parent.mkdir(parents=True)
    for text, what in (
        ("{", "is not JSON, or cut short"),
        (json.dumps([1]), "is [1], expected a mapping of keys to values"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError) as caught:
            place.lines()
        assert caught.value.message == f"`{path}` {what}"
        assert caught.value.hint == "remove it: what is trained stays, rows are evaluated again"


@pytest.fixture
def own_recipe(tmp_path: Path) -> Path:
    """Return a recipe file that a test may change."""
    path = tmp_path / "own.yaml"
    data = tmp_path / "data"
    path.write_text(
        f"name: own\ntask: caption\ndata: {{root: {data}}}\nsearch: {{beam: 2}}\n", encoding="utf-8"
    )
    return path


@pytest.mark.parametrize(
    ("old", "new", "commands"),
    [
        ("beam: 2", "beam: 3", "evaluate evaluate calibrate evaluate calibrate evaluate evaluate"),
        (
            "search: {beam: 2}",
            "search: {beam: 2}\ncalibration: {samples: 9}",
            "evaluate evaluate calibrate evaluate calibrate evaluate evaluate",
        ),
    ],
)
def test_rows_are_done_again_when_the_recipe_behind_them_changed(
    place: Place, own_recipe: Path, old: str, new: str, commands: str
) -> None:
    text = STUDY.replace("recipe: shapes-caption", f"recipe: {own_recipe}")
    place.carry_out(text=text)
    assert place.lines(text=text) == []
    own_recipe.write_text(
        own_recipe.read_text(encoding="utf-8").replace(old, new), encoding="utf-8"
    )
    assert " ".join(line.split()[0] for line in place.lines(text=text)) == commands
    place.carry_out(text=text)
    assert place.lines(text=text) == []


def test_what_was_done_before_a_setting_existed_stays_done(place: Place, own_recipe: Path) -> None:
    """A setting that an older version did not have was at its default, in folders, starts, rows and
    second stages; at another value it is a change like any other.
    """
    text = STUDY.replace("recipe: shapes-caption", f"recipe: {own_recipe}")
    place.carry_out(text=text)
    journal = place.plans("full", text=text)[0].journal

    def older(value: object) -> object:
        if not isinstance(value, dict):
            return value
        new = ("shuffled_pictures", "rotating_layers")
        return {key: older(each) for key, each in value.items() if key not in new}

    for key, note in journal.notes().items():
        assert older(note) != note or "evaluated" not in str(note)
        journal.note(key, older(note))
    assert place.lines(text=text) == []
    own_recipe.write_text(
        own_recipe.read_text(encoding="utf-8") + "\nevaluation: {shuffled_pictures: true}\n",
        encoding="utf-8",
    )
    assert {line.split()[0] for line in place.lines(text=text)} == {"calibrate", "evaluate"}


def test_row_may_have_a_control_of_its_own(place: Place) -> None:
    text = STUDY.replace("exits.tau: 2", "exits.tau: 2, evaluation.shuffled_pictures: true")
    with_control = [line for line in place.lines(text=text) if "shuffled" in line]
    assert all("--method mue" in line for line in with_control)
    assert any(line.startswith("evaluate") for line in with_control)


def test_second_stage_whose_training_changed_in_the_recipe_is_trained_again(
    place: Place, own_recipe: Path
) -> None:
    """Folders that were trained otherwise are refused, so the heads alone are looked at."""
    text = STUDY.replace("recipe: shapes-caption", f"recipe: {own_recipe}")
    place.carry_out(text=text)
    journal = place.plans("full", text=text)[0].journal
    note = journal.notes()["heads deebert of full"]
    assert isinstance(note, dict)
    other = {**note["training"], "clip_norm": 9.0}
    journal.note("heads deebert of full", note | {"training": other})
    row = journal.notes()["row deebert"]
    assert isinstance(row, dict)
    journal.note("row deebert", row | {"settings": row["settings"] | {"second_stage": other}})
    first, *rest = place.lines(text=text)
    assert (
        first.startswith("finetune ") and "--method deebert" in first and first.endswith("--force")
    )
    assert [line.split()[0] for line in rest] == ["calibrate", "evaluate"]


def test_rows_are_done_again_when_the_data_was_prepared_anew(
    place: Place, own_recipe: Path, tmp_path: Path
) -> None:
    text = STUDY.replace("recipe: shapes-caption", f"recipe: {own_recipe}")
    (tmp_path / "data").mkdir()
    made = Manifest("shapes", {"caption": {"test": {"images": 4, "captions": 4}}}, 4, "yesterday")
    write_manifest(made, tmp_path / "data")
    place.carry_out(text=text)
    fingerprints = {"images/data-00000.arrow": "5"}  # former manifests have none
    again = replace(made, prepared="today", shard_fingerprints=fingerprints)
    write_manifest(again, tmp_path / "data")
    assert place.lines(text=text) == []
    write_manifest(replace(made, checksums={"images": "5"}), tmp_path / "data")
    assert len(place.lines(text=text)) == 7


def test_row_is_done_although_others_evaluated_its_method_there(place: Place) -> None:
    place.carry_out()
    evaluated(place.run, 0, "mue", record("mue", tau=2.0, precision="int8"))
    assert place.lines() == []
