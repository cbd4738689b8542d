"""A study as data: what is trained (folders) and what is evaluated there (rows)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mue_cli.exits import catalogue
from mue_cli.exits.catalogue import MethodName, TrainingName
from mue_cli.recipe import recipe as recipes
from mue_cli.recipe.overrides import Override
from mue_cli.recipe.recipe import Recipe
from mue_cli.schema.schema import Fraction, Natural

FULL = catalogue.FULL.name
"""The row that scores and reductions are relative to, and its method."""
SPLIT = "test"
"""Where rows are evaluated."""

Settings = dict[str, object]
"""Values of the recipe that are replaced: "section.key" -> value."""


@dataclass(frozen=True)
class Folder:
    """One training. start: the folder of the same seed whose weights it begins from; None: as the
    recipe says. settings: of training and model.
    """

    start: str | None = None
    method: TrainingName = FULL
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One method evaluated in a folder. target_reduction: of its thresholds' calibration (None: the
    recipe's). settings: of calibration and evaluation. second_stage: of the training of internal
    classifiers. sweep: evaluate its trade-off curve too, where it has one.
    """

    folder: str
    method: MethodName
    target_reduction: Fraction | None = None
    settings: Settings = field(default_factory=dict)
    second_stage: Settings = field(default_factory=dict)
    sweep: bool = True

    @property
    def spec(self) -> catalogue.MethodSpec:
        """The method's row of the catalogue; the full model's for an analysis of it."""
        return catalogue.spec_or_full(self.method)


@dataclass(frozen=True)
class Study:
    """Many methods and seeds on one recipe. recipe: what folders and rows change. folders, rows: by
    name, in the order they run. seeds: each trains and evaluates everything. overrides:
    "section.key=value" each, as `--set` gives them; they win everywhere.
    """

    name: str
    recipe: str
    folders: dict[str, Folder]
    rows: dict[str, Row]
    seeds: tuple[Natural, ...] = (0, 1, 2)
    overrides: tuple[str, ...] = ()

    def changed_recipe(self, settings: Mapping[str, object], place: str = "the study") -> Recipe:
        """Return the recipe with settings replaced. place: where they were written. Raises
        RecipeError when they make no sense.
        """
        changes = [Override(key, value, place) for key, value in settings.items()]
        return recipes.load(self.recipe, [*changes, *self.overrides])


def as_overrides(settings: Mapping[str, object]) -> list[str]:
    """Return settings as `--set` takes them."""
    return [recipes.override(key, value) for key, value in settings.items()]
