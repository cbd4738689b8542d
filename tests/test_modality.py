"""Pairs of exit layers from states that were kept, against the method `static` that really leaves
there.
"""

import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from method_rows import static

from mue_cli import Experiment
from mue_cli.evaluation import exit_grid as modality
from mue_cli.evaluation.predict import Prediction, decode_batch, encode_batch, predict
from mue_cli.evaluation.score import quick_score
from mue_cli.exits.methods import full
from mue_cli.experiment.clearing import clear_results
from mue_cli.experiment.inputs import about_of
from mue_cli.experiment.run_folder import Run
from mue_cli.inference.depths import CachedDepths
from mue_cli.reports.exit_grid import ExitGrid


@pytest.fixture
def own_run(tiny_run: Run, tmp_path: Path) -> Run:
    """Return a run folder that a test may change."""
    shutil.copytree(tiny_run.folder, tmp_path / "own")
    return Run(tmp_path / "own")


@pytest.fixture(scope="module")
def opened(tiny_run: Run) -> Experiment:
    """Return the tiny run, opened."""
    return Experiment.open(run=tiny_run.folder, device="cpu")


def static_twin(
    opened: Experiment, num_layers: int, num_decoder_layers: int
) -> Mapping[modality.Pair, list[Prediction]]:
    """Return every pair's predictions the slow way: each pair is an evaluation of its own."""
    subject, batches = opened.predictor, opened.batches("test", 3, batch_size=2)
    found = {}
    for image, text in itertools.product(range(1, num_layers + 1), repeat=2):
        method = static(
            {"image": image, "text": text, "decoder": num_decoder_layers}, decompose=True
        )
        found[image, text] = predict(subject, method, batches)
    return found


@pytest.mark.usefixtures("without_java")
def test_every_pair_predicts_and_scores_what_static_does(opened: Experiment) -> None:
    subject = opened.predictor
    batches = opened.batches("test", 3, batch_size=2)
    num_layers = subject.model.config.num_encoder_layers
    seen: list[tuple[Prediction, ...]] = []
    counted: list[int] = []
    score = quick_score(opened.task, batches)

    def keeping(predictions: Sequence[Prediction]) -> float:
        seen.append(tuple(predictions))
        return score(predictions)

    scores = modality.score_pairs(subject, batches, keeping, counted.append)
    twin = static_twin(opened, num_layers, subject.model.config.num_decoder_layers)
    assert scores.shape == (num_layers, num_layers)
    assert [list(predictions) for predictions in seen] == list(twin.values())
    assert scores.ravel().tolist() == [score(predictions) for predictions in twin.values()]
    assert counted[-1] == 3 * num_layers**2 and counted == sorted(counted)


def test_pairs_differ_so_that_a_mixed_up_pair_would_be_seen(opened: Experiment) -> None:
    subject, method = opened.predictor, full(decompose=True)
    batch = next(iter(opened.batches("test", 4)))
    cached = CachedDepths(
        subject.model, method, lambda probes: encode_batch(subject, method, batch, probes)
    )
    hidden = {
        tuple(depths.values()): cached.at(depths).hidden.detach().cpu().numpy()
        for depths in cached.combinations()
    }
    assert len(hidden) == subject.model.config.num_encoder_layers**2
    assert not np.allclose(hidden[1, 2], hidden[2, 1], atol=1e-4)
    assert len({array.tobytes() for array in hidden.values()}) == len(hidden)


def test_two_halves_of_a_batch_predict_what_the_whole_does(opened: Experiment) -> None:
    subject, method = (
        opened.predictor,
        static({"image": 2, "text": 1, "decoder": 3}, decompose=True),
    )
    batches = opened.batches("test", 4)
    halves = [
        p
        for batch in batches
        for p in decode_batch(subject, method, batch, encode_batch(subject, method, batch))
    ]
    assert halves == predict(subject, method, batches)


def test_plot_modality_measures_once_and_draws_the_stored_grid_afterwards(
    mue, own_run: Run
) -> None:
    first = mue("plot", "modality", "--run", own_run.folder, "--samples", 3)
    assert first.code == 0, first.stderr
    assert [Path(line) for line in first.stdout.splitlines()] == [
        own_run.plots / "modality.png",
        own_run.plots / "modality.svg",
    ]
    assert "pairs of exit layers" in first.stderr
    grid = ExitGrid.load(own_run.modality)
    assert (grid.num_samples, grid.metric, grid.about["split"], grid.about["dataset"]) == (
        3,
        "CIDEr",
        "test",
        "shapes",
    )
    again = mue("plot", "modality", "--run", own_run.folder, "--json")
    assert json.loads(again.stdout) == {
        "figures": [str(own_run.plots / "modality.png"), str(own_run.plots / "modality.svg")]
    }
    assert again.stderr == ""


@pytest.mark.parametrize(
    "change",
    [
        ("--split", "val"),
        ("--samples", "1"),
        ("--set", "search.beam=1"),
        ("--set", "search.length_penalty=2"),
        ("--set", "data.image_size=48"),
    ],
)
def test_plot_modality_measures_anew_what_was_measured_otherwise(
    mue, own_run: Run, change: tuple[str, str]
) -> None:
    about = about_of(Experiment.open(run=own_run.folder), "test") | {"recipe": "x"}
    stored = ExitGrid(np.full((2, 2), 7.0), "CIDEr", 2, about)
    stored.save(own_run.modality)
    assert mue("plot", "modality", "--run", own_run.folder).code == 0
    assert np.array_equal(ExitGrid.load(own_run.modality).scores, stored.scores), (
        "the same settings measure nothing"
    )
    assert mue("plot", "modality", "--run", own_run.folder, "--samples", 2, *change).code == 0
    assert not np.array_equal(ExitGrid.load(own_run.modality).scores, stored.scores)


def test_a_model_without_decomposition_is_an_error_that_says_why(mue, own_run: Run) -> None:
    answer = mue("plot", "modality", "--run", own_run.folder, "--set", "model.decompose=false")
    assert answer.code == 2 and answer.stdout == ""
    assert "error: image and text are one joint stream without model.decompose" in answer.stderr
    assert "hint: add --set model.decompose=true" in answer.stderr


def test_clearing_results_removes_the_grid(own_run: Run) -> None:
    ExitGrid(np.zeros((2, 2)), "CIDEr", 4, {}).save(own_run.modality)
    clear_results(own_run)
    assert not own_run.modality.exists()


def test_plot_exits_draws_the_traces_of_the_last_evaluation(mue, own_run: Run) -> None:
    answer = mue("plot", "exits", "--run", own_run.folder)
    assert answer.code == 0, answer.stderr
    paths = [Path(line) for line in answer.stdout.splitlines()]
    assert paths == [own_run.plots / "exits.png", own_run.plots / "exits.svg"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_plot_exits_finds_the_method_of_the_traces_among_the_records(own_run: Run, mue) -> None:
    from mue_cli.experiment import run_folder as runs
    from mue_cli.study.report import record_of

    words = ["--set", "exits.image=2", "--set", "exits.text=1", "--set", "exits.decoder=3"]
    assert mue("evaluate", "--method", "static", "--run", own_run.folder, *words).code == 0
    assert record_of(runs.read_traces(own_run), own_run).method == "static"
    assert mue("evaluate", "--method", "full", "--run", own_run.folder).code == 0
    assert record_of(runs.read_traces(own_run), own_run).method == "full"


def test_plot_exits_says_so_when_no_record_is_of_the_evaluation(mue, own_run: Run) -> None:
    from mue_cli.experiment import run_folder as runs
    from mue_cli.reports.traces import write_traces

    write_traces(own_run.traces, "0a1b2c3d", "mue", runs.read_traces(own_run).traces)
    answer = mue("plot", "exits", "--run", own_run.folder)
    assert answer.code == 2
    assert "is of the evaluation 0a1b2c3d, which traces.jsonl is of" in answer.stderr
    assert f"hint: run: mue evaluate --run {own_run.folder}" in answer.stderr
