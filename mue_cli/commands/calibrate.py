"""`mue calibrate`: thresholds that reach a wanted reduction, or keep a score, and their promise."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mue_cli.commands import options
from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer, answer_json, keeping, say
from mue_cli.experiment.choices import CalibratedName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXAMPLES = (
    "mue calibrate",
    "mue calibrate --target-reduction 0.4 --by flops",
    "mue calibrate --max-drop 0.02",
    "mue calibrate --max-drop 0.05 --confidence 0.95 --explain",
    "mue calibrate --method deebert --target-reduction 0.15",
)

MethodOption = Annotated[CalibratedName | None, options.method(CalibratedName)]
TargetOption = Annotated[
    float | None,
    typer.Option("--target-reduction", metavar="X", help="Reduction to reach, else the recipe's."),
]
ByOption = Annotated[
    Literal["expected", "flops", "latency"],
    typer.Option(
        metavar="NAME", show_default=False, help="expected (Eq. 14; default), flops or latency."
    ),
]
DropOption = Annotated[
    float | None,
    typer.Option("--max-drop", metavar="X", help="Largest relative fall of the score."),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option("--confidence", metavar="X", help="Certify --max-drop with this probability."),
]
TestOption = Annotated[
    Literal["betting", "hoeffding-bentkus"],
    typer.Option(
        "--test", metavar="NAME", show_default=False, help="betting (default) or hoeffding-bentkus."
    ),
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Print and draw what was chosen from.")
]


def calibrate(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    weights: options.Weights = None,
    method: MethodOption = None,
    decompose: options.Decompose = None,
    target_reduction: TargetOption = None,
    by: ByOption = "expected",
    max_drop: DropOption = None,
    confidence: ConfidenceOption = None,
    test: TestOption = "betting",
    explain: ExplainOption = False,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Choose the thresholds with the best score among those that reach a reduction on `val`, or
    with the largest reduction among those that keep the score.

    0.4 is 40 %. With --max-drop the largest reduction is chosen whose score falls by no more; with
    --confidence that is certified: the expected loss of a sample exceeds it with the rest of
    probability at most, by a sharp test (betting) or a conservative one. --by latency predicts
    milliseconds from parts timed here, and verifies them. Half of calibration.samples is searched,
    the other half judges. A reduction out of reach is an error that states the largest in reach.

    Reads checkpoint.safetensors, or what --weights names, and the prepared data. Writes
    thresholds.yaml, with what it promises and why, calibration.jsonl (what was searched),
    trials.jsonl (answers: from there an interrupted calibration goes on), promises.jsonl and
    saturation.npz to the run folder; for another method than mue thresholds-METHOD.yaml and so on.
    """
    settings = options.with_decompose(overrides, decompose)
    with bars() as tell:
        here = options.opened(recipe, settings, run, device, weights, progress=tell)
        chosen = method or here.recipe.exits.method
        path = here.run.of_method(here.run.thresholds, chosen)
        with keeping(lambda: f"`{path}` is as it was before"):
            result = here.calibrate(
                target_reduction, method, by, max_drop, confidence, test, explain
            )
    figures: Sequence[Path] = ()
    if explain and here.processes.writes:
        from mue_cli.reports.figures.frontier import frontier as draw

        figures = draw(result.frontier_to_draw(), here.run.plots / "frontier")
    if as_json:
        points = {"frontier": list(map(asdict, result.frontier))} if explain else {}
        answer_json({**asdict(result.thresholds), **points})
        return
    more = (*result.explanation(), *map(str, figures)) if explain else ()
    for line in (*result.thresholds.in_words(), *more):
        answer(line)
    say(f"next: {here.run.command('evaluate')}{f' --method {method}' if method else ''}")
