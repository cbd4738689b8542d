"""A recipe is an experiment as data: YAML <-> frozen dataclasses. The only module that reads and
writes YAML.

Every field has its type and range beside it; a recipe file says only what differs from the
defaults.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from mue_cli.errors import RecipeError
from mue_cli.exits.catalogue import MethodName
from mue_cli.schema.schema import (
    Count,
    Fraction,
    Natural,
    NonNegative,
    Place,
    Positive,
    Range,
    Share,
    build,
    did_you_mean,
)

Kind = Literal["recipe", "study"]
_PLACES: Mapping[Kind, str] = {"recipe": "recipes", "study": "recipes/studies"}
_PLURALS: Mapping[Kind, str] = {"recipe": "recipes", "study": "studies"}


@dataclass(frozen=True)
class DataSection:
    """dataset: shapes, coco, flickr8k or snli-ve. root: folder that `mue prepare` wrote (default:
    data/<dataset>). prompt: ofa asks OFA's questions; bare gives the sentence alone, which a small
    model from nothing learns from much sooner.
    """

    dataset: Literal["shapes", "coco", "flickr8k", "snli-ve"] = "shapes"
    root: str | None = None
    prompt: Literal["ofa", "bare"] = "ofa"
    image_size: Count = 64
    max_source_tokens: Count = 80
    max_target_tokens: Count = 20

    @property
    def folder(self) -> Path:
        """Return where the prepared data is."""
        return Path(self.root or Path("data") / self.dataset)


@dataclass(frozen=True)
class ModelSection:
    """preset: a named size (mue_cli/model/config.py); when absent, the weights' own or nano.
    config: single fields of the size that are replaced. weights: what to start from: a file or
    folder (ours, Hugging Face's, fairseq's) or a hub id such as OFA-Sys/ofa-base; its vocabulary
    comes along. ema: take the averaged weights of a fairseq file. decompose: image and text through
    the encoder separately (Eq. 3).
    """

    preset: str | None = None
    config: dict[str, object] = field(default_factory=dict)
    weights: str | None = None
    ema: bool = False
    decompose: bool = True


@dataclass(frozen=True)
class TrainingSection:
    """layer_loss: mean (Eq. 13), sum (the release), weighted (deeper layers count more: PABEE,
    CALM) or last (no multiple exits); the methods pabee and deecap always take weighted, deebert a
    sum over its heads. warmup: fraction of the steps. accumulation: batches whose gradients make
    one step, where memory holds only a part of the wanted batch.
    last_layer_first: share of the steps, at the start, that train the last layer alone; what OFA's
    pre-training is to MuE, for a model that starts from nothing. drop_path and dropout come with
    the model's config.
    """

    steps: Count = 1000
    batch_size: Count = 32
    accumulation: Count = 1
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.01
    warmup: Fraction = 0.06
    clip_norm: Positive = 1.0
    label_smoothing: Fraction = 0.0
    layer_loss: Literal["mean", "sum", "weighted", "last"] = "mean"
    last_layer_first: Fraction = 0.0
    validate_every: Count = 250
    validation_samples: Count = 200
    freeze_resnet: bool = False


SkippedLayers = Literal["project", "recompute", "copy"]


@dataclass(frozen=True)
class ExitsSection:
    """method: who may stop early (mue_cli/exits/methods.py), and how it is trained. image, text,
    joint, decoder: for mue, the similarity above which a stream stops (Eq. 7-10); for static, the
    layer it stops after; the other methods know the decoder alone: deebert stops above a certainty,
    deecap above a probability, calm above a margin, pabee once so many layers have agreed. Above 1
    nothing stops; for pabee, from one less than the number of layers on. Streams that are absent
    here are read from the run's thresholds. joint replaces image and text when the model does not
    decompose. beta, tau: Eq. 11, of mue and calm (whose authors take tau 4). full_depth_steps:
    first decoding steps that are never cut short (the release: a third of them). skipped_layers:
    what a word that left early shows to later words in decoder layers it skipped: the state it left
    with, projected there; what full depth would have given, recomputed; or a copy of its exit
    layer's keys and values.
    """

    method: MethodName = "mue"
    image: float | None = None
    text: float | None = None
    joint: float | None = None
    decoder: float | None = None
    beta: Share = 0.9
    tau: NonNegative = 1.0
    full_depth_steps: Natural = 0
    skipped_layers: SkippedLayers = "project"


@dataclass(frozen=True)
class InferenceSection:
    """precision: what evaluation, calibration and prediction compute with
    (mue_cli/inference/precision.py). Training is float32.
    """

    precision: Literal["float32", "bfloat16", "int8"] = "float32"


@dataclass(frozen=True)
class SearchSection:
    """Generation (OFA: beam 5, 16 tokens, no 3-gram twice, length penalty 1). Ignored when answers
    are a closed set.
    """

    beam: Count = 5
    max_tokens: Count = 16
    min_tokens: Natural = 1
    no_repeat_ngram: Natural = 3
    length_penalty: float = 1.0
    temperature: Positive = 1.0


@dataclass(frozen=True)
class EvaluationSection:
    """samples: at most so many of a split (None: all). timed_samples: how many are timed one by one
    against `full`. metrics: of captions, by name, each of which must be had (None: all that can be
    had here).
    """

    batch_size: Count = 16
    samples: Count | None = None
    timed_samples: Natural = 16
    metrics: tuple[Literal["BLEU", "METEOR", "ROUGE-L", "CIDEr", "SPICE"], ...] | None = None


@dataclass(frozen=True)
class CalibrationSection:
    """target_reduction: expected time reduction (Eq. 14) to reach on `val`. max_evaluations:
    settings that are really run.
    """

    target_reduction: Fraction = 0.4
    max_evaluations: Annotated[int, Range(3)] = 24
    samples: Count | None = 200


@dataclass(frozen=True)
class Recipe:
    """name: also the name of the run folder, runs/<name>."""

    name: str
    task: str
    seed: Natural = 0
    data: DataSection = field(default_factory=DataSection)
    model: ModelSection = field(default_factory=ModelSection)
    training: TrainingSection = field(default_factory=TrainingSection)
    exits: ExitsSection = field(default_factory=ExitsSection)
    inference: InferenceSection = field(default_factory=InferenceSection)
    search: SearchSection = field(default_factory=SearchSection)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    calibration: CalibrationSection = field(default_factory=CalibrationSection)


def load(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of a file, or of a name such as "shapes-caption".

    overrides: "section.key=value" each, the value in YAML; a later one wins. Raises RecipeError,
    naming key and place.
    """
    path = find(name_or_path)
    raw = read_yaml(path)
    sources = {override.partition("=")[0].strip(): f"`--set {override}`" for override in overrides}
    for override in overrides:
        _set(raw, override)

    def place(key: str) -> str:
        return sources.get(key, f"`{path}`")

    recipe = build(Recipe, raw, place)
    _check(recipe, place)
    return recipe


def dump(recipe: Recipe) -> str:
    """Return the whole recipe as YAML, defaults included; `load` reads it back as the same recipe."""
    return to_yaml(asdict(recipe))


def find(name_or_path: str | Path, kind: Kind = "recipe") -> Path:
    """Return the file of a recipe or study: a path when it has a suffix or a folder, else a name.
    Raises RecipeError without one.
    """
    path = Path(name_or_path)
    known, plural = names(kind), _PLURALS[kind]
    if path.suffix in (".yaml", ".yml") or path.name != str(name_or_path):
        if not path.is_file():
            raise RecipeError(f"no {kind} file `{path}`", f"{plural} by name: {', '.join(known)}")
        return path
    for folder in _folders(kind):
        if (folder / f"{path}.yaml").is_file():
            return folder / f"{path}.yaml"
    raise RecipeError(f"no {kind} named `{path}`", did_you_mean(str(path), known, plural))


def names(kind: Kind = "recipe") -> tuple[str, ...]:
    """Return the names of the recipes or studies that came with the program, sorted."""
    return tuple(sorted({path.stem for folder in _folders(kind) for path in folder.glob("*.yaml")}))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises RecipeError when there is no file, no mapping, a
    key twice or a wrong spelling.
    """
    try:
        raw = _parse(path.read_text(encoding="utf-8"), f"`{path}`")
    except OSError as error:
        raise RecipeError(f"cannot read `{path}`: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"cannot read `{path}`: it is not UTF-8 text") from None
    if not isinstance(raw, dict):
        raise RecipeError(
            f"`{path}` is {'empty' if raw is None else 'not a mapping'}, expected keys and values",
            "a line looks like `key: value`",
        )
    return raw


def to_yaml(mapping: Mapping[str, object]) -> str:
    """Return a mapping of plain values as YAML, keys in their order."""
    return yaml.safe_dump(dict(mapping), sort_keys=False, allow_unicode=True, width=120)


def override(key: str, value: object) -> str:
    """Return "section.key=value", as `load` and `--set` read it back."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf)
    plain = text.removesuffix("...\n").strip()  # YAML ends a lone value with dots
    return f"{key}={plain}"


class _Loader(yaml.SafeLoader):
    """Safe YAML where a key may stand once only, and 1e-3 is a number (YAML 1.1 asks for 1.0e-3)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _parse(text: str, place: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        hint = "indent with spaces, never with tabs" if "'\\t'" in str(error.problem) else None
        raise RecipeError(f"cannot read {place}: {where}{error.problem}", hint) from None
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"cannot read {place}: {str(error).splitlines()[0]}") from None


def _set(raw: dict[str, Any], override: str) -> None:
    """Put one "section.key=value" into the mapping."""
    key, equals, value = override.partition("=")
    *sections, last = parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(
            f"cannot read `--set {override}`",
            "write it as section.key=value, e.g. --set training.steps=100",
        )
    node = raw
    for section in sections:
        below = node.get(section)
        node[section] = node = dict(below) if isinstance(below, dict) else {}
    node[last] = _parse(value, f"`--set {override}`")


def _check(recipe: Recipe, place: Place) -> None:
    """Refuse values that are right alone and wrong together."""
    if not re.fullmatch(r"\w[\w.-]*", recipe.name):
        raise RecipeError(
            f'`name` in {place("name")} is "{recipe.name}", expected letters, digits, dots and dashes',
            "it names the run folder",
        )
    if recipe.search.min_tokens > recipe.search.max_tokens:
        found = f"`search.min_tokens` in {place('search.min_tokens')} is {recipe.search.min_tokens}"
        raise RecipeError(
            f"{found}, expected at most `search.max_tokens`, which is {recipe.search.max_tokens}"
        )


def _folders(kind: Kind) -> tuple[Path, ...]:
    """Return where named recipes or studies lie: inside the installed package, or beside it in a
    checkout.
    """
    package, place = Path(__file__).resolve().parent.parent, _PLACES[kind]
    return tuple(folder for folder in (package / place, package.parent / place) if folder.is_dir())
