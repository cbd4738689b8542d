"""The paper's Table 2, which stream needs its layers: the score for every pair of image and text
exit layers, the decoder in full.
"""

from collections.abc import Sequence

from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.published import FULL_MODEL, PublishedExits, published, source
from mue_cli.reports.tables import Cell, Column, Table

_PAPER = "paper"
_PAPER_LAYERS = 6


def layers_tables(
    scores: Sequence[Sequence[float]], metric: str, num_samples: int, data: str
) -> tuple[Table, Table]:
    """Return Table 2: the whole grid, then the paper's four combinations beside ours.

    scores: (image layers, text layers); [i][t] with the image stream leaving after layer i + 1 and
    the text stream after layer t + 1. data: where they were measured, such as "shapes test".
    """
    return _grid(scores, metric, num_samples, data), _combinations(scores, metric)


def _grid(scores: Sequence[Sequence[float]], metric: str, num_samples: int, data: str) -> Table:
    columns = (
        Column("image layers"),
        *(Column(f"text {layers}", ".1f") for layers in range(1, len(scores[0]) + 1)),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (str(layers), *row) for layers, row in enumerate(scores, start=1)
    )
    caption = (
        f"{metric} on {data}, {samples_in_words([num_samples])}, when every sample's image stream "
        "leaves after the layer of the row and its text stream after that of the column; the "
        "decoder runs in full."
    )
    return Table(columns, rows, (caption,))


def _combinations(scores: Sequence[Sequence[float]], metric: str) -> Table:
    """Return the paper's lines, with the cell of the grid at the same parts of the encoder."""
    paper_task = published(metric)
    printed = paper_task.table_2
    layers = (Column("image", ".0f"), Column("text", ".0f"))
    paper = (
        *(Column(name, ".1f", _PAPER) for name in ("image", "text", *printed[0].scores)),
        Column("of full", ".1%", _PAPER),
    )
    columns = (*layers, Column(metric, ".1f"), Column("of full", ".1%"), *paper)
    rows = tuple(
        (*_own_cells(scores, line), *_paper_cells(line, printed[0], paper_task.judged_by))
        for line in printed
    )
    caption = (
        "image, text: layers of each stream. Ours: every sample leaves there, at the nearest to "
        "the paper's, which are means over samples.",
        f"Paper ({source(2)}): {FULL_MODEL} on {paper_task.data_name}, with {_PAPER_LAYERS} "
        "encoder layers.",
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
