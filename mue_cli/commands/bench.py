"""`mue bench`: where the time goes on this machine, and whether exiting pays here."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mue_cli.commands.display import answer, answer_json, percent, say
from mue_cli.commands.options import (
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    WeightsOption,
    experiment,
)
from mue_cli.errors import MueError
from mue_cli.exits.catalogue import ExitingName

if TYPE_CHECKING:
    from mue_cli.reports.tables import Cell, Table

EXAMPLES = """Examples

mue bench

mue bench --recipe coco-caption --random base

mue bench --recipe coco-caption --weights OFA-Sys/ofa-base --method static --set exits.image=3 --set exits.text=3 --set exits.decoder=3

mue bench --batch-size 8 --repeats 5 --json"""

RandomOption = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET",
        show_default=False,
        help="Random weights of a size (tiny, base, ...) with OFA's number of tokens: nothing to download, and captions mean nothing.",
    ),
]
MethodOption = Annotated[
    ExitingName | None,
    typer.Option(
        help="Who may stop early.",
        show_default="the recipe's exits.method; with --random static, at half depth",
    ),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(min=2, show_default=False, help="Also measure latency in batches of this size."),
]
RepeatsOption = Annotated[int, typer.Option(min=1, help="Timings of each sample.")]


def bench(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    random: RandomOption = None,
    method: MethodOption = None,
    batch_size: BatchSizeOption = None,
    repeats: RepeatsOption = 3,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Time a method against full, and every part of the model beside what this machine can do at
    best; say whether exiting pays here.

    Takes samples of test where data is prepared, made-up pictures otherwise: their captions all run
    to the recipe's longest. Reads checkpoint.safetensors or what --weights names, and what `mue
    calibrate` found. Writes bench.json, plots/bench.png and plots/bench.svg. Takes about a minute
    for OFA-base on one core.
    """
    here = experiment(recipe, overrides, run, weights=weights)
    if random and (weights or here.run.checkpoint.exists()):
        other = (
            "--weights names others" if weights else f"`{here.run.folder}` has its own checkpoint"
        )
        raise MueError(
            f"--random draws weights, and {other}", "leave one out, or name a new folder with --run"
        )
    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli.commands.contest import document, measure
    from mue_cli.commands.specimen import specimen
    from mue_cli.experiment import build
    from mue_cli.files import write_text
    from mue_cli.reports.figures.bars import breakdown

    found = document(
        measure(specimen(here, method, random, build.device(device)), batch_size, repeats)
    )
    write_text(here.run.bench, json.dumps(found, indent=2) + "\n")
    bars = {
        name: {part["name"]: part["ms"] for part in parts} for name, parts in found["parts"].items()
    }
    figures = breakdown(
        bars,
        " ".join((*_about(found), f"{found['verdict'][0].upper()}{found['verdict'][1:]}")),
        here.run.plots / "bench",
    )
    if as_json:
        answer_json(found)
    else:
        _show(found)
        say(f"all figures: {here.run.bench}   chart: {figures[0]}")


def _show(found: dict[str, Any]) -> None:
    from mue_cli.reports.tables import to_text

    for line in _about(found):
        answer(line)
    answer(f"\n{to_text(_parts(found))}")
    answer(to_text(_latencies(found)))
    answer(_reductions(found))
    for note in found["notes"]:
        answer(f"note: {note}")
    answer(f"\n{found['verdict']}")


def _about(found: dict[str, Any]) -> list[str]:
    """Return what was measured and with what, a sentence each."""
    machine, ceilings, method = found["machine"], found["ceilings"], found["method"]
    exits = ", ".join(f"{stream} {value:g}" for stream, value in found["thresholds"].items())
    steps = " and ".join(f"{count:g}" for count in dict.fromkeys(found["steps"].values()))
    rates = f"{ceilings['gflops_packed']:.0f} GFLOP/s in packed matrices, {ceilings['gflops_mm']:.0f} by torch.mm"
    return [
        f"{found['recipe']}, {found['weights']}: full against {method} ({exits}).",
        f"{found['samples']} {found['data']} at {found['image_size']} px, {steps} decoding steps each.",
        f"{machine['processor']}, threads: {machine['threads']}, torch {machine['torch']}, {machine['precision']}.",
        f"At best it does {rates}, and reads {ceilings['gbytes_read']:.0f} GB/s.",
        f"Before the model, decoding and resizing a picture takes {found['picture_ms']:.1f} ms.",
        "Parts are of each sample's fastest run; the rest is search and all that is in no part.",
    ]


def _parts(found: dict[str, Any]) -> "Table":
    """Return one row per part: calls and time of both; rates and their share of the ceiling as full
    reaches them, where it has the part.
    """
    from mue_cli.reports.tables import Column, Table

    full, other = ({part["name"]: part for part in parts} for parts in found["parts"].values())
    totals = [sum(part["ms"] for part in parts.values()) for parts in (full, other)]
    columns = (
        Column("part"),
        *(
            Column(f"{name} {what}", shown)
            for name in found["parts"]
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


def _latencies(found: dict[str, Any]) -> "Table":
    """Return one row per batch size: median and quartiles of both in ms per sample, and the
    reduction.
    """
    from mue_cli.reports.tables import Column, Table

    names = list(found["parts"])
    columns = (
        Column("batch"),
        *(Column(f"{name} ms", ".1f") for name in names),
        *(Column(f"{name} quartiles") for name in names),
    )
    rows = []
    for size, latency in found["latency"].items():
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


def _reductions(found: dict[str, Any]) -> str:
    # Rounded first, and 0.0 added, so that nothing reads "-0.0 %".
    expected, flops, parts, measured = (
        percent(round(found["reduction"][name], 3) + 0.0)
        for name in ("expected", "flops", "parts", "measured")
    )
    return f"reduction: {expected} of the layers (Eq. 14), {flops} of the FLOPs, {parts} predicted from the parts' times, {measured} measured"
