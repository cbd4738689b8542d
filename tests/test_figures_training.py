"""The figure of a training: what the log says is drawn, and what it does not say is left out."""

import json
from pathlib import Path

import numpy as np
import pytest
from figure_reading import lines, texts

from mue_cli.errors import DataError, MissingStepError
from mue_cli.experiment.run_folder import Run
from mue_cli.reports.figures.training import smoothed, training_figure, trainings_figure
from mue_cli.reports.training_log import read_training_log


def log(path: Path, *steps: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(step) + "\n" for step in steps), encoding="utf-8")
    return path


def step(number: int, loss: float, **more: object) -> dict[str, object]:
    about = {"num_steps": 4, "learning_rate": 0.1, "samples": 32, "seconds": 0.5, "memory_mb": 900}
    return {"step": number, "loss": loss, "losses": [2 * loss, loss], **about, **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return log(
        tmp_path / "train.jsonl",
        step(1, 3.0),
        step(2, 2.0, score=10.0),
        step(3, 1.5, losses=[None, 1.5]),
        step(4, 1.0, score=12.5),
    )


def test_losses_scores_speed_and_memory_are_those_of_the_log(path: Path) -> None:
    losses, scores, speed, memory = training_figure(read_training_log(path), "CIDEr", "mue").axes
    drawn = lines(losses)
    assert drawn["layer 2"] == drawn["trained on"] == [[1, 3.0], [2, 2.0], [3, 1.5], [4, 1.0]]
    assert drawn["layer 1"][1] == [2, 4.0] and np.isnan(drawn["layer 1"][2][1])
    assert lines(scores)["validation"] == [[2, 10.0], [4, 12.5]]
    assert lines(scores)["best"] == [[4, 12.5]] and scores.get_title() == "best 12.5 at step 4"
    assert {rate for _, rate in lines(speed)["samples / s"]} == {64.0}
    assert {size for _, size in lines(memory)["memory (MB)"]} == {900.0}


def test_training_without_a_validation_yet_is_drawn(tmp_path: Path) -> None:
    found = read_training_log(log(tmp_path / "a", {"step": 1, "loss": 2.0}))
    losses, *_ = training_figure(found, "CIDEr", "mue").axes
    assert list(lines(losses)) == ["trained on"]
    assert "no validation yet" in texts(losses.figure)


def test_several_trainings_have_a_line_each_in_every_panel(path: Path, tmp_path: Path) -> None:
    other = log(tmp_path / "other.jsonl", step(1, 5.0, samples=64), step(2, 4.0))
    logs = {"one": read_training_log(path), "other": read_training_log(other)}
    loss, scores, speed, memory = trainings_figure(logs, "CIDEr").axes
    assert lines(loss) == {
        "one": [[1, 3.0], [2, 2.0], [3, 1.5], [4, 1.0]],
        "other": [[1, 5.0], [2, 4.0]],
    }
    assert lines(scores) == {"one": [[2, 10.0], [4, 12.5]]}, "the other was not validated"
    assert {rate for _, rate in lines(speed)["one"]} == {64.0}
    assert lines(speed)["other"][0] == [1, 128.0]
    assert list(lines(memory)) == ["one", "other"]
    assert "2 trainings, up to 4 steps" in texts(loss.figure)


def test_plot_training_draws_other_runs_beside(mue, tiny_run: Run, tmp_path: Path) -> None:
    other, same_name = tmp_path / "other", tmp_path / "b" / tiny_run.folder.name
    for folder in (other, same_name):
        folder.mkdir(parents=True)
        log(folder / "train.jsonl", step(1, 5.0))
    words = ("plot", "training", "--run", tiny_run.folder)
    answer = mue(*words, "--beside", other, "--beside", same_name)
    assert answer.code == 0, answer.stderr
    png, svg = map(Path, answer.stdout.splitlines())
    assert (png.name, svg.name) == ("trainings.png", "trainings.svg")
    for folder in (tiny_run.folder, other, same_name):
        assert str(folder) in svg.read_text(encoding="utf-8"), "two have one name"
    itself = mue(*words, "--beside", tiny_run.folder)
    assert itself.code == 2 and "a run folder would be drawn beside itself" in itself.stderr
    nothing = mue(*words, "--beside", tmp_path)
    assert nothing.code == 2 and f"hint: run: mue finetune --run {tmp_path}" in nothing.stderr


def test_smoothing_is_the_mean_of_neighbouring_steps() -> None:
    assert smoothed(np.array([1, 3, 5, 7, 10]), 2).tolist() == [2.0, 6.0, 10.0]


def test_log_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1 of .* is no step of a training"):
        read_training_log(log(tmp_path / "a", {"loss": 2.0}))
    with pytest.raises(DataError, match="is not JSON"):
        (tmp_path / "b").write_text('{"step": 1', encoding="utf-8")
        read_training_log(tmp_path / "b")
    steps = [{"step": 1, "loss": 2.0, "losses": [2.0, 3.0]}, {"step": 2, "loss": 2.0}]
    for other in ([1.0], [1.0, "x"], 3):
        with pytest.raises(DataError, match="has steps that do not fit together"):
            read_training_log(log(tmp_path / "d", steps[0], {**steps[1], "losses": other}))
        (tmp_path / "d").unlink()
    with pytest.raises(MissingStepError, match="has no step yet"):
        read_training_log(log(tmp_path / "c"))
