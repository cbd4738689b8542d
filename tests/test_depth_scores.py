"""Scores read after each layer: each setting against the method `static` that really leaves there,
what is kept, and what is drawn.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from method_rows import static

from mue_cli import Experiment
from mue_cli.calibration.bootstrap import mean_interval
from mue_cli.errors import DataError, MissingStepError
from mue_cli.evaluation.exit_grid import predict_depths
from mue_cli.evaluation.predict import predict
from mue_cli.experiment.clearing import clear_results
from mue_cli.experiment.exit_layers import _differences
from mue_cli.experiment.inputs import about_of
from mue_cli.experiment.run_folder import Run
from mue_cli.reports.depth_scores import DepthScores
from mue_cli.reports.figures.depth_scores import depth_scores_figure

ABOUT = {"recipe": "r", "dataset": "shapes", "split": "test", "settings": "beam 5, float32"}
SCORES = DepthScores(
    {"image": np.array([20.0, 45.0]), "decoder": np.array([45.0])},
    {"image": np.array([[-25.0, -30.0, -20.0], [0.0] * 3]), "decoder": np.zeros((1, 3))},
    "CIDEr",
    2,
    ABOUT,
)


@pytest.fixture
def own_run(tiny_run: Run, tmp_path: Path) -> Run:
    """Return a run folder that a test may change."""
    shutil.copytree(tiny_run.folder, tmp_path / "own")
    return Run(tmp_path / "own")


@pytest.mark.parametrize("decompose", [True, False])
def test_every_stream_predicts_after_every_layer_what_static_does(
    tiny_run: Run, decompose: bool
) -> None:
    opened = Experiment.open(
        run=tiny_run.folder, device="cpu", overrides=[f"model.decompose={decompose}".lower()]
    )
    batches, config = opened.batches("test", 3, batch_size=2), opened.model.config
    counted: list[int] = []
    found = predict_depths(opened.predictor, decompose, batches, counted.append)
    own = ["image", "text"] if decompose else ["joint"]
    moving = {name: [name] for name in (*own, "decoder")} | ({"encoder": own} if decompose else {})
    assert found.keys() == moving.keys()
    deepest = dict.fromkeys(own, config.num_encoder_layers) | {"decoder": config.num_decoder_layers}
    for stream, names in moving.items():
        assert len(found[stream]) == deepest[names[0]]
        for layer in (1, 2, deepest[names[0]]):
            predictions = found[stream][layer - 1]
            method = static(deepest | dict.fromkeys(names, layer), decompose=decompose)
            twin = predict(opened.predictor, method, batches)
            assert [(each.text, each.tokens) for each in predictions] == [
                (each.text, each.tokens) for each in twin
            ], (stream, layer)
    assert counted == sorted(counted)
    assert counted[-1] == 3 * sum(len(each) for each in found.values())


def test_differences_are_paired_and_the_last_layer_has_none() -> None:
    rows = _differences(np.array([[10.0, 30.0], [40.0, 50.0]]))
    assert rows[0].tolist() == [-25.0, *mean_interval([-30.0, -20.0])]
    assert rows[1].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(_differences(np.array([[10.0, 30.0]] * 2), ["a", "a"])[:, 1:]).all()


def test_scores_come_back_as_they_were_saved(tmp_path: Path) -> None:
    SCORES.save(tmp_path / "depth.npz")
    kept = DepthScores.load(tmp_path / "depth.npz")
    assert (kept.metric, kept.num_samples, kept.about) == ("CIDEr", 2, ABOUT)
    for name in SCORES.streams:
        assert np.array_equal(kept.scores[name], SCORES.scores[name])
        assert np.array_equal(kept.differences[name], SCORES.differences[name])


def test_scores_of_one_picture_have_no_bounds_and_no_band(tmp_path: Path) -> None:
    bare = {
        name: np.array([[*row[:1], np.nan, np.nan] for row in each])
        for name, each in SCORES.differences.items()
    }
    replace(SCORES, differences=bare).save(tmp_path / "depth.npz")
    kept = DepthScores.load(tmp_path / "depth.npz")
    assert SCORES.has_bounds and not kept.has_bounds
    assert "Band" in depth_scores_figure(SCORES).texts[0].get_text()
    assert "Band" not in depth_scores_figure(kept).texts[0].get_text()


def test_scores_that_are_absent_or_another_file_are_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(MissingStepError, match=r"depth\.npz is absent") as error:
        DepthScores.load(tmp_path / "depth.npz")
    assert error.value.hint == "`mue plot depth` measures them"
    about = np.array(json.dumps({"metric": "CIDEr", "num_samples": 2}))
    bounds = {"difference/image": np.zeros((2, 3))}
    hostile = {
        "no stream": {"scores": np.zeros(2)},
        "two axes": {"score/image": np.zeros((2, 2)), **bounds},
        "no layer": {"score/image": np.zeros(0), "difference/image": np.zeros((0, 3))},
        "no bounds": {"score/image": np.zeros(2), "difference/image": np.zeros(2)},
        "no differences": {"score/image": np.zeros(2)},
        "other layers": {"score/image": np.zeros(3), **bounds},
        "not finite": {"score/image": np.full(2, np.nan), **bounds},
        "one bound": {
            "score/image": np.zeros(2),
            "difference/image": np.array([[0.0, 0.0, 0.0], [0.0, 0.0, np.nan]]),
        },
        "nothing": {},
    }
    for what, arrays in hostile.items():
        np.savez(tmp_path / "other.npz", about=about, **arrays)
        with pytest.raises(DataError, match=r"other\.npz holds no scores per exit layer") as error:
            DepthScores.load(tmp_path / "other.npz")
        assert error.value.hint == "remove it and measure again: mue plot depth", what


def test_figure_has_a_panel_per_stream_with_every_score_written_in_it() -> None:
    figure = depth_scores_figure(SCORES)
    image, decoder = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["image", "decoder"]
    assert [text.get_text() for text in image.texts] == ["20.0", "45.0"]
    assert image.get_lines()[1].get_xydata().tolist() == [[1.0, 20.0], [2.0, 45.0]]
    assert decoder.get_shared_y_axes().joined(image, decoder)
    caption = figure.texts[0].get_text().replace("\n", " ")
    assert caption.startswith("shapes test, 2 samples (beam 5, float32); the other streams at full")


@pytest.mark.usefixtures("without_java")
def test_plot_depth_measures_once_and_draws_what_is_kept_afterwards(mue, own_run: Run) -> None:
    first = mue("plot", "depth", "--run", own_run.folder, "--samples", 2)
    assert first.code == 0, first.stderr
    figures = [own_run.plots / "depth.png", own_run.plots / "depth.svg"]
    assert [Path(line) for line in first.stdout.splitlines()] == figures
    assert "exit layers" in first.stderr
    kept = DepthScores.load(own_run.depth)
    assert (kept.num_samples, kept.metric, kept.about["split"]) == (2, "CIDEr", "test")
    words = ["exits.image=1", "exits.text=4", "exits.decoder=4", "evaluation.samples=2"]
    alone = Experiment.open(run=own_run.folder, device="cpu", overrides=words)
    score = alone.evaluate("static").record.score
    assert kept.scores["image"][0] == pytest.approx(score), "what static scores there"
    again = mue("plot", "depth", "--run", own_run.folder, "--json")
    assert json.loads(again.stdout) == {"figures": [str(path) for path in figures]}
    assert again.stderr == ""


@pytest.mark.usefixtures("without_java")
def test_what_was_measured_otherwise_is_measured_anew(own_run: Run) -> None:
    settings = "beam 2, max_tokens 4, float32"
    opened = Experiment.open(run=own_run.folder, device="cpu")
    stored = replace(SCORES, about=about_of(opened, "test") | {"recipe": "x"})
    stored.save(own_run.depth)
    assert opened.depth_scores().scores["image"].tolist() == [20.0, 45.0], "it was the same"
    greedy = Experiment.open(run=own_run.folder, device="cpu", overrides=["search.beam=1"])
    for experiment, split, samples in ((greedy, "test", 1), (opened, "val", 1)):
        measured = experiment.depth_scores(split, samples)
        assert (measured.about["split"], measured.num_samples) == (split, samples)
        assert len(measured.scores["image"]) == 4
    assert DepthScores.load(own_run.depth).about["settings"] == settings
    joint = Experiment.open(run=own_run.folder, overrides=["model.decompose=false"])
    assert joint.depth_scores("val", 1).streams == ("joint", "decoder"), "another model"


def test_clearing_results_removes_the_scores(own_run: Run) -> None:
    SCORES.save(own_run.depth)
    clear_results(own_run)
    assert not own_run.depth.exists()


def test_streams_are_named() -> None:
    for wrong in ({}, {"sound": np.zeros(1)}):
        with pytest.raises(ValueError, match="scores must be by stream"):
            DepthScores(wrong, wrong, "CIDEr", 1, {})
