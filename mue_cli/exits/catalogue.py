"""The methods, one row each: all that the rest of the program knows of them.

Nothing here imports torch, so commands and recipes read it at once. What a row names is built in
`exits.methods`; docs/methods.md says how each method differs from its paper.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

Exits = Literal["nowhere", "everywhere", "decoder"]
Threshold = Literal["score", "agreement", "layer"]
Head = Literal["shared", "layers", "imitation", "gates"]
Training = Literal["model", "model and head", "head"]


@dataclass(frozen=True)
class MethodSpec:
    """One method.

    name: as it is typed. title: as tables and figures print it.
    exits: which streams may stop early: none, the encoder's and the decoder, the decoder alone.
    threshold: what `exits.image` and so on mean: a bound of the exit score, how many layers in a
        row must agree, or the layer itself; None without any.
    score: the exit score, "module:NAME"; None where a rule looks at nothing.
    decays: whether the decoder's threshold decays in generation (Eq. 11).
    head: what reads a state out: the model's own head, an internal classifier per layer, an
        imitation network, or the model's own beside the gates that decide.
    training: what `mue finetune` trains for it.
    layer_loss: how the layers' losses are combined; None: as training.layer_loss says.
    closed_sets: whether it is defined for closed sets of answers; DeeCap is a captioner.
    """

    name: str
    title: str
    exits: Exits = "nowhere"
    threshold: Threshold | None = None
    score: str | None = None
    decays: bool = False
    head: Head = "shared"
    training: Training = "model"
    layer_loss: str | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether its thresholds have to be found."""
        return self.threshold in ("score", "agreement")

    @property
    def has_curve(self) -> bool:
        """Whether there is anything to sweep."""
        return self.threshold is not None

    @property
    def is_trained_alone(self) -> bool:
        """Whether its head is trained afterwards, on a model that stays as it is."""
        return self.training == "head"

    @property
    def has_own_head(self) -> bool:
        """Whether it has weights of its own beside the model's."""
        return self.head != "shared"

    def streams(self, decompose: bool) -> tuple[str, ...]:
        """Return the streams that have a rule; decompose: image and text are two (Eq. 3)."""
        if self.exits == "nowhere":
            return ()
        encoder = encoder_streams(decompose) if self.exits == "everywhere" else ()
        return (*encoder, "decoder")


FULL = MethodSpec("full", "full model")
STATIC = MethodSpec("static", "static", exits="everywhere", threshold="layer")
MUE = MethodSpec(
    "mue",
    "MuE",
    exits="everywhere",
    threshold="score",
    score="mue_cli.exits.similarity:SIMILARITY",
    decays=True,
)
DEEBERT = MethodSpec(
    "deebert",
    "DeeBERT",
    exits="decoder",
    threshold="score",
    score="mue_cli.exits.entropy:CERTAINTY",
    head="layers",
    training="head",
)
PABEE = MethodSpec(
    "pabee",
    "PABEE",
    exits="decoder",
    threshold="agreement",
    score="mue_cli.exits.patience:AGREEMENT",
    head="layers",
    training="model and head",
    layer_loss="weighted",
)
DEECAP = MethodSpec(
    "deecap",
    "DeeCap",
    exits="decoder",
    threshold="score",
    score="mue_cli.exits.confidence:CONFIDENCE",
    head="imitation",
    training="model and head",
    layer_loss="weighted",
)
CALM = MethodSpec(
    "calm",
    "CALM",
    exits="decoder",
    threshold="score",
    score="mue_cli.exits.confidence:MARGIN",
    decays=True,
)

GATE = MethodSpec(
    "gate",
    "gate",
    exits="everywhere",
    threshold="score",
    score="mue_cli.exits.gate:GATE",
    head="gates",
    training="head",
)

CATALOGUE = {spec.name: spec for spec in (FULL, STATIC, MUE, DEEBERT, PABEE, DEECAP, CALM, GATE)}

ORACLE = "oracle"
"""The analysis that `mue evaluate` offers beside the methods: exits found afterwards, by no rule.
"""


def names(where: Callable[[MethodSpec], bool] = lambda spec: True) -> tuple[str, ...]:
    """Return the names of the methods for which `where` holds, in the catalogue's order."""
    return tuple(name for name, spec in CATALOGUE.items() if where(spec))


def spec_or_full(name: str) -> MethodSpec:
    """Return a method's row; of an analysis, or another word, the full model's."""
    return CATALOGUE.get(name, FULL)


def title(name: str) -> str:
    """Return what tables and figures call a method or analysis; of another word the word itself."""
    return CATALOGUE[name].title if name in CATALOGUE else name


def encoder_streams(decompose: bool) -> tuple[str, ...]:
    """Return the streams of the encoder: image and text apart (Eq. 3), or one of both."""
    return ("image", "text") if decompose else ("joint",)


def all_names() -> tuple[str, ...]:
    """Return every name that a record's `method` may have: the methods' and the oracle's."""
    return (*CATALOGUE, ORACLE)


if TYPE_CHECKING:
    MethodName = str
    CalibratedName = str
    ExitingName = str
    RunnableName = str
    TrainingName = str
else:
    MethodName = Literal[all_names()]
    """What a recipe's exits.method may say."""
    CalibratedName = Literal[names(lambda spec: spec.is_calibrated)]
    """Methods with thresholds to be found."""
    ExitingName = Literal[names(lambda spec: spec.has_curve)]
    """Methods that really leave early."""
    RunnableName = Literal[names()]
    """Methods that can be run on pictures whose answers nobody knows."""
    TrainingName = Literal[names(lambda spec: not spec.is_trained_alone)]
    """Methods that train the model itself."""
