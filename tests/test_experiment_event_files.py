"""TensorBoard's event files of a training."""

import sys
from pathlib import Path

import pytest

from mue_cli.experiment.event_files import FOLDER, event_files
from mue_cli.training.loop import StepReport


def step(number: int, score: float | None = None) -> StepReport:
    return StepReport(
        number, 9, 1.5 * number, (None, 2.0), 1e-3, 0.5, 32, 0, 2.0, 0.5, 100.0, score
    )


def test_event_files_hold_what_the_log_says_and_a_resumed_training_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with event_files(tmp_path, 1) as report:
        for number in (1, 2, 3):
            report(step(number))
    with event_files(tmp_path, 3) as report:  # killed after 3, kept at 2
        report(step(3, score=70.0))
    shown = EventAccumulator(str(tmp_path / FOLDER)).Reload()

    def values(name: str) -> list[tuple[int, float]]:
        return [(each.step, each.value) for each in shown.Scalars(name)]

    assert values("loss") == [(1, 1.5), (2, 3.0), (3, 4.5)]
    assert values("validation score") == [(3, 70.0)]
    assert values("samples per second")[0] == (1, 16.0)
    assert "loss of layer/2" in shown.Tags()["scalars"]
    assert "loss of layer/1" not in shown.Tags()["scalars"], "the layer was not read"


def test_a_missing_package_is_one_line(mue, tiny_settings, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    answer = mue(
        "finetune", *tiny_settings, "--set", "training.tensorboard=true", "--run", tmp_path / "run"
    )
    assert answer.code == 2
    lines = answer.stderr.splitlines()
    assert (
        lines[-2]
        == "error: `training.tensorboard` needs the package tensorboard, which is not here"
    )
    assert lines[-1].startswith("hint: pip install 'mue-cli[tensorboard]'")
    assert not (tmp_path / "run" / "last.pt").exists(), "said before the first step"
