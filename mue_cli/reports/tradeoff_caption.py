"""The words below a trade-off figure, at most two lines: the data, and what lines and marks mean.
docs/results.md says the rest.
"""

from collections.abc import Sequence

from mue_cli.exits.catalogue import ORACLE
from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.curves import Search, has_differences, intervals, num_seeds, seeds_by_row
from mue_cli.reports.entries import Entry, other_full, row_title


def tradeoff_caption(
    entries: Sequence[Entry],
    searches: Sequence[Search] = (),
    is_cut: bool = False,
    without_full: Sequence[int] = (),
) -> str:
    """Return the caption. is_cut: whether points lie below the axis. without_full: seeds left
    out.
    """
    parts = [f"{data_and_seeds(entries)}."]
    if without_full:
        seeds = f"seed{'s' * (len(without_full) > 1)} {', '.join(map(str, without_full))}"
        parts.append(f"Without {seeds}, where `full` was not evaluated.")
    parts += [*other_full(entries), *_marks(entries), *map(_search, searches)]
    if any(entry.row == ORACLE for entry in entries):
        parts.append("Dashed: oracle, every answer unchanged.")
    if is_cut:
        parts.append("\u2193: score of a point below the axis.")
    return " ".join(parts)


def data_and_seeds(entries: Sequence[Entry]) -> str:
    """Return which data, how many samples and how many seeds a figure is about."""
    first = entries[0].record
    samples = samples_in_words(entry.record.num_samples for entry in entries)
    fewest, most = min(seeds_by_row(entries)), max(seeds_by_row(entries))
    seeds = f", {most} seeds" if fewest == most else f", {fewest} to {most} seeds"
    return f"{first.dataset} {first.split}, {samples}{'' if most == 1 else seeds}"


def _marks(entries: Sequence[Entry]) -> list[str]:
    """Return a sentence about lines, markers, bands and bars; none where nothing needs one."""
    swept = any(entry.swept for entry in entries)
    parts = ["line: threshold swept", "marker: calibrated setting"] if swept else []
    if num_seeds(entries) > 1:
        parts.append("band, bars: range of the seeds" if swept else "bars: range of the seeds")
    elif intervals(entries):
        of = " of the difference to full" if has_differences(entries) else ""
        parts.append(f"bars: 95\u00a0% bootstrap interval{of}")
    text = "; ".join(parts)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def _search(search: Search) -> str:
    tried = f"{len(search.points)} settings of {row_title(search.method)}"
    on = f"tried on {search.split} ({samples_in_words([search.num_samples])})"
    return f"Dots: {tried} {on}; thin line: those that no other beats."
