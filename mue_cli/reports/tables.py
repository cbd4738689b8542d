"""Records beside each other, as plain text, Markdown or CSV."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mue_cli.reports.record import Record

Cell = str | float | None


@dataclass(frozen=True)
class Column:
    """shown: format of a number in text and Markdown, as in `format(value, shown)`."""

    name: str
    shown: str = ""


@dataclass(frozen=True)
class Table:
    """rows: one cell per column each; None where there is nothing to say."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def compare(records: Sequence[Record]) -> Table:
    """Return one row per record: its score, the three reductions, the mean exit layers.

    Reductions are fractions; text and Markdown show them as per cent. Columns without a value in any record are left out.
    """
    metrics = {record.metric for record in records}
    every: list[tuple[Column, Callable[[Record], Cell]]] = [
        (Column("method"), lambda r: r.method),
        (Column("data"), lambda r: f"{r.dataset} {r.split}"),
        (Column("samples", "d"), lambda r: r.num_samples),
        *((Column(metric, ".1f"), _score(metric)) for metric in sorted(metrics)),
        (Column("expected", ".1%"), _cost("expected")),
        (Column("FLOPs", ".1%"), _cost("flops")),
        (Column("measured", ".1%"), _cost("measured")),
        *((Column(f"{stream} exit", ".2f"), _cost(f"{stream}_layers")) for stream in ("joint", "image", "text", "decoder")),
        (Column("layers"), _depth),
    ]
    rows = [tuple(value(record) for _, value in every) for record in records]
    kept = [i for i in range(len(every)) if any(row[i] is not None for row in rows)]
    return Table(tuple(every[i][0] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))


def to_text(table: Table) -> str:
    """Return the table as aligned text: words to the left, numbers to the right."""
    cells = _shown(table)
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(_pad(table, i, cell, widths[i]) for i, cell in enumerate(row)).rstrip() for row in cells) + "\n"


def to_markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in _shown(table)]
    cells.insert(1, ["---:" if _is_number(table, i) else "---" for i in range(len(table.columns))])
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def to_csv(table: Table) -> str:
    """Return the table as CSV with full precision; an empty cell where there is nothing to say."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows(table.rows)
    return out.getvalue()


def _score(metric: str) -> Callable[[Record], Cell]:
    return lambda record: record.scores.get(metric)


def _cost(name: str) -> Callable[[Record], Cell]:
    return lambda record: record.costs.get(name)


def _depth(record: Record) -> Cell:
    """Return the layers there are: encoder + decoder."""
    depths = [record.costs.get(name) for name in ("num_encoder_layers", "num_decoder_layers")]
    return None if None in depths else "+".join(f"{depth:.0f}" for depth in depths)


def _shown(table: Table) -> list[list[str]]:
    rows = [[_show(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    return [[column.name for column in table.columns], *rows]


def _show(cell: Cell, column: Column) -> str:
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else format(cell, column.shown)


def _pad(table: Table, i: int, cell: str, width: int) -> str:
    return cell.rjust(width) if _is_number(table, i) else cell.ljust(width)


def _is_number(table: Table, i: int) -> bool:
    return bool(table.columns[i].shown)
