"""Tables: what is in one, before anybody looks at it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mue_cli.reports.record import Record


@dataclass(frozen=True)
class Estimate:
    """A value over several trainings. sd: sample standard deviation, None for a single training.
    bounds: of a confidence interval.
    """

    mean: float
    sd: float | None = None
    bounds: tuple[float, float] | None = None


Cell = str | float | Estimate | None


@dataclass(frozen=True)
class Column:
    """shown: format of a number where people read it, as in `format(value, shown)`. group: whose
    numbers these are, "" for the main ones; columns of a group stand beside each other, set apart
    from the rest.
    """

    name: str
    shown: str = ""
    group: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.name} ({self.group})" if self.group else self.name


@dataclass(frozen=True)
class Table:
    """rows: one cell per column each; None where there is nothing to say. caption: sentences; where
    there is no place for them (CSV) they are left out.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: tuple[str, ...] = ()


def compare(records: Sequence[Record]) -> Table:
    """Return one row per record: its score, the three reductions, the mean exit layers.

    Reductions are fractions; text and Markdown show them as per cent. Columns without a value in
    any record are left out.
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
        *(
            (Column(f"{stream} exit", ".2f"), _cost(f"{stream}_layers"))
            for stream in ("joint", "image", "text", "decoder")
        ),
        (Column("layers"), depth),
    ]
    return without_empty(
        Table(
            tuple(column for column, _ in every),
            tuple(tuple(value(record) for _, value in every) for record in records),
        )
    )


def depth(record: Record) -> str | None:
    """Return the layers there are: encoder + decoder."""
    depths = [record.costs.get(name) for name in ("num_encoder_layers", "num_decoder_layers")]
    return None if None in depths else "+".join(f"{depth:.0f}" for depth in depths)


def without_empty(table: Table) -> Table:
    """Return the table without the columns that have a value in no row."""
    kept = [i for i in range(len(table.columns)) if any(row[i] is not None for row in table.rows)]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return Table(tuple(table.columns[i] for i in kept), rows, table.caption)


def _score(metric: str) -> Callable[[Record], Cell]:
    return lambda record: record.scores.get(metric)


def _cost(name: str) -> Callable[[Record], Cell]:
    return lambda record: record.costs.get(name)
