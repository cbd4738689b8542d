"""Train a run's model, or an exit head on it: resumable, the best kept, every step logged."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mue_cli.data.batches import Batch
from mue_cli.errors import MueError
from mue_cli.evaluation.predict import predict
from mue_cli.evaluation.score import quick_score
from mue_cli.exits.catalogue import CATALOGUE, MethodSpec
from mue_cli.exits.gate import Gates
from mue_cli.exits.heads import ImitationHead, LayerHeads
from mue_cli.exits.methods import full
from mue_cli.experiment import event_files, exit_heads, run_folder
from mue_cli.experiment.exit_heads import HeadSizes, TrainedHead, head_sizes
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.lock import holding_run
from mue_cli.experiment.models import new_model, settle_threads
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.self_critical import self_critical_stage
from mue_cli.experiment.training_data import (
    batches_from,
    check_data_settings,
    features_of,
    validation_batches,
)
from mue_cli.experiment.training_files import TrainingFiles, finish_move
from mue_cli.experiment.training_start import check_vocabulary, place
from mue_cli.files import is_first_process, staged
from mue_cli.model import checkpoint
from mue_cli.model.ofa import OFA, recomputed
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.recipe.recipe import Recipe
from mue_cli.training import gates, loop, stages
from mue_cli.training.features import Features
from mue_cli.training.loop import Hooks, StepReport
from mue_cli.training.processes import ALONE, LostProcessError, Processes
from mue_cli.training.stages import Stage
from mue_cli.training.stopping import StoppedTraining, StopRequest

HEADS_METRIC = "accuracy of the heads"
GATES_METRIC = "100 - Brier score of the gates"
NOTHING = "before the first validation: nothing was kept"


@dataclass(frozen=True)
class Finetuned:
    """What a training left. metric, score: the best validation. exit_head: of its own, if any.
    cut: share of the captions, or questions, learned from that lost their end.
    """

    metric: str
    score: float
    checkpoint: Path
    exit_head: Path | None = None
    cut: float = 0.0


@dataclass(frozen=True)
class Job:
    """One training, and what is kept of it.

    label: what progress is called. metric, validate: what decides which weights are best. keep:
    writes what is trained as it is now. keep_state: writes what resuming needs. log: where a line
    per step goes, asked each time. kept: says what there is and how to go on, from "best CIDEr 71.0
    at step 250", "" before the first validation.
    """

    label: str
    metric: str
    validate: Callable[[], float]
    keep: Callable[[], None]
    keep_state: Callable[[dict[str, object]], None]
    log: Callable[[], Path]
    kept: Callable[[str], str]


@holding_run("finetune")
def finetune(experiment: Experiment, resume: bool = False, force: bool = False) -> Finetuned:
    """Train the recipe's model, every decoder layer with the task's loss (Eq. 12-13), or with the
    exit head and loss of exits.method. Processes that `torchrun` started train it together.

    resume: go on where the last training of this run stopped. force: train anew although there is a
    checkpoint; it stays until the new one is there. Raises MueError when there is one and neither
    was said, RecipeError when a resumed model is another, KeyboardInterrupt saying what was kept.
    """
    recipe, run, processes = experiment.recipe, experiment.run, experiment.processes
    check_data_settings(experiment, processes)
    if processes.writes:
        finish_move(run)
    processes.wait()  # the others read the folder once it is settled
    files, state = place(experiment, resume, force)
    experiment.data  # noqa: B018 - missing data is reported before missing weights
    tokenizer = experiment.starting_tokenizer
    model = new_model(recipe, tokenizer.vocab_size)
    answers = experiment.task.answer_ids(tokenizer.encode)
    spec = CATALOGUE.get(recipe.exits.method)
    sizes = head_sizes(spec, experiment.task, model.config) if spec else None
    check_vocabulary(experiment, files.run, tokenizer, state)
    features = features_of(experiment, model)
    head = exit_heads.make(sizes).to(processes.device) if sizes else None
    if processes.rank:
        torch.manual_seed(recipe.seed + processes.rank)  # dropout of its own
    if processes.writes:
        if state is None:
            files.begin(recipe, tokenizer.to_json())
        else:
            files.go_on(recipe, state["step"])
    settle_threads(model)
    model.to(processes.device)
    if recipe.training.activation_checkpointing:
        model.run_layer = recomputed
    if recipe.training.objective == "self_critical":
        stage = self_critical_stage(experiment, model, tokenizer)
    else:
        stage = _stage(recipe, model, head, answers)
    job = _model_job(experiment, files, model, (head, sizes), tokenizer, features, processes)

    def batches(first: int) -> Iterator[Batch]:
        return batches_from(experiment, first, tokenizer, features, processes)

    best = _train(experiment, stage, job, batches, state, processes)
    own = run.exit_head(recipe.exits.method)
    cut = _share_cut(experiment) if processes.writes else 0.0
    return Finetuned(
        experiment.task.metric, best, run.checkpoint, own if own.exists() else None, cut
    )


@holding_run("finetune")
def train_heads(experiment: Experiment, spec: MethodSpec, force: bool = False) -> Finetuned:
    """Train a method's internal classifiers or gates on the run's checkpoint, which stays as it is.

    force: although there are some; they stay until new ones are there. Raises MissingStepError
    before the model was trained, MueError when there are heads already.
    """
    recipe, run, processes = experiment.recipe, experiment.run, experiment.processes
    run.need(run.checkpoint, "finetune --method full")
    experiment.need_trained()
    file = run.exit_head(spec.name)
    if file.exists() and not force:
        raise MueError(f"`{file}` is there already", "--force trains it anew")
    check_data_settings(experiment, processes)
    model = experiment.model
    sizes = head_sizes(spec, experiment.task, model.config, recipe.model.decompose)
    assert sizes is not None
    heads = exit_heads.make(sizes).to(experiment.device)
    second = _second_stage(experiment, heads)
    changed = False

    def keep() -> None:
        nonlocal changed
        with staged() as beside:
            exit_heads.save(heads, sizes, beside(file))
            run_folder.clear_method(run, spec.name)
        changed = True

    def stream(first: int) -> Iterator[Batch]:
        return batches_from(experiment, first, experiment.tokenizer, processes=processes)

    with _second_log(run, spec.name, lambda: changed) as log:
        job = Job(
            "heads",
            second.metric,
            validate=second.validate,
            keep=keep,
            keep_state=lambda state: None,
            log=lambda: log,
            kept=lambda best: f"kept {file} ({best}); --force trains it anew" if best else NOTHING,
        )
        rate = second.learning_rate or recipe.training.learning_rate
        if second.learning_rate:
            note = f"note: the learning rate is {rate:g}; training.learning_rate has no effect here"
            experiment.progress("heads", 0, 0, note)
        training = replace(recipe.training, learning_rate=rate)
        own = replace(experiment, recipe=replace(recipe, training=training))
        best = _train(own, second.stage, job, stream, processes=processes)
    return Finetuned(second.metric, best, run.checkpoint, file)


@dataclass(frozen=True)
class SecondStage:
    """How heads are trained on a model that stays as it is, and what says which are best.

    learning_rate: that replaces the recipe's.
    """

    stage: Stage
    metric: str
    validate: Callable[[], float]
    learning_rate: float | None = None


def _second_stage(experiment: Experiment, heads: TrainedHead) -> SecondStage:
    recipe, model, task = experiment.recipe, experiment.model, experiment.task
    ids, decompose = task.answer_ids(experiment.tokenizer.encode), recipe.model.decompose
    batches = experiment.batches("val", recipe.training.validation_samples)
    if isinstance(heads, Gates):
        steps = recipe.search.max_tokens + 1 if task.generates else None
        inputs = gates.Inputs(decompose, ids, steps)
        stage = gates.gate_stage(model, heads, recipe.training, inputs)
        score = partial(gates.gates_score, model, heads, batches, inputs)
        return SecondStage(stage, GATES_METRIC, score, gates.GATES_RATE)
    assert isinstance(heads, LayerHeads)
    stage = stages.frozen_model(model, heads, recipe.training, decompose, ids)
    score = partial(stages.heads_accuracy, model, heads, batches, decompose, ids)
    return SecondStage(stage, HEADS_METRIC, score)


def _stage(recipe: Recipe, model: OFA, head: TrainedHead | None, answers: Sequence[int]) -> Stage:
    """Return how a model is trained, with the exit head that goes along."""
    how = (recipe.training, recipe.model.decompose, answers)
    if head is None:
        return stages.shared_head(model, *how)
    if isinstance(head, LayerHeads):
        return stages.layer_heads(model, head, *how)
    assert isinstance(head, ImitationHead)
    return stages.imitation(model, head, *how)


def _model_job(
    experiment: Experiment,
    files: TrainingFiles,
    model: OFA,
    own_head: tuple[TrainedHead | None, HeadSizes | None],
    tokenizer: Tokenizer,
    features: Features | None,
    processes: Processes,
) -> Job:
    recipe, run, (head, sizes) = experiment.recipe, experiment.run, own_head
    batches = validation_batches(experiment, tokenizer, features)
    score, own = quick_score(experiment.task, batches), batches.share(processes)
    greedy = replace(recipe.search, beam=1)

    def validate() -> float:
        predictor = experiment.predictor_of(model, tokenizer, greedy)
        predictions = predict(predictor, full(recipe.model.decompose), own)
        return score([each for part in processes.gather(predictions) for each in part])

    def keep() -> None:
        save_head = None
        if head is not None and sizes is not None:
            save_head = lambda path: exit_heads.save(head, sizes, path)  # noqa: E731
        files.keep_weights(
            lambda path: checkpoint.save(model, path), save_head, recipe.exits.method
        )

    def kept(best: str) -> str:
        files_kept = f"{run.checkpoint} ({best})"
        if not best:  # earlier weights may be there, which are another training's
            files_kept = f"{files.run.last_state} (not validated yet)"
        return f"kept {files_kept}; to go on: {run.command('finetune')} --resume"

    return Job(
        "finetune",
        experiment.task.metric,
        validate,
        keep,
        files.keep_state,
        lambda: files.run.train_log,
        kept,
    )


def _train(
    experiment: Experiment,
    stage: Stage,
    job: Job,
    batches: Callable[[int], Iterator[Batch]],
    state: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
) -> float:
    """Train to the end and return the best validation score. state: where a training stands."""
    settings = experiment.recipe.training
    first = 1 + (state["step"] if state else 0)
    scored = state is not None and math.isfinite(state["best"])
    best = f"best {job.metric} {state['best']:.1f}" if state and scored else ""

    def keep_best(step: int, value: float) -> None:
        nonlocal best
        if processes.writes:
            job.keep()
        best = f"best {job.metric} {value:.1f} at step {step}"

    def keep_state(values: dict[str, object]) -> None:
        if processes.writes:
            job.keep_state(values)

    def report(step: StepReport) -> None:
        if processes.writes:
            run_folder.append_line(job.log(), asdict(step))
            show(step)
            experiment.progress(job.label, step.step, step.num_steps, _note(step, best))

    hooks = Hooks(job.validate, report, keep_best, keep_state)
    events: AbstractContextManager[event_files.Report] = nullcontext(lambda step: None)
    if settings.tensorboard and processes.writes:
        events = event_files.event_files(experiment.run.folder, first)
    try:
        with events as show, StopRequest().listening() as stop:
            return loop.finetune(stage, batches, settings, hooks, state, stop, processes)
    except StoppedTraining as stopped:
        raise StoppedTraining(stopped.number, job.kept(best)) from None
    except LostProcessError as lost:
        raise LostProcessError(lost.message, job.kept(best)) from None
    except KeyboardInterrupt:
        kept = job.kept(best) if best else NOTHING
        raise KeyboardInterrupt(kept) from None


def _share_cut(experiment: Experiment) -> float:
    """Return the share of texts that were cut, by the log, and say so where there are some."""
    log = experiment.run.train_log
    if not log.exists():
        return 0.0
    steps = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    cut, samples = (sum(step.get(name, 0) for step in steps) for name in ("cut", "samples"))
    if cut == 0:
        return 0.0
    data, longest = experiment.recipe.data, experiment.recipe.search.max_tokens
    what, name, limit = "questions", "data.max_source_tokens", data.max_source_tokens
    if experiment.task.generates:
        what, name, limit = "captions", "data.max_target_tokens", data.max_target_tokens
        name += ", and search.max_tokens with it" if longest <= limit else ""
    note = f"{cut:,} of {samples:,} {what} were longer than {limit} tokens and lost their end"
    experiment.progress("finetune", 0, 0, f"{note}: raise {name}")
    return float(cut / samples)


def _note(step: StepReport, best: str) -> str:
    rate = step.samples / step.seconds
    note = f"loss {step.loss:.3f}  learning rate {step.learning_rate:.1e}  {rate:.0f} samples/s"
    waited = step.waited / step.seconds
    if waited > 0.1:
        note += f" ({waited:.0%} waiting for data)"
    return f"{note}  {best}".rstrip()


@contextmanager
def _second_log(run: Run, method: str, changed: Callable[[], bool]) -> Iterator[Path]:
    """Yield where a training is logged; the log takes the place of the former one when its heads
    did, else it goes away.
    """
    log = run.folder / f".{method}.jsonl"
    if not is_first_process():
        yield log
        return
    log.unlink(missing_ok=True)
    try:
        yield log
    finally:
        if changed():
            log.replace(run.second_log(method))
        log.unlink(missing_ok=True)
