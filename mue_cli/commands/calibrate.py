"""`mue calibrate`: thresholds that reach a wanted reduction."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer, answer_json, keeping, say
from mue_cli.commands.options import (
    DecomposeOption,
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    WeightsOption,
    opened,
    with_decompose,
)
from mue_cli.experiment.choices import CATALOGUE, CalibratedName

if TYPE_CHECKING:
    from mue_cli.experiment.thresholds import Thresholds

EXAMPLES = """Examples

mue calibrate

mue calibrate --target-reduction 0.4

mue calibrate --recipe shapes-entailment --set calibration.max_evaluations=40

mue calibrate --method deebert --target-reduction 0.15"""

MethodOption = Annotated[
    CalibratedName | None,
    typer.Option(help="Whose thresholds to search.", show_default="the recipe's exits.method"),
]

TargetOption = Annotated[
    float | None,
    typer.Option(
        "--target-reduction",
        metavar="FRACTION",
        show_default="the recipe's",
        help="Expected time reduction (Eq. 14) to reach.",
    ),
]


def calibrate(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    method: MethodOption = None,
    decompose: DecomposeOption = None,
    target_reduction: TargetOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Search the thresholds with the best score among those that reach a reduction on `val`.

    Reads checkpoint.safetensors, or what --weights names, and the prepared data. Writes
    thresholds.yaml, calibration.jsonl (every setting that was tried) and saturation.npz to the run
    folder; for another method than mue thresholds-METHOD.yaml and calibration-METHOD.jsonl. A
    target out of reach is an error that states the largest reachable one.
    """
    settings = with_decompose(overrides, decompose)
    with bars() as tell:
        here = opened(recipe, settings, run, device, weights, progress=tell)
        chosen = method or here.recipe.exits.method
        path = here.run.of_method(here.run.thresholds, chosen)
        with keeping(lambda: f"`{path}` is as it was before"):
            stored = here.calibrate(target_reduction, method).thresholds
    if as_json:
        answer_json(asdict(stored))
        return
    _show(stored)
    say(f"next: {here.run.command('evaluate')}{f' --method {method}' if method else ''}")


def _show(stored: "Thresholds") -> None:
    share = f", {stored.score / stored.full_score:.1%}" if stored.full_score else ""
    bounded = CATALOGUE[stored.method].threshold == "score"
    never = {
        name: " (never)" if bounded and value > 1 else ""
        for name, value in stored.thresholds.items()
    }
    answer(
        "  ".join(f"{name} {value:.4f}{never[name]}" for name, value in stored.thresholds.items())
    )
    answer(f"expected reduction {stored.achieved:.1%}, wanted {stored.target:.1%}")
    scores = f"{stored.metric} {stored.score:.1f} (full model {stored.full_score:.1f}{share})"
    answer(f"{scores} on {stored.samples} samples of {stored.split}")
