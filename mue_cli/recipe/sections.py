"""The sections of a recipe, field by field: what each may be, its default, what it does.

`mue recipes show NAME --explain` and the JSON Schema print these docstrings; a refusal hints at
them.
"""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from mue_cli.exits.catalogue import MethodName
from mue_cli.schema.schema import (
    Count,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Range,
    Share,
    Text,
    stored,
)

Metric = Literal["BLEU", "METEOR", "ROUGE-L", "CIDEr", "SPICE"]
SkippedLayers = Literal["project", "recompute", "copy"]


@stored
class DataSection:
    """Prepared data, and how a sample is made of it."""

    dataset: Literal["shapes", "coco", "flickr8k", "snli-ve"] = "shapes"
    """Data set that `mue prepare` writes."""
    root: Text | None = None
    """Folder that `mue prepare` wrote; null: data/<dataset>."""
    prompt: Literal["ofa", "bare"] = "ofa"
    """ofa: OFA's questions; bare: the sentence alone, which a small model learns sooner."""
    image_size: Annotated[int, Range(16, 4096)] = 64
    """Side of the square picture that the model sees, in pixels."""
    max_source_tokens: Count = 80
    """Longest text that the encoder reads, in tokens; longer ones are cut."""
    max_target_tokens: Count = 20
    """Longest caption that training reads, in tokens; longer ones are cut."""

    @property
    def folder(self) -> Path:
        """Where the prepared data is."""
        return Path(self.root or Path("data") / self.dataset)


@stored
class ModelSection:
    """The model, and the weights it starts from."""

    preset: Text | None = None
    """Named size (mue_cli/model/config.py); null: the weights' own, else nano."""
    config: dict[str, object] = field(default_factory=dict)
    """Single fields of the size that are replaced, e.g. drop_path: 0.1."""
    weights: Text | None = None
    """Weights to start from: a file or folder (ours, Hugging Face's, fairseq's) or a hub id such as
    OFA-Sys/ofa-base; their vocabulary comes along."""
    ema: bool = False
    """Whether the averaged weights of a fairseq file are taken."""
    decompose: bool = True
    """Whether image and text go through the encoder separately (Eq. 3)."""
    resnet_weights: str | None = None
    """File of an ImageNet ResNet's weights for the trunk alone (safetensors or .pth, torchvision's
    names), as OFA starts from; all else starts as the preset says."""
    resnet_pixels: Literal["imagenet", "half"] = "imagenet"
    """Pixels that resnet_weights were trained with: ImageNet's mean and deviation, as torchvision's
    (folded into the first convolution); or (x - 0.5) / 0.5, as here."""


@stored
class TrainingSection:
    """Fine-tuning with exits (Eq. 12-13). Dropout and drop_path come with the model's config."""

    steps: Count = 1000
    """Number of optimiser steps."""
    batch_size: Annotated[int, Range(1, 65536)] = 32
    """Samples in a batch."""
    accumulation: Annotated[int, Range(1, 65536)] = 1
    """Batches whose gradients make one step, where memory holds only a part of the wanted batch."""
    learning_rate: Positive = 1e-3
    """Peak learning rate."""
    weight_decay: NonNegative = 0.01
    """AdamW's weight decay."""
    warmup: Fraction = 0.06
    """Share of the steps in which the learning rate rises to its peak."""
    clip_norm: Positive = 1.0
    """Largest norm of the gradient; a longer one is scaled down."""
    label_smoothing: Fraction = 0.0
    """Share of a label's probability that all other words get."""
    layer_loss: Literal["mean", "sum", "weighted", "last"] = "mean"
    """How the decoder layers' losses are combined: mean (Eq. 13), sum (the release), weighted
    (deeper layers count more: PABEE, CALM), last (no early exits)."""
    last_layer_first: Fraction = 0.0
    """Share of the steps, at the start, that train the last layer alone; stands in for OFA's
    pre-training where a model starts from nothing."""
    validate_every: Count = 250
    """Steps between two validations; the weights that did best are kept."""
    validation_samples: Count = 200
    """Samples of `val` that are scored in a validation."""
    freeze_resnet: bool = False
    """Whether the ResNet stays as it is, its batch norm too."""
    cache_features: bool = False
    """Whether a frozen ResNet's features are computed once, in bfloat16, and kept beside the
    prepared data: a step then costs what the transformer costs."""
    captions_per_image: Annotated[int, Range(1, 64)] = 1
    """Captions of a picture that come together, the picture encoded once for them; batch_size then
    counts pictures. 1: every caption is a row of its own."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of matrix products in training; weights, norms, softmax, loss stay float32."""
    checkpoint_every: Count | None = None
    """Steps between two states kept for --resume; null: at validations alone."""
    activation_checkpointing: bool = False
    """Whether what happens inside of a layer is computed again for its gradient rather than kept:
    less memory for more time, the same gradients."""
    tensorboard: bool = False
    """Whether the steps also go to TensorBoard's event files, `tensorboard/` in the run folder;
    needs the package (the extra `tensorboard`)."""
    objective: Literal["cross_entropy", "self_critical"] = "cross_entropy"
    """cross_entropy: the right words; self_critical: CIDEr-D of sampled captions, OFA's second
    stage, from a model that was trained on words."""
    baseline: Literal["others", "greedy"] = "others"
    """Reward that a self-critical sample must beat: the mean of the picture's other samples (OFA),
    or the greedy caption's."""
    drop_worst: Annotated[float, Range(0, 0.95)] = 0.0
    """Share of the words with the largest losses, layer by layer, that do not count (OFA: 0.2):
    captions hold words that no picture shows."""
    drop_worst_after: Natural = 0
    """Steps before drop_worst begins; at first, the worst words are those to be learned."""
    freeze_embeddings: bool = False
    """Whether the word embeddings, which are the output head too, stay as they are (OFA does so for
    captions)."""
    exposure: Fraction = 0.0
    """Share of the steps whose image and text streams leave the encoder after drawn layers: the
    decoder then learns to read early states, as inference with exits gives it."""
    distillation: Fraction = 0.0
    """Share of the early decoder layers' loss that is against the last layer's probabilities rather
    than the right words: they tell which other words would do. For the shared head."""
    rotating_layers: Natural = 0
    """Early decoder layers that are in the loss of a step, drawn anew each time, beside the last;
    0: all. Fewer logits are computed, and in the mean each layer counts the same."""


@stored
class ExitsSection:
    """Early exits at inference. Thresholds that are null come from the run's thresholds.yaml."""

    method: MethodName = "mue"
    """Method that decides who leaves early, and how it is trained."""
    image: float | None = None
    """Threshold of the image stream: mue's cosine similarity (Eq. 7-9), static's layer number."""
    text: float | None = None
    """Threshold of the text stream, like `image`."""
    joint: float | None = None
    """Threshold of the one encoder stream of a model that does not decompose."""
    decoder: float | None = None
    """Threshold of the decoder: mue's similarity (Eq. 10), static's layer, deebert's certainty,
    deecap's probability, calm's margin, pabee's number of layers in a row that agree."""
    beta: Share = 0.9
    """Weight of the threshold in its decay (Eq. 11)."""
    tau: NonNegative = 1.0
    """Speed of the decay (Eq. 11); CALM's authors take 4."""
    full_depth_steps: Natural = 0
    """First decoding steps that are never cut short; the release: a third of them."""
    skipped_layers: SkippedLayers = "project"
    """Keys and values that a word leaves in decoder layers it skipped: of its exit state, projected
    there; recomputed at full depth; or a copy of its exit layer's."""


@stored
class InferenceSection:
    """Arithmetic of evaluation, calibration and prediction."""

    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Number format that the model computes with; auto: the fastest of the machine that
    calibrates, if it keeps the score."""
    precision_tolerance: Fraction = 0.005
    """Largest relative fall of the full model's score on `val` that auto accepts."""


@stored
class SearchSection:
    """Generation of a caption; unused where answers are a closed set."""

    beam: Annotated[int, Range(1, 256)] = 5
    """Hypotheses that beam search keeps."""
    max_tokens: Annotated[int, Range(1, 4096)] = 16
    """Longest caption, in tokens."""
    min_tokens: Annotated[int, Range(0, 4096)] = 1
    """Shortest caption, in tokens."""
    no_repeat_ngram: Natural = 3
    """Length of word groups that may not come twice; 0: all may."""
    length_penalty: Annotated[float, Range(-10, 10)] = 1.0
    """Power of the length that a hypothesis's score is divided by."""
    temperature: Annotated[float, Range(0.001, 1000)] = 1.0
    """Divisor of the logits."""


@stored
class EvaluationSection:
    """Evaluation on a split."""

    batch_size: Annotated[int, Range(1, 65536)] = 16
    """Samples in a batch."""
    samples: Count | None = None
    """Most samples of a split that are used; null: all."""
    timed_samples: Natural = 16
    """Samples that are timed one by one against the full model; 0: none."""
    metrics: tuple[Metric, ...] | None = None
    """Metrics of captions, each of which must be there; null: all that are there."""
    shuffled_pictures: bool = False
    """Whether the task's metric is also computed with every sample's picture replaced by that of
    another evaluated sample: what is left of the score does not need its own. They run twice."""


@stored
class CalibrationSection:
    """Search for thresholds on `val`."""

    target_reduction: Fraction = 0.4
    """Expected time reduction (Eq. 14) to reach."""
    max_evaluations: Annotated[int, Range(3, 1_000_000)] = 24
    """Settings of the thresholds that are really run."""
    samples: Count | None = 200
    """Most samples of `val` that are used; null: all."""
    search_decay: bool = False
    """Whether beta and tau of Eq. 11 are searched too (captions; five other pairs are tried at the
    best thresholds); those chosen are stored with the thresholds and take the place of exits.beta
    and exits.tau."""


@stored
class Recipe:
    """An experiment: data, model, training, and what is measured."""

    name: str
    """Name of the experiment, also of its run folder, runs/<name>."""
    task: str
    """Name of the task that the model learns (mue_cli/data/tasks)."""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """Seed of all that is random."""
    data: DataSection = field(default_factory=DataSection)
    """Prepared data, and how a sample is made of it."""
    model: ModelSection = field(default_factory=ModelSection)
    """The model, and the weights it starts from."""
    training: TrainingSection = field(default_factory=TrainingSection)
    """Fine-tuning with exits."""
    exits: ExitsSection = field(default_factory=ExitsSection)
    """Early exits at inference."""
    inference: InferenceSection = field(default_factory=InferenceSection)
    """Arithmetic of evaluation, calibration and prediction."""
    search: SearchSection = field(default_factory=SearchSection)
    """Generation of a caption."""
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    """Evaluation on a split."""
    calibration: CalibrationSection = field(default_factory=CalibrationSection)
    """Search for thresholds."""
