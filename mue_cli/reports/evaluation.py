"""One evaluation in words and tables: a method's scores and costs beside the full model's."""

from collections.abc import Sequence

from mue_cli.exits.catalogue import FULL
from mue_cli.reports.record import SHUFFLED, Record
from mue_cli.reports.table_forms import to_text
from mue_cli.reports.tables import Column, Table, compare

NOTABLE_DIFFERENCE = 0.10
"""Expected and measured reductions further apart than this are explained in words."""


def evaluation_text(full: Record, record: Record, hypothesis_only: float | None = None) -> str:
    """Return scores and costs of a method beside those of the full model, and a sentence where the
    clock disagrees with the layers.

    hypothesis_only: per cent of `test` that is right without pictures and premises, where known.
    """
    records = [record] if record.method == FULL.name else [full, record]
    columns = (Column("metric"), *(Column(each.method, ".1f") for each in records))
    rows = tuple((name, *(each.scores.get(name) for each in records)) for name in record.scores)
    return "\n".join(
        [
            to_text(compare(records)),
            to_text(Table(columns, rows)),
            *difference(full, record),
            *disagreement(record),
            *without_looking(record, hypothesis_only),
        ]
    )


def difference(full: Record, record: Record) -> list[str]:
    """Return how far the score is from the full model's, and how sure; nothing where that is not
    known.
    """
    bounds = record.difference.get(record.metric)
    if bounds is None:
        return []
    low, high = bounds
    gap = record.score - full.score
    return [f"difference to the full model {gap:+.1f} [{low:.1f}, {high:.1f}]"]


def curve_text(curve: Sequence[Record]) -> str:
    """Return the points of a trade-off curve."""
    heading = "the method's curve, from little to much saving:"
    return f"{heading}\n{to_text(compare(list(curve)))}"


def left_out_notes(record: Record) -> list[str]:
    """Return a line for every metric that could not be had."""
    return [f"{metric} is left out: {reason}" for metric, reason in record.left_out.items()]


def without_looking(record: Record, hypothesis_only: float | None) -> list[str]:
    """Return what is known of the score without the samples' own pictures, a line each.

    hypothesis_only: per cent of `test` that a linear classifier of the hypotheses gets right.
    """
    lines = []
    name = SHUFFLED.format(record.metric)
    if name in record.difference:
        low, high = record.difference[name]
        gap = record.scores[name] - record.score
        lines.append(
            f"with shuffled pictures {record.metric} of {record.method} changes by {gap:+.1f} "
            f"[{low:.1f}, {high:.1f}]"
        )
    if hypothesis_only is not None:
        lines.append(
            "a linear classifier of the hypotheses alone gets "
            f"{hypothesis_only:.1f} % of test right"
        )
    return lines


def disagreement(record: Record) -> list[str]:
    """Return a sentence when measured and expected reduction differ by more than ten points,
    nothing otherwise.
    """
    expected, measured = record.costs["expected"], record.costs.get("measured")
    if measured is None or abs(expected - measured) <= NOTABLE_DIFFERENCE:
        return []
    saved = f"{100 * measured:.1f} % of the time is saved, {100 * expected:.1f} % of the layers"
    if measured < expected:
        return [
            f"the clock shows less than the layers say: {saved}. Eq. 14 counts layers alone; the "
            "ResNet, the output head and small batches cost time too."
        ]
    return [
        f"the clock shows more than the layers say: {saved}. Eq. 14 weighs encoder and decoder "
        "alike; here the layers that were left out cost more than that."
    ]
