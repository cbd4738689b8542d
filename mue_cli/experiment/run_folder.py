"""The run folder, `runs/<name>/`: what one recipe produced, and all that commands tell each other.

| file | written by | holds |
| --- | --- | --- |
| recipe.yaml | finetune | the whole recipe, defaults and overrides included |
| tokenizer.json | finetune | the vocabulary that the weights know |
| checkpoint.safetensors | finetune | the weights that did best on the validation samples |
| last.pt | finetune | where training stands, for `--resume` |
| train.jsonl | finetune | loss and learning rate as training went on |
| tensorboard/ | finetune | the same as event files, with training.tensorboard |
| pabee.safetensors, deecap.safetensors | finetune --method ... | its exit head |
| deebert.safetensors, train-deebert.jsonl | finetune --method deebert | heads, and their log |
| thresholds.yaml | calibrate | thresholds; another method's: thresholds-deebert.yaml |
| calibration.jsonl | calibrate | every setting that was tried; likewise |
| trials.jsonl | calibrate | what every setting gave on every sample, to go on from; likewise |
| promises.jsonl | calibrate | every thresholds.yaml that was written, for `mue plot calibration` |
| saturation.npz | calibrate | similarity of neighbouring layers, for `mue plot saturation` |
| modality.npz | plot | score by image and text exit layer, for `mue plot modality` |
| depth.npz | plot | score read after each layer of each stream, for `mue plot depth` |
| records.jsonl | evaluate | one evaluated point per line: scores and costs |
| traces.jsonl, predictions.json | evaluate | exits and answers of the last evaluation |
| bench.json | bench | times of the parts, ceilings, latencies: of the last bench |
| explain.html | predict | a page of the pictures that were explained last |
| plots/ | plot | figures, PNG and SVG |
| study/ | study | study.yaml, and a run folder for each seed and training of a study |
"""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mue_cli.errors import MissingStepError
from mue_cli.exits.catalogue import MUE
from mue_cli.files import append, write_text
from mue_cli.recipe.recipe import Recipe, dump
from mue_cli.reports.record import Record, read_records
from mue_cli.reports.traces import EvaluationTraces
from mue_cli.reports.traces import read_traces as read_traces_file
from mue_cli.schema.json_files import read_json_lines

BESIDE = ".new"  # in a run folder: a training anew, until its first checkpoint is there


@dataclass(frozen=True)
class Run:
    """Paths of one run. arguments: what a command line needs to mean this run ("--recipe
    shapes-caption"), for hints. weights: other weights than the run's checkpoint, as `--weights`
    names them.
    """

    folder: Path
    arguments: str = ""
    weights: str | None = None

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def last_state(self) -> Path:
        return self.folder / "last.pt"

    @property
    def beside(self) -> "Run":
        """The run of a training anew, which takes this one's place once it has weights."""
        return replace(self, folder=self.folder / BESIDE)

    @property
    def is_begun(self) -> bool:
        """Whether there is what --resume goes on from; a link to nowhere is an error to it."""
        return any(os.path.lexists(each.last_state) for each in (self, self.beside))

    @property
    def train_log(self) -> Path:
        return self.folder / "train.jsonl"

    def exit_head(self, method: str) -> Path:
        """Return the file of a method's own exit head."""
        return self.folder / f"{method}.safetensors"

    def second_log(self, method: str) -> Path:
        """Return the log of a training that a method adds to the model's."""
        return self.folder / f"train-{method}.jsonl"

    @property
    def thresholds(self) -> Path:
        return self.folder / "thresholds.yaml"

    @property
    def calibration(self) -> Path:
        return self.folder / "calibration.jsonl"

    @property
    def trials(self) -> Path:
        return self.folder / "trials.jsonl"

    @property
    def promises(self) -> Path:
        return self.folder / "promises.jsonl"

    def of_method(self, path: Path, method: str) -> Path:
        """Return the file that stands for `path` under a method: mue's has the plain name,
        another's the method's name in it.
        """
        return path if method == MUE.name else path.with_name(f"{path.stem}-{method}{path.suffix}")

    @property
    def saturation(self) -> Path:
        return self.folder / "saturation.npz"

    @property
    def modality(self) -> Path:
        return self.folder / "modality.npz"

    @property
    def depth(self) -> Path:
        return self.folder / "depth.npz"

    @property
    def records(self) -> Path:
        return self.folder / "records.jsonl"

    @property
    def traces(self) -> Path:
        return self.folder / "traces.jsonl"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions.json"

    @property
    def bench(self) -> Path:
        return self.folder / "bench.json"

    @property
    def explain_page(self) -> Path:
        return self.folder / "explain.html"

    @property
    def plots(self) -> Path:
        return self.folder / "plots"

    @property
    def study(self) -> Path:
        return self.folder / "study"

    def command(self, name: str) -> str:
        """Return the command line that runs the command `name` for this run."""
        return f"mue {name} {self.arguments}".rstrip()

    @property
    def trained(self) -> "Run":
        """The run once its recipe.yaml holds all that was said: the folder's name means it."""
        words = self.arguments if "--set" not in self.arguments else ""
        return replace(self, arguments=words or shlex.join(["--run", str(self.folder)]))

    def need(self, path: Path, command: str) -> Path:
        """Return `path`. Raises MissingStepError, naming the command that writes it."""
        if not path.exists():
            raise MissingStepError(
                f"no {path.name} in `{self.folder}`", f"run: {self.command(command)}"
            )
        return path


@dataclass(frozen=True)
class Tried:
    """One setting that calibration ran. reduction: expected (Eq. 14), a fraction. decay: Eq. 11's
    beta and tau where they are not the recipe's.
    """

    thresholds: Mapping[str, float]
    score: float
    reduction: float
    decay: Mapping[str, float] = field(default_factory=dict)


def write_recipe(run: Run, recipe: Recipe) -> None:
    """Write the resolved recipe."""
    write_text(run.recipe, dump(recipe))


def keep_tokenizer(run: Run, vocabulary: str) -> None:
    """Keep the vocabulary: data prepared anew may get another one, and the weights would not know
    it.
    """
    write_text(run.tokenizer, vocabulary)


def append_line(path: Path, values: Mapping[str, object]) -> None:
    """Add one JSON line to a log of the run: train.jsonl, calibration.jsonl."""
    append(path, json.dumps(dict(values)))


def read_tried(run: Run, method: str = MUE.name) -> tuple[Tried, ...]:
    """Return every setting that the last calibration ran, the full model first. Raises
    MissingStepError before the first.
    """
    path = run.need(run.of_method(run.calibration, method), calibrate_command(method))
    return tuple(read_json_lines(Tried, path, "calibrate again"))


def calibrate_command(method: str) -> str:
    return "calibrate" if method == MUE.name else f"calibrate --method {method}"


def records(run: Run) -> list[Record]:
    """Return all evaluated points, oldest first. Raises MissingStepError before the first
    evaluation.
    """
    return read_records(run.need(run.records, "evaluate"))


def read_traces(run: Run) -> EvaluationTraces:
    """Return the traces of the last evaluation. Raises MissingStepError before the first."""
    return read_traces_file(run.need(run.traces, "evaluate"))


def write_predictions(path: Path, predictions: Sequence[Mapping[str, object]]) -> None:
    """Write predictions.json in COCO's result form: a list with an image id and an answer each."""
    write_text(path, json.dumps(list(predictions), ensure_ascii=False, indent=1) + "\n")
