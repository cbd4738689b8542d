"""Stored thresholds: what calibration chose, and the conditions under which they hold."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields

from mue_cli.errors import RecipeError
from mue_cli.exits.catalogue import MUE
from mue_cli.experiment.run_folder import Run, calibrate_command
from mue_cli.files import write_text
from mue_cli.recipe.recipe import SkippedLayers, read_yaml, to_yaml
from mue_cli.schema.schema import Count, Fraction, build


@dataclass(frozen=True)
class Conditions:
    """What thresholds depend on besides the weights' training.

    decompose: image and text apart. decay: Eq. 11's settings, empty where nothing decays.
    skipped_layers: the policy. search: beam and longest caption, empty for closed sets: rules look
    at all hypotheses together, and Eq. 11 at the longest caption. precision. weights: as
    `--weights` named them, None for the run's own.
    """

    decompose: bool = True
    decay: Mapping[str, float] = field(default_factory=dict)
    skipped_layers: SkippedLayers = "project"
    search: Mapping[str, float] = field(default_factory=dict)
    precision: str = "float32"
    weights: str | None = None

    def differences(self, other: "Conditions") -> Iterator[tuple[str, str]]:
        """Yield what differs from other conditions, field by field, in words: ours and theirs."""
        for item in fields(self):
            ours, theirs = getattr(self, item.name), getattr(other, item.name)
            if ours != theirs:
                yield _in_words(item.name, ours), _in_words(item.name, theirs)


@dataclass(frozen=True)
class Thresholds:
    """A method's thresholds by stream (absent: never), and what they reached where they were
    searched.

    target, achieved: expected time reduction (Eq. 14). score, full_score: of these thresholds and
    of the full model, on the same samples of `split`.
    """

    thresholds: Mapping[str, float]
    target: Fraction
    achieved: float
    metric: str
    score: float
    full_score: float
    split: str
    samples: Count
    method: str = MUE.name
    conditions: Conditions = field(default_factory=Conditions)

    def check(self, now: Conditions, run: Run) -> None:
        """Raise RecipeError when the thresholds were searched under other conditions."""
        for searched, wanted in self.conditions.differences(now):
            path = run.of_method(run.thresholds, self.method)
            raise RecipeError(
                f"`{path}` was searched with {searched}, now it is {wanted}",
                f"run: {run.command(calibrate_command(self.method))}",
            )


def write_thresholds(run: Run, thresholds: Thresholds) -> None:
    """Write the method's thresholds.yaml."""
    write_text(run.of_method(run.thresholds, thresholds.method), to_yaml(asdict(thresholds)))


def read_thresholds(run: Run, method: str = MUE.name) -> Thresholds:
    """Return what `mue calibrate` chose.

    Raises MissingStepError before it was run, RecipeError for a file edited into nonsense.
    """
    path = run.need(run.of_method(run.thresholds, method), calibrate_command(method))
    return build(Thresholds, read_yaml(path), lambda key: f"`{path}`")


def _in_words(name: str, value: object) -> str:
    match name, value:
        case "decompose", _:
            return "image and text apart" if value else "image and text in one stream"
        case "weights", _:
            return f"the weights {value}" if value else "the run's own weights"
        case _, Mapping():
            listed = ", ".join(f"{key} {number:g}" for key, number in value.items())
            return listed or ("no decay" if name == "decay" else "no search")
        case _:
            return f"{name} {value}"
