"""`mue calibrate`: thresholds that reach a wanted reduction."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.display import answer, answer_json, keeping, progress, say
from mue_cli.commands.options import DeviceOption, JsonOption, RecipeOption, RunOption, SetOption, WeightsOption, experiment
from mue_cli.errors import MueError, RecipeError

if TYPE_CHECKING:
    import numpy as np

    from mue_cli.calibration import Calibration, Point
    from mue_cli.commands.workbench import Workbench
    from mue_cli.evaluation import Similarities, Subject
    from mue_cli.recipe import Recipe
    from mue_cli.runs import Thresholds

EXAMPLES = """Examples

mue calibrate

mue calibrate --target-reduction 0.4

mue calibrate --recipe shapes-entailment --set calibration.max_evaluations=40"""

TargetOption = Annotated[
    float | None,
    typer.Option("--target-reduction", metavar="FRACTION", show_default="the recipe's", help="Expected time reduction (Eq. 14) to reach."),
]


def calibrate(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    target_reduction: TargetOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Search the similarity thresholds with the best score among those that reach a reduction on `val`.

    Reads checkpoint.safetensors, or what --weights names, and the prepared data. Writes thresholds.yaml, calibration.jsonl (every setting
    that was tried) and saturation.npz to the run folder. A target out of reach is an error that states the largest reachable one.
    """
    here = experiment(recipe, overrides, run, weights=weights)
    target = here.recipe.calibration.target_reduction if target_reduction is None else target_reduction
    if not 0.0 < target < 1.0:
        raise MueError(f"the target reduction is {target:g}, expected a fraction above 0 and below 1", "0.4 stands for 40 %")
    _refuse_fixed_thresholds(here.recipe)

    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli import build
    from mue_cli.commands.workbench import after_training
    from mue_cli.runs import Thresholds, write_thresholds

    workbench = after_training(here.recipe, here.run, device)
    with keeping(lambda: f"`{here.run.thresholds}` is as it was before"):
        found, samples = _search(workbench, target)
    thresholds = Thresholds(
        found.thresholds,
        target,
        found.reduction,
        workbench.task.metric,
        found.score,
        found.full_score,
        "val",
        samples,
        build.decay_settings(here.recipe),
        build.skipped_layers(here.recipe),
        here.recipe.inference.precision,
        here.run.weights,
    )
    write_thresholds(here.run, thresholds)
    if as_json:
        answer_json(asdict(thresholds))
    else:
        _show(thresholds)
        say(f"next: {here.run.command('evaluate')}")


def _refuse_fixed_thresholds(recipe: "Recipe") -> None:
    """Raise RecipeError when the recipe leaves nothing to search: its own thresholds would win over those that are found."""
    fixed = [f"`exits.{stream}`" for stream in ("image", "text", "joint", "decoder") if getattr(recipe.exits, stream) is not None]
    if fixed:
        raise RecipeError(f"the recipe `{recipe.name}` fixes {', '.join(fixed)} itself", "leave them out, or null, to calibrate them")


def _search(workbench: "Workbench", target: float) -> "tuple[Calibration, int]":
    """Return what the search found, and on how many samples."""
    from mue_cli.calibration import calibrate
    from mue_cli.runs import append_line

    settings = workbench.recipe.calibration
    subject = workbench.trained_subject()
    similarities = workbench.similarities(subject)
    measure = _measure(workbench, subject, similarities)
    workbench.run.calibration.unlink(missing_ok=True)

    def evaluate(thresholds: Mapping[str, float]) -> "Point":
        point = measure(thresholds)
        append_line(workbench.run.calibration, asdict(point))
        return point

    with progress("calibrate") as report:
        found = calibrate(_profiles(workbench, similarities), evaluate, target, settings.max_evaluations, report)
    return found, len(similarities.predictions)


def _measure(workbench: "Workbench", subject: "Subject", similarities: "Similarities") -> "Callable[[Mapping[str, float]], Point]":
    """Return the function that runs one setting on the calibration samples; the full model has run already."""
    from mue_cli import build
    from mue_cli.calibration import Point
    from mue_cli.cost.reduction import expected_time_reduction
    from mue_cli.evaluation import predict, quick_score

    batches = workbench.split("val", workbench.recipe.calibration.samples)
    score = quick_score(workbench.task, batches)
    config = subject.model.config

    def measure(thresholds: Mapping[str, float]) -> Point:
        method = build.method(workbench.recipe, "mue", thresholds)
        exits = any(rule.can_fire for rule in method.rules.values())
        predictions = predict(subject, method, batches) if exits else similarities.predictions
        traces = [prediction.trace for prediction in predictions]
        reduction = expected_time_reduction(traces, config.num_encoder_layers, config.num_decoder_layers)
        return Point(dict(thresholds), score(predictions), reduction.expected)

    return measure


def _profiles(workbench: "Workbench", similarities: "Similarities") -> "dict[str, np.ndarray]":
    """Return the similarities as the thresholds are compared with them: the decoder's with Eq. 11's decay taken out."""
    from mue_cli import build
    from mue_cli.calibration import without_decay

    profiles = dict(similarities.streams)
    decay = build.decay(workbench.recipe)
    if decay is not None:
        num_steps = workbench.recipe.search.max_tokens + 1
        profiles["decoder"] = without_decay(profiles["decoder"], similarities.steps, num_steps, decay)
    return profiles


def _show(found: "Thresholds") -> None:
    share = f", {found.score / found.full_score:.1%}" if found.full_score else ""
    answer("  ".join(f"{stream} {value:.4f}{' (never)' if value > 1 else ''}" for stream, value in found.thresholds.items()))
    answer(f"expected reduction {found.achieved:.1%}, wanted {found.target:.1%}")
    answer(f"{found.metric} {found.score:.1f} (full model {found.full_score:.1f}{share}) on {found.samples} samples of {found.split}")
