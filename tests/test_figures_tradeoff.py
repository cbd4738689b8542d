"""Trade-off: what is drawn is what was measured, and it can be read."""

import numpy as np
import pytest
from figure_reading import lines, texts
from PIL import Image

from mue_cli.errors import DataError, MissingStepError
from mue_cli.reports.curves import Search
from mue_cli.reports.figures.tradeoff import tradeoff, tradeoff_figure
from mue_cli.reports.record import Record


def record(method, score, expected, dataset="shapes", task="caption", metric="CIDEr", split="test", bounds=None, **costs):
    confidence = {metric: bounds} if bounds else {}
    return Record(
        "r", task, dataset, split, method, 0, 500, metric, {metric: score}, {"expected": expected, **costs}, confidence=confidence
    )


RECORDS = [record("full", 400.0, 0.0, bounds=(390.0, 410.0)), record("mue", 390.0, 0.41, flops=0.36, measured=0.28)]


def test_other_data_than_the_papers_is_drawn_relative_to_each_full_model():
    scores, costs = tradeoff_figure(RECORDS).axes
    drawn = lines(scores)
    assert drawn["full"] == [[0.0, 100.0]]
    assert drawn["MuE"] == [[41.0, pytest.approx(97.5)]]
    assert drawn["MuE (paper)"] == [[pytest.approx(40.2), pytest.approx(100 * 137.0 / 146.7)]]
    assert "OFA-Base (paper)" not in drawn
    assert scores.get_ylabel() == "CIDEr (% of the full model's)"
    assert "COCO (Karpathy test), other data and another model" in texts(scores.figure).replace("\u00a0", " ")
    assert lines(costs)["MuE flops"] == [[41.0, 36.0]] and lines(costs)["MuE measured"] == [[41.0, pytest.approx(28.0)]]


def test_the_papers_data_is_drawn_as_it_is():
    records = [record("mue", 88.0, 0.46, dataset="snli-ve", task="entailment", metric="accuracy")]
    (scores,) = tradeoff_figure(records).axes
    drawn = lines(scores)
    assert drawn["MuE"] == [[46.0, 88.0]] and drawn["MuE (paper)"] == [[50.0, 88.5]] and drawn["OFA-Base (paper)"] == [[0.0, 89.2]]
    assert scores.get_ylabel() == "accuracy (%)"


def test_confidence_is_drawn_on_the_same_scale_as_the_score():
    scores = tradeoff_figure(RECORDS).axes[0]
    bars = [np.column_stack(line.get_data()).tolist() for line in scores.get_lines() if line.get_marker() == "_"]
    assert bars == [[[0.0, 97.5], [0.0, 102.5]]]
    assert "bootstrap" in texts(scores.figure)


def test_settings_of_a_search_are_dots_relative_to_the_full_model_on_the_same_samples():
    search = Search("mue", "val", 200, 500.0, [(0.4, 450.0), (0.3, 500.0), (0.2, 400.0)])
    drawn = lines(tradeoff_figure(RECORDS, [search]).axes[0])
    assert drawn["MuE tried"] == [[40.0, 90.0], [30.0, 100.0], [20.0, 80.0]]
    assert drawn["MuE front"] == [[30.0, 100.0], [40.0, 90.0]]


def test_names_in_a_crowded_figure_do_not_overlap():
    crowd = [
        record(m, s, e, flops=e - 0.05, measured=e - 0.1) for m, s, e in (("deebert", 330, 0.18), ("pabee", 345, 0.2), ("calm", 390, 0.25))
    ]
    sweep = [record("mue", 400 - 200 * e**2, e, flops=0.9 * e, measured=0.7 * e, bounds=(380 - 200 * e**2, 415.0)) for e in (0.2, 0.3, 0.4)]
    figure = tradeoff_figure([*RECORDS, *sweep, *crowd])
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) >= 4
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_figures_are_written_as_png_and_svg(tmp_path):
    png, svg = tradeoff(RECORDS, tmp_path / "plots" / "v1.2")
    assert png.suffix == ".png" and svg.suffix == ".svg"
    with Image.open(png) as image:
        assert min(image.size) > 500 and np.asarray(image).std() > 10
    assert svg.read_text().rstrip().endswith("</svg>")
    assert (tmp_path / "plots" / "v1.2.png").is_file()


def test_the_same_records_give_the_same_bytes(tmp_path):
    first, second = (tradeoff(RECORDS, tmp_path / name)[1].read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize(
    ("records", "kind", "message"),
    [
        ([], MissingStepError, "there is no record to plot"),
        ([record("mue", 1.0, 0.4)], MissingStepError, "no record of `full`"),
        ([record("full", 0.0, 0.0)], DataError, "the full model scores 0"),
        ([*RECORDS, record("mue", 1.0, 0.4, split="val")], DataError, "records of different splits cannot share a figure: test, val"),
    ],
)
def test_records_that_cannot_be_drawn_are_an_error_that_says_why(records, kind, message):
    with pytest.raises(kind) as error:
        tradeoff_figure(records)
    assert message in error.value.message
