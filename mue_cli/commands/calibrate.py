"""`mue calibrate`: thresholds that reach a wanted reduction."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.display import answer, answer_json, keeping, progress, say
from mue_cli.commands.options import (
    DecomposeOption,
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    WeightsOption,
    experiment,
    with_decompose,
)
from mue_cli.errors import MueError, RecipeError
from mue_cli.exits.catalogue import CALIBRATED, DECODER_ONLY, CalibratedName

if TYPE_CHECKING:
    from mue_cli.calibration.search import Calibration, Point
    from mue_cli.commands.workbench import Workbench
    from mue_cli.experiment.run_folder import Thresholds
    from mue_cli.recipe.recipe import Recipe

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
    here = experiment(recipe, with_decompose(overrides, decompose), run, weights=weights)
    target = (
        here.recipe.calibration.target_reduction if target_reduction is None else target_reduction
    )
    if not 0.0 < target < 1.0:
        raise MueError(
            f"the target reduction is {target:g}, expected a fraction above 0 and below 1",
            "0.4 stands for 40 %",
        )
    name = method or here.recipe.exits.method
    if name not in CALIBRATED:
        raise MueError(
            f"the method {name} has no thresholds to search", "name one that has: --method mue"
        )
    refuse_fixed_thresholds(here.recipe, name)

    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli.commands.workbench import after_training
    from mue_cli.experiment import build
    from mue_cli.experiment.run_folder import Thresholds, write_thresholds

    workbench = after_training(here.recipe, here.run, device)
    with keeping(lambda: f"`{here.run.of_method(here.run.thresholds, name)}` is as it was before"):
        found, samples = _search(workbench, name, target)
    thresholds = Thresholds(
        found.thresholds,
        target,
        found.reduction,
        workbench.task.metric,
        found.score,
        found.full_score,
        "val",
        samples,
        build.decay_settings(here.recipe, name),
        build.skipped_layers(here.recipe),
        here.recipe.inference.precision,
        here.run.weights,
        name,
        here.recipe.model.decompose,
        build.search_settings(here.recipe),
    )
    write_thresholds(here.run, thresholds)
    if as_json:
        answer_json(asdict(thresholds))
    else:
        _show(thresholds)
        say(f"next: {here.run.command('evaluate')}{f' --method {method}' if method else ''}")


def refuse_fixed_thresholds(recipe: "Recipe", method: str) -> None:
    """Raise RecipeError when the recipe leaves nothing to search: its own thresholds would win over
    those that are found.
    """
    streams = ("decoder",) if method in DECODER_ONLY else ("image", "text", "joint", "decoder")
    fixed = [f"`exits.{stream}`" for stream in streams if getattr(recipe.exits, stream) is not None]
    if fixed:
        raise RecipeError(
            f"the recipe `{recipe.name}` fixes {', '.join(fixed)} itself",
            "leave them out, or null, to calibrate them",
        )


def _search(workbench: "Workbench", name: str, target: float) -> "tuple[Calibration, int]":
    """Return what the search found, and on how many samples."""
    from mue_cli.calibration.search import calibrate
    from mue_cli.commands.tuning import Tuning
    from mue_cli.experiment.run_folder import append_line

    tuning = Tuning.of(workbench, workbench.trained_subject(), name)
    log = workbench.run.of_method(workbench.run.calibration, name)
    log.unlink(missing_ok=True)

    def evaluate(thresholds: Mapping[str, float]) -> "Point":
        point = tuning.run(thresholds)
        append_line(log, asdict(point))
        return point

    with progress("calibrate") as report:
        found = calibrate(
            tuning.comparable,
            evaluate,
            target,
            workbench.recipe.calibration.max_evaluations,
            report,
        )
    return found, tuning.num_samples


def _show(found: "Thresholds") -> None:
    share = f", {found.score / found.full_score:.1%}" if found.full_score else ""
    answer(
        "  ".join(
            f"{stream} {value:.4f}{' (never)' if value > 1 and found.method != 'pabee' else ''}"
            for stream, value in found.thresholds.items()
        )
    )
    answer(f"expected reduction {found.achieved:.1%}, wanted {found.target:.1%}")
    answer(
        f"{found.metric} {found.score:.1f} (full model {found.full_score:.1f}{share}) on {found.samples} samples of {found.split}"
    )
