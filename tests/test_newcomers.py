"""What CONTRIBUTING promises: a rule is a file and a row, a task is a file, a line and a recipe."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import Tensor

from mue_cli import Experiment
from mue_cli.cost.flops import trace_flops
from mue_cli.data import tasks
from mue_cli.data.tasks.task import Question, Task, TextRow, TextRows
from mue_cli.exits import catalogue
from mue_cli.exits.catalogue import MethodSpec
from mue_cli.exits.methods import build
from mue_cli.exits.observation import Observation
from mue_cli.exits.score import ExitScore
from mue_cli.experiment.run_folder import Run

pytestmark = pytest.mark.usefixtures("without_java")

# What a newcomer writes for a new exit score, in a file of exits/: the norm's relative change.


def norm_stability(before: Tensor, after: Tensor) -> Tensor:
    """Return (B,) in [0, 1]: 1 less the relative change of a row's norm."""
    first, second = (states.float().flatten(1).norm(dim=1) for states in (before, after))
    return 1.0 - ((second - first).abs() / torch.maximum(first, second))


STABILITY = ExitScore(
    "norm stability", lambda layer: norm_stability(layer.before, layer.after), "states", 4
)

# And one row of exits/catalogue.py.

NORMS = MethodSpec(
    "norms", "norms", exits="everywhere", threshold="score", score=f"{__name__}:STABILITY"
)


@pytest.fixture
def catalogued(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the row into the catalogue."""
    monkeypatch.setitem(catalogue.CATALOGUE, NORMS.name, NORMS)


def test_a_new_score_by_hand() -> None:
    before, after = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[0.0, 4.0]]])
    assert norm_stability(before, after).tolist() == pytest.approx([0.8])
    observation = Observation(1, before, after)
    leaves = build(NORMS, {"image": 0.75}, decompose=True).rule("image")(observation)
    assert leaves.tolist() == [True]


@pytest.mark.usefixtures("catalogued")
def test_a_new_method_is_calibrated_evaluated_and_explained(copied_run: Run) -> None:
    experiment = Experiment.open(run=copied_run.folder, device="cpu")
    stored = experiment.calibrate(0.25, "norms").thresholds
    assert set(stored.thresholds) == {"image", "text", "decoder"}
    evaluated = experiment.evaluate("norms", split="val")
    assert evaluated.record.costs["expected"] == pytest.approx(stored.achieved)
    picture = Image.new("RGB", (32, 32), "blue")
    assert experiment.predict([picture], "norms")[0].text is not None


@pytest.mark.usefixtures("catalogued")
def test_a_new_rule_is_charged_what_it_says(copied_run: Run) -> None:
    experiment = Experiment.open(run=copied_run.folder, device="cpu")
    thresholds = dict.fromkeys(("image", "text", "decoder"), 0.999)
    config = experiment.model.config
    trace = experiment.evaluate("full").predictions[0].trace
    ours, mue = (
        trace_flops(trace, config, 32, experiment.method(name, thresholds)).rule
        for name in ("norms", "mue")
    )
    assert ours == pytest.approx(mue * 4 / 6)


# A new task, in a file of data/tasks/: yes or no questions.


def _rows(table: pa.Table, per_text: bool, bare: bool) -> TextRows:
    def read(number: int) -> TextRow:
        row = {name: table[name][number].as_py() for name in table.column_names}
        source, answer = f" {row['question']}", row["answer"]
        return TextRow(row["image"], str(number), str(row["image"]), source, answer, (answer,))

    return TextRows(len(table), read)


def _source(question: Question, bare: bool) -> str:
    return f" {question.hypothesis}"


VQA = Task(
    name="vqa",
    metric="accuracy",
    result="answer",
    datasets=("shapes",),
    demo="shapes-vqa",
    rows=_rows,
    source=_source,
    answers=("yes", "no"),
    judges=True,
)

# Its recipe, and (in TASKS) its name.

RECIPE = """\
name: toy-vqa
task: vqa
data: {dataset: shapes, root: %s, image_size: 32}
model: {preset: nano, config: {embed_dim: 32, num_heads: 2, ffn_dim: 32}}
training: {steps: 2, batch_size: 4, validate_every: 2, validation_samples: 2}
evaluation: {timed_samples: 0}
calibration: {samples: 4}
"""


@pytest.fixture
def vqa_data(tiny_data: Path, tmp_path: Path) -> Iterator[Path]:
    """Return prepared data with a table of questions beside the scenes' own."""
    import json
    import shutil

    folder = tmp_path / "vqa-data"
    shutil.copytree(tiny_data, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tasks"] = [*manifest["tasks"], "vqa"]
    manifest["counts"]["vqa"] = {}
    for split in ("train", "val", "test"):
        images = list(range(4))
        table = pa.table(
            {
                "image": images,
                "question": ["is there a circle?"] * 4,
                "answer": ["yes", "no", "yes", "no"],
            }
        )
        place = folder / "vqa" / split
        place.mkdir(parents=True)
        sink = pa.OSFile(str(place / "data.arrow"), "wb")
        with sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        manifest["counts"]["vqa"][split] = {"images": 4, "pairs": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    yield folder


def test_a_new_task_is_trained_calibrated_and_asked(
    vqa_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tasks.TASKS, VQA.name, VQA)  # type: ignore[arg-type]
    recipe = tmp_path / "toy-vqa.yaml"
    recipe.write_text(RECIPE % vqa_data)
    experiment = Experiment.open(recipe, run=tmp_path / "run", device="cpu", trained=False)
    assert experiment.finetune().metric == "accuracy"
    trained = Experiment.open(recipe, run=tmp_path / "run", device="cpu")
    record = trained.evaluate("full").record
    assert set(record.scores) == {"accuracy", "accuracy of yes", "accuracy of no"}
    answer = trained.predict(
        [Image.new("RGB", (32, 32), "red")], "full", hypothesis="is there a circle?"
    )
    assert (answer[0].kind, answer[0].text in VQA.answers) == ("answer", True)
