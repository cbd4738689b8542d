"""A method as a recipe states it: its decay, its policy for skipped layers, its thresholds."""

from collections.abc import Mapping
from dataclasses import asdict

from mue_cli.data.tasks import Task
from mue_cli.errors import RecipeError
from mue_cli.exits.catalogue import CATALOGUE, ORACLE, MethodSpec
from mue_cli.exits.decay import Decay
from mue_cli.exits.heads import ExitHead
from mue_cli.exits.methods import Method, SkippedPolicy, build
from mue_cli.recipe.recipe import ExitsSection, Recipe
from mue_cli.schema.schema import did_you_mean


def spec_of(name: str) -> MethodSpec:
    """Return a method's row of the catalogue. Raises RecipeError for an unknown name."""
    if name == ORACLE:
        raise RecipeError(
            "the oracle is no method to run: its exits are found afterwards",
            "name another with --method",
        )
    if name not in CATALOGUE:
        raise RecipeError(f"unknown method `{name}`", did_you_mean(name, CATALOGUE))
    return CATALOGUE[name]


def decay(recipe: Recipe, task: Task, spec: MethodSpec) -> Decay | None:
    """Return Eq. 11's decay where text is generated; closed-set answers have one step and none, as
    in the release.
    """
    if not (task.generates and spec.decays):
        return None
    return Decay(recipe.exits.beta, recipe.exits.tau, recipe.exits.full_depth_steps)


def decay_settings(recipe: Recipe, task: Task, spec: MethodSpec) -> dict[str, float]:
    """Return Eq. 11's settings by name, none where nothing decays."""
    settings = decay(recipe, task, spec)
    return asdict(settings) if settings else {}


def skipped_layers(recipe: Recipe, task: Task) -> SkippedPolicy:
    """Return the policy for skipped decoder layers; closed-set answers have one step, and the
    default, which never comes to bear.
    """
    return recipe.exits.skipped_layers if task.generates else ExitsSection.skipped_layers


def make_method(
    recipe: Recipe,
    task: Task,
    spec: MethodSpec,
    thresholds: Mapping[str, float],
    head: ExitHead | None = None,
) -> Method:
    """Return a method with its thresholds, by stream.

    head: its own exit head. Raises RecipeError when it needs one and has none.
    """
    if spec.has_own_head and head is None:
        raise RecipeError(
            f"the method {spec.name} needs its exit head",
            f"mue finetune --method {spec.name} trains it",
        )
    policy = skipped_layers(recipe, task) if spec.has_curve else "project"
    how = decay(recipe, task, spec)
    return build(spec, thresholds, recipe.model.decompose, how, policy, head)


def fixed_thresholds(exits: ExitsSection) -> dict[str, float]:
    """Return the thresholds that a recipe states itself."""
    streams = ("image", "text", "joint", "decoder")
    stated = {stream: getattr(exits, stream) for stream in streams}
    return {stream: value for stream, value in stated.items() if value is not None}


def refuse_fixed_thresholds(recipe: Recipe, spec: MethodSpec) -> None:
    """Raise RecipeError when the recipe leaves nothing to search: its own thresholds would win over
    those that calibration finds.
    """
    used = {*spec.streams(decompose=True), *spec.streams(decompose=False)}
    fixed = [f"`exits.{stream}`" for stream in fixed_thresholds(recipe.exits) if stream in used]
    if fixed:
        raise RecipeError(
            f"the recipe `{recipe.name}` fixes {', '.join(fixed)} itself",
            "leave them out, or null, to calibrate them",
        )
