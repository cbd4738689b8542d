"""The paper's numbers, against its tables as they are printed."""

import pytest

from mue_cli.reports.published import (
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    published_full_score,
    published_points,
)

PRINTED_1 = """
OFA-Base | 89.3 89.2 1      | 42.8 31.7 146.7 25.8 1
OFA-Tiny | 85.3 85.2 -33%   | 38.1 29.2 128.7 23.1 -33%
DeeBERT  | 78.9 78.8 -15%   | 30.1 26.3 102.1 20.5 -15.5%
PABEE    | 85.3 85.2 -15.3% | 31.4 26.8 105.8 21   -16.3%
DeeCap   |                  | 38.7 29.1 129   22.5 -38%
MuE      | 88.7 88.5 -50%   | 41.6 30.6 137   24.4 -40.2%
"""
PRINTED_3 = """
OFA-Base | 89.3 89.2 1    | 42.8 31.7 146.7 25.8 1
MuE      | 88.8 88.7 -19% | 42   31.3 142.7 25.1 -20.0%
MuE      | 88.7 88.6 -37% | 42   31.1 141.7 25.1 -28.9%
MuE      | 88.6 88.5 -45% | 41.6 30.7 139.3 24.4 -34.2%
MuE      | 87.7 87.5 -55% | 41   30   133.9 23.6 -45%
"""
PRINTED_4 = """
MuE Full      | 88.5 -50% | 137.0 -40.2%
w/o Decom     | 75.0 -35% | 117.5 -21%
w/o Task loss | 87.0 -47% | 117.9 -25%
"""
PRINTED_2 = {
    "caption": "6.0/6.0 42.4 31.2 143.9 25.1; 3.1/2.0 32.8 27.4 112.1 20.8; 3.1/6.0 33.1 27.4 112.2 20.7; 6.0/2.0 42.0 31.2 143.6 25.1",
    "entailment": "6/6 88.6 88.7; 2.03/2.9 76.1 75.6; 6/2.9 79.1 79.5; 2.03/6 88.4 88.6",
}
METRICS = {"caption": ["BLEU-4", "METEOR", "CIDEr", "SPICE"], "entailment": ["dev", "test"]}
ROWS = {
    "OFA-Base": "full",
    "OFA-Tiny": "small",
    "MuE Full": "mue",
    "w/o Decom": "mue-joint",
    "w/o Task loss": "mue-last",
}


def printed(text, task):
    """Return model, scores and time of each line that has numbers for the task."""
    for line in text.strip().splitlines():
        model, entailment, caption = (part.strip() for part in line.split("|"))
        *scores, time = (caption if task == "caption" else entailment).split() or [None]
        if time:
            yield (
                model,
                [float(score) for score in scores],
                0.0 if time == "1" else -float(time.rstrip("%")) / 100,
            )


@pytest.mark.parametrize("task", ["caption", "entailment"])
@pytest.mark.parametrize(
    ("table", "text"),
    [(TABLE_1, PRINTED_1), (TABLE_3, PRINTED_3), (TABLE_4, PRINTED_4)],
    ids=["1", "3", "4"],
)
def test_models_scores_and_times_are_as_printed(table, text, task):
    expected = list(printed(text, task))
    assert [(row.model, list(row.scores.values())) for row in table[task]] == [
        (model, scores) for model, scores, _ in expected
    ]
    assert [row.reduction for row in table[task]] == pytest.approx(
        [reduction for _, _, reduction in expected]
    )
    assert [row.row for row in table[task]] == [
        ROWS.get(model, model.lower()) for model, _, _ in expected
    ]


@pytest.mark.parametrize("task", ["caption", "entailment"])
@pytest.mark.parametrize("table", [TABLE_1, TABLE_2, TABLE_3], ids=["1", "2", "3"])
def test_every_line_has_all_metrics_of_its_task(table, task):
    assert all(list(row.scores) == METRICS[task] for row in table[task])


@pytest.mark.parametrize("task", ["caption", "entailment"])
def test_layers_of_each_stream_are_as_printed(task):
    found = [
        f"{line.image_layers:g}/{line.text_layers:g} {[*line.scores.values()]}"
        for line in TABLE_2[task]
    ]
    lines = [line.split() for line in PRINTED_2[task].split("; ")]
    expected = [
        ["{:g}/{:g}".format(*map(float, layers.split("/"))), [*map(float, scores)]]
        for layers, *scores in lines
    ]
    assert found == [f"{layers} {scores}" for layers, scores in expected]


def test_figures_show_the_points_of_table_1():
    points = {
        point.model: (point.method, point.score, point.reduction)
        for point in published_points("caption")
    }
    assert points["MuE"] == ("mue", 137.0, 0.402)
    assert points["OFA-Tiny"] == ("", 128.7, 0.33)
    assert [point.score for point in published_points("entailment")] == [
        89.2,
        85.2,
        78.8,
        85.2,
        88.5,
    ]
    assert published_full_score("entailment") == 89.2
