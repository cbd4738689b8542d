"""A benchmark in words and tables, from the document that bench.json holds."""

from typing import Any

from mue_cli.reports.table_forms import to_text
from mue_cli.reports.tables import Cell, Column, Table


def as_text(document: dict[str, Any]) -> str:
    """Return all of a benchmark as `mue bench` prints it; last what it says of this machine."""
    lines = [*about(document), f"\n{to_text(_parts(document))}", to_text(_latencies(document))]
    if document["precisions"]["ms"]:
        lines.append(to_text(_precisions(document)))
    notes = [f"note: {note}" for note in document["notes"]]
    last = f"\n{document['verdict']}\n{what_first(document)}"
    return "\n".join([*lines, _reductions(document), *notes, last])


def what_first(document: dict[str, Any]) -> str:
    """Return which of exits and bfloat16 to take first here, in a sentence."""
    rates, method = document["precisions"]["gflops_per_s"], document["method"]
    if not document["precisions"]["ms"]:
        slow, plain = rates["bfloat16"], rates["float32"]
        return (
            f"keep float32: bfloat16 products run at {slow:.0f} GFLOP/s here, float32's at "
            f"{plain:.0f}, so bfloat16 was not timed."
        )
    saved = precision_savings(document)
    alone = {method: saved["float32", method], "bfloat16": saved["bfloat16", "full"]}
    first, second = sorted(alone, key=lambda name: -alone[name])
    if alone[first] <= 0.0:
        return f"neither {method} nor bfloat16 saves time here."
    both, more = saved["bfloat16", method], f"{first} alone saves {_percent(alone[first])}"
    if both <= alone[first]:
        return f"take {first} and leave {second}: {more}, both {_percent(both)}."
    return (
        f"take {first} first: {more}, {second} alone {_percent(alone[second])}, both "
        f"{_percent(both)}; what bfloat16 costs in score, calibration measures "
        "(inference.precision: auto)."
    )


def precision_savings(document: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return the share of the time of full in float32 that each precision and method saves."""
    times = document["precisions"]["ms"]
    whole = times["float32"]["full"]
    return {
        (precision, name): 1.0 - ms / whole
        for precision, each in times.items()
        for name, ms in each.items()
    }


def _percent(fraction: float) -> str:
    # Rounded first, and 0.0 added, so that nothing reads "-0.0 %".
    return f"{100 * (round(fraction, 3) + 0.0):.1f} %"


def about(document: dict[str, Any]) -> list[str]:
    """Return what was measured and with what, a sentence each."""
    machine, ceilings, method = document["machine"], document["ceilings"], document["method"]
    exits = ", ".join(f"{stream} {value:g}" for stream, value in document["thresholds"].items())
    steps = " and ".join(f"{count:g}" for count in dict.fromkeys(document["steps"].values()))
    packed, plain = (f"{ceilings[name]:.0f}" for name in ("gflops_packed", "gflops_mm"))
    rates = f"{packed} GFLOP/s in packed matrices, {plain} by torch.mm"
    return [
        f"{document['recipe']}, {document['weights']}: full against {method} ({exits}).",
        f"{document['samples']} {document['data']} at {document['image_size']} px, "
        f"{steps} decoding steps each.",
        f"{machine['processor']}, threads: {machine['threads']}, torch {machine['torch']}, "
        f"{machine['precision']}.",
        f"At best it does {rates}, and reads {ceilings['gbytes_read']:.0f} GB/s.",
        f"Before the model, decoding and resizing a picture takes {document['picture_ms']:.1f} ms.",
        "Parts are of each sample's fastest run; the rest is search and all that is in no part.",
    ]


def caption(document: dict[str, Any]) -> str:
    """Return what stands below the chart: what was measured, and the verdict."""
    verdict = f"{document['verdict'][0].upper()}{document['verdict'][1:]}"
    return " ".join((*about(document), verdict))


def part_times(document: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the milliseconds of every part, by method."""
    return {
        name: {part["name"]: part["ms"] for part in parts}
        for name, parts in document["parts"].items()
    }


def _parts(document: dict[str, Any]) -> Table:
    """Return one row per part: calls and time of both; rates and their share of the ceiling as full
    reaches them, where it has the part.
    """
    full, other = ({part["name"]: part for part in parts} for parts in document["parts"].values())
    totals = [sum(part["ms"] for part in parts.values()) for parts in (full, other)]
    columns = (
        Column("part"),
        *(
            Column(f"{name} {what}", shown)
            for name in document["parts"]
            for what, shown in (("calls", ".1f"), ("ms", ".1f"), ("share", ".1%"))
        ),
        *(
            Column(name, shown)
            for name, shown in (("GFLOP/s", ".1f"), ("GB/s", ".1f"), ("of ceiling", ".0%"))
        ),
    )
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(dict.fromkeys((*full, *other)), key=lambda name: name == "rest"):
        row: list[Cell] = [name]
        for parts, total in zip((full, other), totals, strict=True):
            row += (
                [parts[name]["calls"], parts[name]["ms"], parts[name]["ms"] / total]
                if name in parts
                else [None] * 3
            )
        rates = full.get(name, other.get(name, {}))
        rows.append((*row, *(rates[key] for key in ("gflops_per_s", "gbytes_per_s", "of_ceiling"))))
    rows.append(("all", None, totals[0], 1.0, None, totals[1], 1.0, None, None, None))
    return Table(columns, tuple(rows))


def _latencies(document: dict[str, Any]) -> Table:
    """Return one row per batch size: median and quartiles of both in ms per sample, and the
    reduction.
    """
    names = list(document["parts"])
    columns = (
        Column("batch"),
        *(Column(f"{name} ms", ".1f") for name in names),
        *(Column(f"{name} quartiles") for name in names),
    )
    rows = []
    for size, latency in document["latency"].items():
        quartiles = ("{:.1f} to {:.1f}".format(*latency[name]["quartiles_ms"]) for name in names)
        between = "{:.1%} to {:.1%}".format(*latency["reduction_quartiles"])
        rows.append(
            (
                size,
                *(latency[name]["median_ms"] for name in names),
                *quartiles,
                latency["reduction"],
                between,
            )
        )
    return Table((*columns, Column("reduction", ".1%"), Column("its quartiles")), tuple(rows))


def _precisions(document: dict[str, Any]) -> Table:
    """Return one row per precision and method: ms a sample, and what it saves of full's in
    float32.
    """
    columns = Column("precision"), Column("method"), Column("ms", ".1f"), Column("saves", ".1%")
    times, saved = document["precisions"]["ms"], precision_savings(document)
    rows = [
        (precision, name, times[precision][name], share)
        for (precision, name), share in saved.items()
    ]
    return Table(columns, tuple(rows))


def _reductions(document: dict[str, Any]) -> str:
    reduction = {name: _percent(value) for name, value in document["reduction"].items()}
    return (
        f"reduction: {reduction['expected']} of the layers (Eq. 14), {reduction['flops']} of the "
        f"FLOPs, {reduction['parts']} predicted from the parts' times, {reduction['measured']} "
        "measured"
    )
