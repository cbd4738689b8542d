"""`evaluate`, `calibrate` and `study` by several processes: what one process alone finds, written once, said
once; and the end of one is the end of all.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.run_folder import Run, read_traces, records

TESTS = Path(__file__).parent
SETTINGS = ("evaluation.samples=5", "calibration.samples=5", "evaluation.timed_samples=1")

WORK = """
import sys
from mue_cli.experiment.experiment import Experiment
for folder in sys.argv[2:]:
    experiment = Experiment.open(run=folder, overrides=sys.argv[1].split())
    card = experiment.calibrate(0.2)
    experiment.evaluate(split="val")
    experiment.processes.first(lambda: print(card.passes))
"""
COMMAND = """
import os, sys
import mue_cli.experiment.evaluate, mue_cli.experiment.finetune
from mue_cli.errors import DataError
mishap = sys.argv.pop()
def spoiled(*_, **__):
    exec(mishap)
if os.environ["RANK"] == "1":
    mue_cli.experiment.evaluate.predict = mue_cli.experiment.finetune.predict = spoiled
from mue_cli.__main__ import main
main()
"""


def launch(script: str, *words: object, count: int = 2) -> list[tuple[int, str, str]]:
    """Run a script in so many processes, as torchrun does; return code, answer and talk of each."""
    around = {
        **os.environ,
        "PATH": "",  # without Java: METEOR takes seconds to start
        "PYTHONPATH": f"{TESTS.parent}:{TESTS}",
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(30100 + os.getpid() % 500),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, *map(str, words)],
            env={**around, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [process.communicate(timeout=300) for process in started]
    return [(process.returncode, *each) for process, each in zip(started, said, strict=True)]


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
    first, second = launch(WORK, " ".join(SETTINGS), *folders)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert first[1].split("\n")[:2] == [str(each) for each in passes], "no sample twice, none lost"
    for name in sources:
        one, two = tmp_path / "one" / name, tmp_path / "two" / name
        assert result(one) == result(two)
        limits = [Experiment.open(run=each).thresholds("mue") for each in (one, two)]
        assert limits[0] == pytest.approx(limits[1], abs=1e-5)
        assert len(Run(two).promises.read_text().splitlines()) == 1, "one process writes"


def test_a_mistake_of_any_process_is_said_once_by_the_first(copied_run: Run) -> None:
    mistake = "raise DataError('picture 3 is damaged', 'fetch it anew')"
    first, second = launch(
        COMMAND, "evaluate", "--run", copied_run.folder, "--method", "full", mistake
    )
    assert (first[0], second[0]) == (2, 2)
    assert first[2].splitlines()[-2:] == ["error: picture 3 is damaged", "hint: fetch it anew"]
    assert second[1:] == ("", "")
    assert first[1] == ""


DEATH = "os.kill(os.getpid(), 9)"


def test_a_process_that_is_killed_ends_all_with_one_line(copied_run: Run) -> None:
    before = copied_run.records.read_text()
    first, second = launch(
        COMMAND, "evaluate", "--run", copied_run.folder, "--method", "full", DEATH
    )
    assert (first[0], second[0]) == (2, -9)
    assert "error: another of the processes ended, and this one with it" in first[2]
    assert "Traceback" not in first[2]
    assert copied_run.records.read_text() == before


def test_a_training_whose_process_is_killed_says_how_to_go_on(tiny_settings, tmp_path) -> None:
    """Killed in the validation after step 2; the state of step 1 is kept."""
    run = tmp_path / "run"
    every = ["--set", "training.checkpoint_every=1"]
    first, second = launch(COMMAND, "finetune", *tiny_settings, *every, "--run", run, DEATH)
    assert (first[0], second[0]) == (2, -9)
    assert "Traceback" not in first[2]
    assert first[2].splitlines()[-2].startswith("error: another of the processes ended")
    assert first[2].splitlines()[-1].endswith("--resume")
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
    first, second = launch("from mue_cli.__main__ import main; main()", *words)
    assert (first[0], second) == (0, (0, "", "")), first[2]
    assert first[1].count("$ mue finetune") == 2
    assert "all is done" in mue(*words, "--dry-run").stderr
    folder = Run(tmp_path / "run" / "study" / "seed-0" / "full")
    found = [(each.row, each.point) for each in records(folder)]
    assert [row for row, point in found if point is None] == ["full", "deebert", None]
    assert len(found) == len(set(found)), "no point of the curve twice"
    for log in (folder.train_log, folder.second_log("deebert")):
        assert len(log.read_text().splitlines()) == 4, "a line per step"
