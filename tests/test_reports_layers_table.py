"""The paper's Table 2 from a grid of scores."""

import pytest

from mue_cli.reports.layers_table import layers_tables
from mue_cli.reports.table_forms import to_text

GRID = [[100.0 * image + text for text in range(1, 7)] for image in range(1, 7)]


def test_text_of_the_grid_has_a_row_per_image_layer_and_a_column_per_text_layer():
    lines = to_text(layers_tables(GRID, "CIDEr", 1200, "shapes test")[0]).splitlines()
    assert lines[0].split() == [
        "image",
        "layers",
        "text",
        "1",
        "text",
        "2",
        "text",
        "3",
        "text",
        "4",
        "text",
        "5",
        "text",
        "6",
    ]
    assert lines[2].split() == ["1", "101.0", "102.0", "103.0", "104.0", "105.0", "106.0"]
    assert lines[7].split() == ["6", "601.0", "602.0", "603.0", "604.0", "605.0", "606.0"]
    assert lines[8].startswith(
        "CIDEr on shapes test, 1,200 samples, when every sample's image stream leaves after the layer of the row"
    )


def test_text_of_the_papers_combinations_stands_beside_the_nearest_layers_of_the_grid():
    lines = to_text(layers_tables(GRID, "CIDEr", 1200, "shapes test")[1]).splitlines()
    assert lines[3:7] == [
        "    6     6  606.0   100.0%  |     6.0   6.0    42.4    31.2  143.9   25.1   100.0%",
        "    3     2  302.0    49.8%  |     3.1   2.0    32.8    27.4  112.1   20.8    77.9%",
        "    3     6  306.0    50.5%  |     3.1   6.0    33.1    27.4  112.2   20.7    78.0%",
        "    6     2  602.0    99.3%  |     6.0   2.0    42.0    31.2  143.6   25.1    99.8%",
    ]
    assert (
        lines[-1]
        == "Paper (MuE, CVPR 2023, Table 2): OFA-Base on COCO (Karpathy test), with 6 encoder layers."
    )


def test_entailment_stands_beside_dev_and_test():
    table = layers_tables(GRID, "accuracy", 10, "shapes test")[1]
    assert [row[:2] for row in table.rows] == [(6, 6), (2, 3), (6, 3), (2, 6)]
    assert table.rows[1][4:8] == (2.03, 2.9, 76.1, 75.6)
    assert table.rows[1][-1] == pytest.approx(75.6 / 88.7)


def test_another_depth_is_met_at_the_same_part_of_the_encoder():
    grid = [[1.0] * 12 for _ in range(12)]
    assert [row[:2] for row in layers_tables(grid, "CIDEr", 10, "")[1].rows] == [
        (12, 12),
        (6, 4),
        (6, 12),
        (12, 4),
    ]
    assert [row[:2] for row in layers_tables([[1.0]], "CIDEr", 10, "")[1].rows] == [(1, 1)] * 4


def test_a_full_model_that_scores_nothing_has_no_part():
    assert [row[3] for row in layers_tables([[0.0] * 6] * 6, "CIDEr", 10, "")[1].rows] == [None] * 4
