"""The paper's numbers, against its tables as they are printed."""

import pytest

from mue_cli.errors import DataError
from mue_cli.reports.published import PUBLISHED, is_paper_data, published

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
    "CIDEr": "6.0/6.0 42.4 31.2 143.9 25.1; 3.1/2.0 32.8 27.4 112.1 20.8; 3.1/6.0 33.1 27.4 112.2 20.7; 6.0/2.0 42.0 31.2 143.6 25.1",
    "accuracy": "6/6 88.6 88.7; 2.03/2.9 76.1 75.6; 6/2.9 79.1 79.5; 2.03/6 88.4 88.6",
}
PRINTED = {"table_1": PRINTED_1, "table_3": PRINTED_3, "table_4": PRINTED_4}
METRICS = {"CIDEr": ["BLEU-4", "METEOR", "CIDEr", "SPICE"], "accuracy": ["dev", "test"]}
ROWS = {
    "OFA-Base": "full",
    "OFA-Tiny": "small",
    "MuE Full": "mue",
    "w/o Decom": "mue-joint",
    "w/o Task loss": "mue-last",
}


def printed(text, metric):
    """Return model, scores and time of each line that has numbers for the task."""
    for line in text.strip().splitlines():
        model, entailment, caption = (part.strip() for part in line.split("|"))
        *scores, time = (caption if metric == "CIDEr" else entailment).split() or [None]
        if time:
            yield (
                model,
                [float(score) for score in scores],
                0.0 if time == "1" else -float(time.rstrip("%")) / 100,
            )


@pytest.mark.parametrize("metric", PUBLISHED)
@pytest.mark.parametrize("table", PRINTED)
def test_models_scores_and_times_are_as_printed(table, metric):
    expected = list(printed(PRINTED[table], metric))
    rows = getattr(published(metric), table)
    assert [(row.model, list(row.scores.values())) for row in rows] == [
        (model, scores) for model, scores, _ in expected
    ]
    assert [row.reduction for row in rows] == pytest.approx([time for _, _, time in expected])
    assert [row.row for row in rows] == [ROWS.get(model, model.lower()) for model, _, _ in expected]


@pytest.mark.parametrize("metric", PUBLISHED)
@pytest.mark.parametrize("table", ["table_1", "table_2", "table_3"])
def test_every_line_has_all_metrics_of_its_task(table, metric):
    assert all(list(row.scores) == METRICS[metric] for row in getattr(published(metric), table))


@pytest.mark.parametrize("metric", PUBLISHED)
def test_layers_of_each_stream_are_as_printed(metric):
    found = [
        f"{line.image_layers:g}/{line.text_layers:g} {[*line.scores.values()]}"
        for line in published(metric).table_2
    ]
    lines = [line.split() for line in PRINTED_2[metric].split("; ")]
    expected = [
        ["{:g}/{:g}".format(*map(float, layers.split("/"))), [*map(float, scores)]]
        for layers, *scores in lines
    ]
    assert found == [f"{layers} {scores}" for layers, scores in expected]


def test_entailment_is_judged_by_the_score_of_the_split():
    assert published("accuracy").full_score == 89.2
    assert [published("accuracy").judged(split) for split in ("val", "test")] == ["dev", "test"]
    assert {published("CIDEr").judged(split) for split in ("val", "test")} == {"CIDEr"}


def test_scores_of_other_data_do_not_stand_beside_the_papers():
    assert is_paper_data("CIDEr", "coco") and is_paper_data("accuracy", "snli-ve")
    assert not is_paper_data("CIDEr", "shapes") and not is_paper_data("exact match", "coco")


def test_a_metric_that_the_paper_does_not_have_is_refused():
    with pytest.raises(DataError, match="the paper has no numbers beside exact match"):
        published("exact match")
