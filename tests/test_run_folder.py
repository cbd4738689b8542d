"""What goes from a run folder with the weights, or the head, that it was found with: mue's own."""

import os
from pathlib import Path

import pytest

from mue_cli.exits.catalogue import names
from mue_cli.experiment import clearing
from mue_cli.experiment.run_folder import Run

MINE = (
    *("thresholds-mine-backup.yaml", "thresholds.old.yaml", "calibration.notes.jsonl"),
    *("trials-of-mine.jsonl", "saturation-mine.npz", "notes-deebert.md", "plan-deebert.txt"),
)


@pytest.mark.parametrize("how", ["clear", "clear_results", "clear_method"])
def test_files_of_others_stay_whatever_they_are_called(copied_run: Run, how: str) -> None:
    for name in MINE:
        (copied_run.folder / name).write_text("mine")
    getattr(clearing, how)(copied_run, *(["deebert"] if how == "clear_method" else []))
    assert all((copied_run.folder / name).read_text() == "mine" for name in MINE)


def test_what_calibration_wrote_for_any_method_goes(copied_run: Run) -> None:
    run = copied_run
    written = [
        run.of_method(path, name)
        for path in (run.thresholds, run.calibration, run.trials, run.saturation)
        for name in names()
    ]
    for path in written:
        path.touch()
    clearing.clear_method(run, "deebert")
    gone = {path.name for path in written if not path.exists()}
    assert gone == {
        *("thresholds-deebert.yaml", "calibration-deebert.jsonl"),
        *("trials-deebert.jsonl", "saturation-deebert.npz"),
    }
    clearing.clear_results(run)
    assert not any(map(os.path.exists, written))


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("--recipe shapes-caption", "mue calibrate --recipe shapes-caption"),
        ("--recipe mine.yaml --set seed=1 --run r", "mue calibrate --run r"),
        ("", "mue calibrate --run r"),
    ],
)
def test_trained_run_is_meant_by_its_folder_where_settings_were_said(
    arguments: str, command: str
) -> None:
    assert Run(Path("r"), arguments).trained.command("calibrate") == command
