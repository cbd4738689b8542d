"""One experiment, opened and used from Python: results as data, and nothing printed."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from PIL import Image

from mue_cli import Experiment
from mue_cli.errors import DataError, MissingStepError, MueError, RecipeError
from mue_cli.experiment.run_folder import Run

pytestmark = pytest.mark.usefixtures("without_java")


@pytest.fixture
def opened(copied_run: Run) -> Experiment:
    """Return a small trained and calibrated run that a test may change."""
    return Experiment.open(run=copied_run.folder, device="cpu")


def test_opening_reads_no_weights(tmp_path: Path) -> None:
    experiment = Experiment.open("shapes-caption", run=tmp_path / "none")
    assert (experiment.recipe.name, experiment.task.name) == ("shapes-caption", "caption")
    with pytest.raises(MissingStepError, match=r"no checkpoint\.safetensors"):
        experiment.model  # noqa: B018


def test_what_is_opened_is_opened_once(opened: Experiment) -> None:
    assert opened.model is opened.model
    assert opened.predictor is opened.predictor
    assert opened.exit_head("mue") is None


def test_an_experiment_is_a_value(opened: Experiment) -> None:
    with pytest.raises(FrozenInstanceError):
        opened.device_name = "cuda"  # type: ignore[misc]
    other = replace(opened, device_name="auto")
    assert other.recipe == opened.recipe and other != opened


def test_evaluation_returns_what_it_records(opened: Experiment) -> None:
    evaluated = opened.evaluate("mue", split="val")
    assert evaluated.record.method == "mue" and evaluated.full.method == "full"
    assert evaluated.record.id == evaluated.full.id
    assert 0.0 < evaluated.record.costs["expected"] < 1.0
    assert len(evaluated.predictions) == evaluated.record.num_samples
    again = opened.evaluate("mue", split="val")
    assert again.record.scores == evaluated.record.scores
    assert again.record.id == evaluated.record.id
    assert opened.evaluate("full", split="val").record.id != evaluated.record.id


def test_calibration_returns_what_it_stores(opened: Experiment) -> None:
    calibrated = opened.calibrate(target_reduction=0.3)
    stored = calibrated.thresholds
    assert stored.achieved >= stored.target == 0.3
    assert opened.thresholds("mue") == dict(stored.thresholds)


def test_pictures_in_memory_and_in_files_are_predicted_alike(
    opened: Experiment, tmp_path: Path
) -> None:
    image = Image.effect_noise((40, 30), 60).convert("RGB")
    image.save(tmp_path / "noise.png")
    first, second = opened.predict([image, tmp_path / "noise.png"], method="full")
    assert (first.text, first.exit_layers) == (second.text, second.exit_layers)
    assert first.kind == "caption"
    assert first.path == "image 1" and second.path == str(tmp_path / "noise.png")


def test_a_picture_that_is_none_is_an_error(opened: Experiment, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.png"):
        opened.predict([tmp_path / "text.png"], method="full")


def test_exit_grid_has_a_score_for_every_pair(opened: Experiment) -> None:
    grid = opened.exit_grid("test", samples=4)
    layers = opened.model.config.num_encoder_layers
    assert grid.scores.shape == (layers, layers)
    assert opened.exit_grid("test").scores.tolist() == grid.scores.tolist()


def test_unknown_methods_and_the_oracle_have_no_rules(opened: Experiment) -> None:
    with pytest.raises(RecipeError, match="unknown method `mu`") as caught:
        opened.method("mu")
    assert caught.value.hint == "did you mean `mue`?"
    with pytest.raises(RecipeError, match="exits are found afterwards"):
        opened.method("oracle")


def test_progress_is_told_to_one_function(copied_run: Run) -> None:
    labels: list[str] = []

    def tell(label: str, done: int, total: int, note: str = "") -> None:
        labels.append(label)

    Experiment.open(run=copied_run.folder, device="cpu", progress=tell).evaluate("full")
    assert "evaluate full" in labels and "score" in labels


def test_bad_devices_are_refused() -> None:
    with pytest.raises(MueError, match="unknown device `tpu`"):
        Experiment.open("shapes-caption", device="tpu").device  # noqa: B018


def test_the_api_prints_nothing_but_results(copied_run: Run) -> None:
    """As a notebook would use it, warnings being errors."""
    script = f"""
from mue_cli import Experiment
from PIL import Image
experiment = Experiment.open(run={str(copied_run.folder)!r}, device="cpu")
picture = Image.new("RGB", (32, 32), "red")
print(experiment.predict([picture], method="full")[0].exit_layers["image"])
print(experiment.evaluate("full").record.num_samples)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    layers, samples = done.stdout.split()
    assert int(layers) >= 1 and int(samples) >= 1
