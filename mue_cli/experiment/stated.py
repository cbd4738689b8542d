"""A method's thresholds as an experiment states them: in the recipe, or chosen by calibration."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from mue_cli.data.disk import fingerprint
from mue_cli.errors import MissingStepError, RecipeError
from mue_cli.exits.catalogue import CATALOGUE, MethodSpec
from mue_cli.experiment.conditions import Conditions
from mue_cli.experiment.methods import decay_settings, fixed_thresholds, skipped_layers
from mue_cli.experiment.thresholds import check_scores, read_thresholds

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment


def thresholds_of(experiment: "Experiment", name: str) -> dict[str, float]:
    """Return a threshold per stream that has a rule; see `Experiment.thresholds`."""
    spec = CATALOGUE.get(name)
    stated = fixed_thresholds(experiment.recipe.exits)
    wanted = spec.streams(experiment.recipe.model.decompose) if spec else ()
    for stream in stated.keys() - set(wanted):
        note = f"note: exits.{stream} has no effect on the method {name}"
        experiment.progress("thresholds", 0, 0, note)
    if spec is None or not spec.has_curve:
        return {}
    _check_counts(spec, stated, wanted)
    if spec.threshold == "layer":
        _check_layers(experiment, {stream: stated[stream] for stream in wanted})
    check_scores(spec, stated, "`exits.{stream}`", "95 per cent are 0.95; above 1 nothing stops")
    if spec.is_calibrated and not stated.keys() >= set(wanted):
        chosen = read_thresholds(experiment.run, name)
        chosen.check(conditions_of(experiment, name), experiment.run)
        stated = {**chosen.thresholds, **stated}
    return {stream: stated[stream] for stream in wanted if stream in stated}


def settled(experiment: "Experiment", name: str) -> "Experiment":
    """Return the experiment with Eq. 11's settings that calibration chose for a method, where it
    searched them and the thresholds are its own.
    """
    spec, run = CATALOGUE.get(name), experiment.run
    stated = fixed_thresholds(experiment.recipe.exits)
    if spec is None or not spec.decays or not run.of_method(run.thresholds, name).exists():
        return experiment
    if stated.keys() >= set(spec.streams(experiment.recipe.model.decompose)):
        return experiment
    chosen = read_thresholds(run, name)
    if not chosen.decay:
        return experiment
    chosen.check(conditions_of(experiment, name), run)
    beta, tau = chosen.decay["beta"], chosen.decay["tau"]
    return experiment.with_exits(beta=beta, tau=tau)


def thresholds_that_hold(experiment: "Experiment", name: str) -> dict[str, float]:
    """Return a method's stored thresholds, to be shown; none before the first, and none that were
    searched under other conditions, which is noted.
    """
    run = experiment.run
    if not run.of_method(run.thresholds, name).exists():
        return {}
    chosen = read_thresholds(run, name)
    try:
        chosen.check(conditions_of(settled(experiment, name), name), run)
    except (MissingStepError, RecipeError) as error:
        experiment.progress("thresholds", 0, 0, f"note: not shown: {error.message}")
        return {}
    return dict(chosen.thresholds)


def conditions_of(experiment: "Experiment", name: str) -> Conditions:
    """Return what a method's thresholds depend on; see `Conditions`."""
    recipe, task = experiment.recipe, experiment.task
    data = recipe.data
    return Conditions(
        decompose=recipe.model.decompose,
        decay=decay_settings(recipe, task, CATALOGUE[name]),
        skipped_layers=skipped_layers(recipe, task),
        search=asdict(recipe.search) if task.generates else {},
        image_size=data.image_size,
        prompt=data.prompt,
        max_source_tokens=data.max_source_tokens,
        precision=experiment.precision,
        weights=experiment.run.weights,
        fingerprint=fingerprint_of(experiment, name),
    )


def fingerprint_of(experiment: "Experiment", name: str) -> str:
    """Return what tells the weights of a method from others: of the model, and of its exit head."""
    files = [experiment.weights.weights]
    if CATALOGUE[name].has_own_head:
        files.append(experiment.run.exit_head(name))
    return "-".join(fingerprint(path) for path in files if path.is_file())


def _check_counts(spec: MethodSpec, stated: Mapping[str, float], wanted: tuple[str, ...]) -> None:
    """Raise RecipeError for layers, or numbers of agreeing layers, that are none."""
    if spec.threshold == "agreement":
        value = stated.get("decoder", 1)
        if not _is_count(value):
            raise RecipeError(
                f"`exits.decoder` is {value:g}, expected for {spec.name} how many layers in a row "
                "must agree",
                "for example 2",
            )
    if spec.threshold == "layer" and not all(_is_count(stated.get(each, 0)) for each in wanted):
        example = " ".join(f"--set exits.{stream}=3" for stream in wanted)
        raise RecipeError(
            f"the method {spec.name} needs an exit layer for each of {', '.join(wanted)}",
            f"for example {example}",
        )


def _check_layers(experiment: "Experiment", stated: Mapping[str, float]) -> None:
    """Raise RecipeError for an exit layer that the model does not have."""
    sizes = experiment.model.config
    for stream, layer in stated.items():
        deepest = sizes.num_decoder_layers if stream == "decoder" else sizes.num_encoder_layers
        if layer > deepest:
            raise RecipeError(
                f"`exits.{stream}` is {layer:g}, the model has {deepest} layers there",
                f"name a layer from 1 to {deepest}",
            )


def _is_count(value: float) -> bool:
    return value >= 1 and float(value).is_integer()
