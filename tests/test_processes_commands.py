"""`evaluate`, `calibrate` and `study` by several processes: what one process alone finds, written once, said
once; and the end of one is the end of all.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer
from forked import launched

from mue_cli.__main__ import main
from mue_cli.errors import DataError
from mue_cli.evaluation.predict import predict
from mue_cli.experiment import finetune, points
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.run_folder import Run, read_traces, records

SETTINGS = (
    "evaluation.samples=5",
    "calibration.samples=5",
    "evaluation.timed_samples=1",
    "evaluation.shuffled_pictures=true",
)


def command(*words: object, mishap: Callable[[], object] | None = None) -> Callable[[], None]:
    """Return the work of a process that is given a command line. mishap: what becomes of the second
    process when it predicts.
    """

    def work() -> None:
        if mishap is not None and os.environ["RANK"] == "1":
            for module in (points, finetune):
                assert module.predict is predict, "it predicts by that name"
                module.predict = lambda *_, **__: mishap()  # type: ignore[assignment]
        sys.argv[1:] = map(str, words)
        main()

    return work


def result(folder: Path) -> tuple:
    """Return what an evaluation and a calibration left that no clock has a part in."""
    run = Run(folder)
    points = [
        (each.method, each.scores, each.num_samples, each.costs["expected"], each.costs["flops"])
        for each in records(run)
    ]
    answers = json.loads(run.predictions.read_text())
    for each in answers:
        del each["evaluation"]
    return points, read_traces(run).traces, answers


def test_two_processes_find_what_one_does(tiny_run, tiny_demo, tmp_path, monkeypatch) -> None:
    """Captions and a closed set; five samples for two processes."""
    monkeypatch.setenv("PATH", "")
    sources = {"captions": tiny_run.folder, "pairs": next(tiny_demo[1].glob("**/last.pt")).parent}
    for name, source in sources.items():
        for way in ("one", "two"):
            shutil.copytree(source, tmp_path / way / name)
            for path in (tmp_path / way / name).glob("*.jsonl"):
                path.unlink()
    passes = []
    for name in sources:
        experiment = Experiment.open(run=tmp_path / "one" / name, overrides=SETTINGS)
        passes.append(experiment.calibrate(0.2).passes)
        experiment.evaluate(split="val")
    folders = [tmp_path / "two" / name for name in sources]

    def work() -> None:
        for folder in folders:
            experiment = Experiment.open(run=folder, overrides=SETTINGS)
            card = experiment.calibrate(0.2)
            experiment.evaluate(split="val")
            experiment.processes.first(lambda card=card: print(card.passes))

    first, second = launched(work, 2)
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert first.stdout.split("\n")[:2] == [str(each) for each in passes], (
        "no sample twice, none lost"
    )
    for name in sources:
        one, two = tmp_path / "one" / name, tmp_path / "two" / name
        assert result(one) == result(two)
        limits = [Experiment.open(run=each).thresholds("mue") for each in (one, two)]
        assert limits[0] == pytest.approx(limits[1], abs=1e-5)
        assert len(Run(two).promises.read_text().splitlines()) == 1, "one process writes"


def damaged() -> None:
    raise DataError("picture 3 is damaged", "fetch it anew")


def killed() -> None:
    os.kill(os.getpid(), 9)


def test_a_mistake_of_any_process_is_said_once_by_the_first(copied_run: Run) -> None:
    words = ["evaluate", "--run", copied_run.folder, "--method", "full"]
    first, second = launched(command(*words, mishap=damaged), 2)
    assert (first.code, second.code) == (2, 2)
    said = first.stderr.splitlines()
    assert said[-2:] == ["error: picture 3 is damaged", "hint: fetch it anew"]
    assert (second.stdout, second.stderr) == ("", "")
    assert first.stdout == ""


def test_a_process_that_is_killed_ends_all_with_one_line(copied_run: Run) -> None:
    before = copied_run.records.read_text()
    words = ["evaluate", "--run", copied_run.folder, "--method", "full"]
    first, second = launched(command(*words, mishap=killed), 2)
    assert (first.code, second.code) == (2, -9)
    assert "error: another of the processes ended, and this one with it" in first.stderr
    assert "Traceback" not in first.stderr
    assert copied_run.records.read_text() == before


def test_a_training_whose_process_is_killed_says_how_to_go_on(tiny_settings, tmp_path) -> None:
    """Killed in the validation after step 2; the state of step 1 is kept."""
    run = tmp_path / "run"
    every = ["--set", "training.checkpoint_every=1"]
    words = ["finetune", *tiny_settings, *every, "--run", run]
    first, second = launched(command(*words, mishap=killed), 2)
    assert (first.code, second.code) == (2, -9)
    assert "Traceback" not in first.stderr
    assert first.stderr.splitlines()[-2].startswith("error: another of the processes ended")
    assert first.stderr.splitlines()[-1].endswith("--resume")
    assert (run / "last.pt").exists()


STUDY = """
name: little
recipe: shapes-caption
seeds: [0]
folders:
  full: {start: null, settings: {training.steps: 2}}
rows:
  full: {folder: full, method: full}
  deebert: {folder: full, method: deebert, target_reduction: 0.1, second_stage: {training.steps: 2}}
"""


def test_a_study_is_carried_out_once_by_all(mue, tiny_settings, tmp_path: Path) -> None:
    """A training, heads on it, a calibration and evaluations, one after the other."""
    (tmp_path / "little.yaml").write_text(STUDY)
    words = ["study", tmp_path / "little.yaml", *tiny_settings, "--run", tmp_path / "run"]
    first, second = launched(command(*words), 2)
    assert (first.code, second) == (0, Answer(0, "", "")), first.stderr
    assert first.stdout.count("$ mue finetune") == 2
    assert "all is done" in mue(*words, "--dry-run").stderr
    folder = Run(tmp_path / "run" / "study" / "seed-0" / "full")
    found = [(each.row, each.point) for each in records(folder)]
    assert [row for row, point in found if point is None] == ["full", "deebert", None]
    assert len(found) == len(set(found)), "no point of the curve twice"
    for log in (folder.train_log, folder.second_log("deebert")):
        assert len(log.read_text().splitlines()) == 4, "a line per step"
