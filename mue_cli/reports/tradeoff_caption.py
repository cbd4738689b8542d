"""The words below a trade-off figure: whose points, of how many samples and seeds, and which data
the published ones are on.
"""

from collections.abc import Sequence

from mue_cli.reports.curves import ORACLE, Search, intervals, is_paper_data, num_seeds, seeds_by_row
from mue_cli.reports.entries import METHOD_NAMES, Entry
from mue_cli.reports.published import FULL_MODEL, SOURCE, published_full_score
from mue_cli.reports.record import Record

_PAPER_DATA = {"caption": "COCO (Karpathy test)", "entailment": "SNLI-VE test"}


def tradeoff_caption(
    entries: Sequence[Entry],
    searches: Sequence[Search],
    floor: float | None = None,
    without_full: Sequence[int] = (),
) -> str:
    """Return the caption. floor: score below which the figure is cut off, None when it shows
    everything. without_full: seeds left out.
    """
    first = entries[0].record
    parts = [f"Filled: {first.dataset} {first.split}, {_sizes(entries)} samples{_seeds(entries)}."]
    if without_full:
        parts.append(
            f"Left out, because `full` was not evaluated: seed{'s' * (len(without_full) > 1)} {', '.join(map(str, without_full))}."
        )
    parts += [*_sweep(entries), *_spread(entries)]
    if floor is not None:
        parts.append(
            f"Below {floor:.0f} the figure is cut off; \u2193 gives the score of a point there."
        )
    parts += [_search(search) for search in searches]
    if any(entry.row == ORACLE for entry in entries):
        parts.append(
            "Dashed: oracle (same answers), the exits that save most and leave every answer as it is; no rule can know them."
        )
    if first.task in _PAPER_DATA:
        parts.append(_published(first))
    return " ".join(parts)


def _seeds(entries: Sequence[Entry]) -> str:
    fewest, most = min(seeds_by_row(entries)), max(seeds_by_row(entries))
    return (
        "" if most == 1 else f", {most} seeds" if fewest == most else f", {fewest} to {most} seeds"
    )


def _sweep(entries: Sequence[Entry]) -> list[str]:
    swept = {entry.row for entry in entries if entry.swept}
    if not swept:
        return []
    search = (
        " (MuE, which has several thresholds: the best found on val for each reduction)"
        if "mue" in swept
        else ""
    )
    if num_seeds(entries) == 1:
        return [
            f"Line: a method's own threshold swept{search}; small markers: its points.",
            *_weights(entries),
        ]
    mean = "the mean of the seeds at each reduction that all of them reach; band: lowest to highest seed"
    return [
        f"Line: a method's own threshold swept{search}, {mean}; small markers: every seed's points.",
        *_weights(entries),
    ]


def _weights(entries: Sequence[Entry]) -> list[str]:
    """Say why curves need not start at 100 %: such methods do not share the full model's weights."""
    relative = not is_paper_data(entries[0].record)
    own = {entry.row for entry in entries} & {
        "pabee",
        "deecap",
    }  # trained with their readouts, whatever folder that was in
    return (
        ["Methods with weights of their own need not start at 100\u00a0%."]
        if relative and own
        else []
    )


def _spread(entries: Sequence[Entry]) -> list[str]:
    if num_seeds(entries) > 1:
        bars = "mean of the seeds; bars: lowest to highest seed. Tables give the standard deviation instead."
        return [f"Large marker: the setting that was calibrated, {bars}"]
    parts = (
        ["Large marker: the setting that was calibrated."]
        if any(entry.swept for entry in entries)
        else []
    )
    return [*parts, "Bars: 95\u00a0% bootstrap interval."] if intervals(entries) else parts


def _search(search: Search) -> str:
    name = METHOD_NAMES.get(search.method, search.method)
    what = f"Dots: {len(search.points)} settings of {name} tried on {search.split} ({search.num_samples:,} samples)"
    return f"{what}; thin line: those that no other beats."


def _published(record: Record) -> str:
    data = _PAPER_DATA[record.task]
    if is_paper_data(record):
        return f"Hollow: as published for {FULL_MODEL} on {data} ({SOURCE})."
    hundred = f"{published_full_score(record.task)}\u00a0=\u00a0100\u00a0%"
    own = f"per cent of the paper's own full {FULL_MODEL} ({hundred}; {SOURCE})"
    return f"Hollow: as published on {data}, other data and another model: {own}."


def _sizes(entries: Sequence[Entry]) -> str:
    counts = sorted({entry.record.num_samples for entry in entries})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
