"""The paper's Table 2, which stream needs its layers: the score for every pair of image and text
exit layers, the decoder in full.
"""

from collections.abc import Sequence

from mue_cli.reports.published import (
    DATA_NAMES,
    FULL_MODEL,
    JUDGED_BY,
    TABLE_2,
    PublishedExits,
    source,
)
from mue_cli.reports.tables import Cell, Column, Table

METRICS = {"caption": "CIDEr", "entailment": "accuracy"}
"""What a grid of each task holds."""

_PAPER = "paper"
_PAPER_LAYERS = 6


def layers_tables(
    scores: Sequence[Sequence[float]], metric: str, num_samples: int, data: str
) -> tuple[Table, Table]:
    """Return Table 2: the whole grid, then the paper's four combinations beside ours.

    scores: (image layers, text layers); [i][t] with the image stream leaving after layer i + 1 and
    the text stream after layer t + 1. metric: one of METRICS. data: what they were measured on,
    such as "shapes test".
    """
    task = next(task for task, name in METRICS.items() if name == metric)
    return _grid(scores, metric, num_samples, data), _combinations(scores, task)


def _grid(scores: Sequence[Sequence[float]], metric: str, num_samples: int, data: str) -> Table:
    columns = (
        Column("image layers"),
        *(Column(f"text {layers}", ".1f") for layers in range(1, len(scores[0]) + 1)),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (str(layers), *row) for layers, row in enumerate(scores, start=1)
    )
    about = f"{metric} on {data}, {num_samples:,} samples, when every sample's image stream leaves after the layer of the row"
    return Table(
        columns,
        rows,
        (f"{about} and its text stream after that of the column; the decoder runs in full.",),
    )


def _combinations(scores: Sequence[Sequence[float]], task: str) -> Table:
    """Return the paper's lines, beside each the cell of the grid at the same parts of the encoder."""
    published = TABLE_2[task]
    layers = (Column("image", ".0f"), Column("text", ".0f"))
    paper = (
        *(Column(name, ".1f", _PAPER) for name in ("image", "text", *published[0].scores)),
        Column("of full", ".1%", _PAPER),
    )
    columns = (*layers, Column(METRICS[task], ".1f"), Column("of full", ".1%"), *paper)
    rows = tuple(
        (*_own_cells(scores, line), *_paper_cells(line, published[0], JUDGED_BY[task]))
        for line in published
    )
    caption = (
        "image, text: layers of each stream. Ours: every sample leaves there, at the nearest to the paper's, which are means over samples.",
        f"Paper ({source(2)}): {FULL_MODEL} on {DATA_NAMES[task]}, with {_PAPER_LAYERS} encoder layers.",
    )
    return Table(columns, rows, caption)


def _own_cells(scores: Sequence[Sequence[float]], line: PublishedExits) -> tuple[Cell, ...]:
    image, text = _layer(line.image_layers, len(scores)), _layer(line.text_layers, len(scores[0]))
    score, full = scores[image - 1][text - 1], scores[-1][-1]
    return (image, text, score, score / full if full > 0 else None)


def _paper_cells(line: PublishedExits, full: PublishedExits, judged: str) -> tuple[Cell, ...]:
    return (
        line.image_layers,
        line.text_layers,
        *line.scores.values(),
        line.scores[judged] / full.scores[judged],
    )


def _layer(of_paper: float, num_layers: int) -> int:
    """Return our layer at the same part of the encoder."""
    return max(1, round(of_paper / _PAPER_LAYERS * num_layers))
