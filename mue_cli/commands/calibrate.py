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

EXAMPLES = options.examples(
    "mue calibrate",
    "mue calibrate --target-reduction 0.4 --by flops",
    "mue calibrate --max-drop 0.02",
    "mue calibrate --max-drop 0.05 --confidence 0.95 --explain",
    "mue calibrate --method deebert --target-reduction 0.15",
)

MethodOption = Annotated[
    CalibratedName | None,
    typer.Option(help="Whose thresholds to search.", show_default="the recipe's exits.method"),
]

TargetOption = Annotated[
    float | None,
    typer.Option(
        "--target-reduction",
        metavar="FRACTION",
        show_default="the recipe's, unless there is --max-drop",
        help="Reduction to reach.",
    ),
]

ByOption = Annotated[
    Literal["expected", "flops", "latency"],
    typer.Option(
        help="How reductions are counted: by Eq. 14, by FLOPs, or by milliseconds, predicted from "
        "parts timed on this machine and then verified.",
    ),
]

DropOption = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        metavar="FRACTION",
        show_default=False,
        help="Largest relative fall of the score; the largest reduction within it is chosen.",
    ),
]

ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--confidence",
        metavar="FRACTION",
        show_default=False,
        help="Certify --max-drop: the expected loss of a sample exceeds it with no more than the "
        "rest of probability.",
    ),
]

TestOption = Annotated[
    Literal["betting", "hoeffding-bentkus"],
    typer.Option("--test", help="Of the certificate: the sharp one, or the conservative one."),
]

ExplainOption = Annotated[
    bool,
    typer.Option("--explain", help="Print and draw the frontier that the choice was made from."),
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

    Half of calibration.samples is searched; settings near the best are judged on the other half,
    beside the full model. Reads checkpoint.safetensors, or what --weights names, and the prepared
    data. Writes thresholds.yaml (thresholds, what they promise, and on what grounds),
    calibration.jsonl (settings that were searched), trials.jsonl (their answers: a calibration that
    was interrupted goes on from there), promises.jsonl and saturation.npz to the run folder; for
    another method than mue thresholds-METHOD.yaml and so on. A reduction out of reach is an error
    that states the largest reachable one.
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
