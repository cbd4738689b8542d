"""`mue bench`: where the time goes on this machine, and whether exiting pays here."""

from typing import Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer, answer_json, say
from mue_cli.experiment.choices import ExitingName

EXAMPLES = (
    "mue bench",
    "mue bench --recipe coco-base --random base",
    "mue bench --weights OFA-Sys/ofa-base",
    "mue bench --batch-size 8 --repeats 5 --json",
)

RandomOption = Annotated[
    str | None,
    typer.Option(metavar="PRESET", help="Random weights of a size, as tiny or base."),
]
MethodOption = Annotated[ExitingName | None, options.method(ExitingName)]
BatchSizeOption = Annotated[
    int | None, typer.Option(min=2, max=4096, metavar="N", help="Time such batches, too.")
]
RepeatsOption = Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Timings each.")]


def bench(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    weights: options.Weights = None,
    random: RandomOption = None,
    method: MethodOption = None,
    batch_size: BatchSizeOption = None,
    repeats: RepeatsOption = 3,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Time a method against full, and every part of the model beside what this machine can do at
    best; say whether exiting pays here, and whether exits or bfloat16 come first.

    --random needs nothing but a size: it has OFA's number of tokens, captions mean nothing, and the
    method is static at half depth. Takes samples of test where data is prepared, made-up pictures
    otherwise: their captions all run to the recipe's longest. Reads checkpoint.safetensors or what
    --weights names, and what `mue calibrate` found. Writes bench.json, plots/bench.png and
    plots/bench.svg. Takes about a minute for OFA-base on one core.
    """
    with bars() as tell:
        here = options.opened(recipe, overrides, run, device, weights, progress=tell)
        from mue_cli.experiment.benchmark import benchmark

        document = dict(benchmark(here, method, random, batch_size, repeats).document)
    from mue_cli.reports.benchmark import as_text, caption, part_times
    from mue_cli.reports.figures.bars import breakdown

    figures = breakdown(part_times(document), caption(document), here.run.plots / "bench")
    if as_json:
        answer_json(document)
        return
    answer(as_text(document))
    say(f"all figures: {here.run.bench}   chart: {figures[0]}")
