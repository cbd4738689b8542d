"""A recipe is an experiment as data: YAML <-> frozen dataclasses.

(loader, --set overrides, "did you mean": to be written here)
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class DataSection:
    """dataset: shapes, coco, flickr8k or snli-ve. root: folder that `mue prepare` wrote (default: data/<dataset>)."""

    dataset: str = "shapes"
    root: str | None = None
    image_size: int = 64
    max_source_tokens: int = 80
    max_target_tokens: int = 20
    vocab_size: int = 1000


@dataclass(frozen=True)
class ModelSection:
    """preset: a named size (mue_cli/model/config.py). config: single fields of the size that are replaced.
    weights: a checkpoint to start from. decompose: image and text through the encoder separately (Eq. 3)."""

    preset: str = "nano"
    config: dict[str, object] = field(default_factory=dict)
    weights: str | None = None
    decompose: bool = True


@dataclass(frozen=True)
class TrainingSection:
    """layer_loss: mean (Eq. 13), sum (the release) or last (no multiple exits). warmup: fraction of the steps.
    drop_path and dropout come with the model's config."""

    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.06
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    layer_loss: Literal["mean", "sum", "last"] = "mean"
    validate_every: int = 250
    validation_samples: int = 200
    freeze_resnet: bool = False


@dataclass(frozen=True)
class ExitsSection:
    """method: full, static, mue. thresholds: similarity above which a stream stops (Eq. 7-10); above 1 never.
    When a threshold is absent it is read from the run's thresholds.yaml.
    beta, tau: Eq. 11. full_depth_steps: first decoding steps that are never cut short (the release: a third of them).
    skipped_kv: where a skipped decoder layer's keys and values come from."""

    method: str = "mue"
    image: float | None = None
    text: float | None = None
    decoder: float | None = None
    beta: float = 0.9
    tau: float = 1.0
    full_depth_steps: int = 0
    skipped_kv: Literal["project"] = "project"


@dataclass(frozen=True)
class SearchSection:
    """Generation (OFA: beam 5, 16 tokens, no 3-gram twice, length penalty 1). Ignored when answers are a closed set."""

    beam: int = 5
    max_tokens: int = 16
    min_tokens: int = 1
    no_repeat_ngram: int = 3
    length_penalty: float = 1.0
    temperature: float = 1.0


@dataclass(frozen=True)
class EvaluationSection:
    """samples: at most so many of a split (None: all). timed_samples: how many are timed one by one against `full`."""

    batch_size: int = 16
    samples: int | None = None
    timed_samples: int = 16


@dataclass(frozen=True)
class CalibrationSection:
    """target_reduction: expected time reduction (Eq. 14) to reach on `val`. max_evaluations: settings that are really run."""

    target_reduction: float = 0.4
    max_evaluations: int = 24
    samples: int | None = 200


@dataclass(frozen=True)
class Recipe:
    name: str
    task: Literal["caption", "entailment"]
    seed: int = 0
    data: DataSection = field(default_factory=DataSection)
    model: ModelSection = field(default_factory=ModelSection)
    training: TrainingSection = field(default_factory=TrainingSection)
    exits: ExitsSection = field(default_factory=ExitsSection)
    search: SearchSection = field(default_factory=SearchSection)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    calibration: CalibrationSection = field(default_factory=CalibrationSection)
