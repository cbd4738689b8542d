"""Train a run's model, or an exit head on it: the best weights kept, resumable, every step logged."""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mue_cli.errors import CheckpointError, MueError, RecipeError
from mue_cli.evaluation.predict import predict
from mue_cli.evaluation.score import quick_score
from mue_cli.exits.catalogue import CATALOGUE, MethodSpec
from mue_cli.exits.heads import LayerHeads
from mue_cli.exits.methods import full
from mue_cli.experiment import exit_heads, run_folder
from mue_cli.experiment.exit_heads import HeadSizes, TrainedHead, head_sizes
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.models import new_model, settle_threads
from mue_cli.experiment.run_folder import Run
from mue_cli.files import replacing
from mue_cli.model import checkpoint
from mue_cli.model.ofa import OFA
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.recipe.recipe import Recipe, load
from mue_cli.training import loop, stages
from mue_cli.training.loop import Hooks, StepReport
from mue_cli.training.stages import Stage

HEADS_METRIC = "accuracy of the heads"


@dataclass(frozen=True)
class Finetuned:
    """What a training left. metric, score: the best validation. exit_head: where one was trained."""

    metric: str
    score: float
    checkpoint: Path
    exit_head: Path | None = None


@dataclass(frozen=True)
class Job:
    """What one training keeps, and how it is judged.

    label: what progress is called. log: file of a line per step. metric, validate: what decides
    which weights are best. keep: writes what is trained as it is now. keep_state: writes what
    resuming needs. kept: says what there is and how to go on, from "best CIDEr 71.0 at step 250".
    """

    label: str
    log: Path
    metric: str
    validate: Callable[[], float]
    keep: Callable[[], None]
    keep_state: Callable[[dict[str, object]], None]
    kept: Callable[[str], str]


def finetune(experiment: Experiment, resume: bool = False, force: bool = False) -> Finetuned:
    """Train the recipe's model, every decoder layer with the task's loss (Eq. 12-13), or with the
    exit head and loss of exits.method.

    resume: go on where the last training of this run stopped. force: train anew although there is a
    checkpoint. Raises MueError when there is one and neither was said, RecipeError when a resumed
    model is another, KeyboardInterrupt saying what was kept.
    """
    recipe, run = experiment.recipe, experiment.run
    state = _state_to_resume(experiment) if resume else None
    if state is None and run.checkpoint.exists() and not force:
        raise MueError(
            f"`{run.folder}` already has a checkpoint",
            f"{run.command('finetune')} --resume goes on, --force trains anew, "
            "--run FOLDER keeps both",
        )
    experiment.data  # noqa: B018 - missing data is reported before missing weights
    tokenizer = experiment.starting_tokenizer
    model = new_model(recipe, tokenizer.vocab_size).to(experiment.device)
    answers = experiment.task.answer_ids(tokenizer.encode)
    spec = CATALOGUE.get(recipe.exits.method)
    sizes = head_sizes(spec, experiment.task, model.config) if spec else None
    if state is None:
        run_folder.clear(run)
        run_folder.keep_tokenizer(run, tokenizer.to_json())
    elif Tokenizer.load(run.tokenizer).to_json() != tokenizer.to_json():
        raise RecipeError(
            f"the vocabulary of `{experiment.data.root}` is not the run's",
            "the data was prepared anew: train anew with --force",
        )
    if state is None or state["step"] < recipe.training.steps:
        run_folder.clear_results(run)
    run_folder.write_recipe(run, recipe)
    head = exit_heads.make(sizes).to(experiment.device) if sizes else None
    settle_threads(model)
    stage = _stage(recipe, model, head, answers)
    job = _model_job(experiment, model, tokenizer, head, sizes)
    best = _train(experiment, stage, job, tokenizer, state)
    own = run.exit_head(recipe.exits.method)
    return Finetuned(experiment.task.metric, best, run.checkpoint, own if own.exists() else None)


def train_heads(experiment: Experiment, spec: MethodSpec, force: bool = False) -> Finetuned:
    """Train a method's internal classifiers on the run's checkpoint, which stays as it is.

    force: although there are some. Raises MissingStepError before the model was trained, MueError
    when there are heads already.
    """
    recipe, run = experiment.recipe, experiment.run
    run.need(run.checkpoint, "finetune --method full")
    experiment.need_trained()
    file = run.exit_head(spec.name)
    if file.exists() and not force:
        raise MueError(f"`{file}` is there already", "--force trains it anew")
    model = experiment.model
    sizes = head_sizes(spec, experiment.task, model.config)
    assert sizes is not None
    heads = exit_heads.make(sizes).to(experiment.device)
    assert isinstance(heads, LayerHeads)
    ids, decompose = experiment.task.answer_ids(experiment.tokenizer.encode), recipe.model.decompose
    batches = experiment.batches("val", recipe.training.validation_samples)
    stage = stages.frozen_model(model, heads, recipe.training, decompose, ids)
    changed = False

    def keep() -> None:
        nonlocal changed
        run_folder.clear_method(run, spec.name)
        exit_heads.save(heads, sizes, file)
        changed = True

    with _second_log(run, spec.name, lambda: changed) as log:
        job = Job(
            "heads",
            log,
            HEADS_METRIC,
            validate=lambda: stages.heads_accuracy(model, heads, batches, decompose, ids),
            keep=keep,
            keep_state=lambda state: None,
            kept=lambda best: f"kept {file} ({best}); --force trains it anew",
        )
        best = _train(experiment, stage, job, experiment.tokenizer)
    return Finetuned(HEADS_METRIC, best, run.checkpoint, file)


def _stage(recipe: Recipe, model: OFA, head: TrainedHead | None, answers: Sequence[int]) -> Stage:
    """Return how a model is trained, with the exit head that goes along."""
    how = (recipe.training, recipe.model.decompose, answers)
    if head is None:
        return stages.shared_head(model, *how)
    if isinstance(head, LayerHeads):
        return stages.layer_heads(model, head, *how)
    return stages.imitation(model, head, *how)


def _model_job(
    experiment: Experiment,
    model: OFA,
    tokenizer: Tokenizer,
    head: TrainedHead | None,
    sizes: HeadSizes | None,
) -> Job:
    recipe, run = experiment.recipe, experiment.run
    batches = experiment.batches("val", recipe.training.validation_samples, tokenizer=tokenizer)
    score = quick_score(experiment.task, batches)
    greedy = replace(recipe.search, beam=1)

    def validate() -> float:
        predictor = experiment.predictor_of(model, tokenizer, greedy)
        return score(predict(predictor, full(recipe.model.decompose), batches))

    def keep() -> None:
        if head is None or sizes is None:
            checkpoint.save(model, run.checkpoint)
            return
        # The head moves into place right after the checkpoint: they hardly ever are of two steps.
        with replacing(run.exit_head(recipe.exits.method)) as unfinished:
            exit_heads.save(head, sizes, unfinished)
            checkpoint.save(model, run.checkpoint)

    def keep_state(values: dict[str, object]) -> None:
        with replacing(run.last_state) as temporary:
            torch.save(values, temporary)

    def kept(best: str) -> str:
        return f"kept {run.checkpoint} ({best}); to go on: {run.command('finetune')} --resume"

    return Job("finetune", run.train_log, experiment.task.metric, validate, keep, keep_state, kept)


def _train(
    experiment: Experiment,
    stage: Stage,
    job: Job,
    tokenizer: Tokenizer,
    state: Mapping[str, Any] | None = None,
) -> float:
    """Train to the end and return the best validation score. state: where a training stands."""
    settings = experiment.recipe.training
    best = f"best {job.metric} {state['best']:.1f}" if state else ""

    def keep_best(step: int, value: float) -> None:
        nonlocal best
        job.keep()
        best = f"best {job.metric} {value:.1f} at step {step}"

    def report(step: StepReport) -> None:
        run_folder.append_line(job.log, asdict(step))
        rate = settings.batch_size * settings.accumulation / step.seconds
        note = f"loss {step.loss:.3f}  learning rate {step.learning_rate:.1e}"
        note = f"{note}  {rate:.0f} samples/s  {best}".rstrip()
        experiment.progress(job.label, step.step, step.num_steps, note)

    def batches(first: int) -> Iterator[Any]:
        return experiment.training_batches(first, tokenizer)

    hooks = Hooks(job.validate, report, keep_best, job.keep_state)
    try:
        return loop.finetune(stage, batches, settings, hooks, state)
    except KeyboardInterrupt:
        kept = job.kept(best) if best else "before the first validation: nothing was kept"
        raise KeyboardInterrupt(kept) from None


def _state_to_resume(experiment: Experiment) -> dict[str, Any] | None:
    """Return where the last training stopped, None when it left nothing.

    Raises RecipeError when the model has changed since.
    """
    recipe, run = experiment.recipe, experiment.run
    if not run.last_state.exists():
        note = f"nothing to resume in `{run.folder}`: starting from the first step"
        experiment.progress("finetune", 0, 0, note)
        return None
    began = load(run.recipe)
    before, now = ((each.model, each.training.freeze_resnet) for each in (began, recipe))
    if before != now:
        raise RecipeError(
            f"the model differs from the one in `{run.recipe}`",
            "--resume cannot change it; take another --run folder",
        )
    methods = (began.exits.method, recipe.exits.method)
    if methods[0] != methods[1] and any(_trains_a_head(name) for name in methods):
        raise RecipeError(
            f"`{run.recipe}` says the method {methods[0]}, now it is {methods[1]}",
            f"go on with --method {methods[0]}",
        )
    try:
        state = torch.load(run.last_state, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"cannot read `{run.last_state}`: {str(error).splitlines()[0]}",
            "train anew with --force",
        ) from None
    run_folder.cut_log(run, state["step"])
    note = f"going on after step {state['step']} of {recipe.training.steps}"
    experiment.progress("finetune", 0, 0, note)
    return dict(state)


def _trains_a_head(name: str) -> bool:
    return name in CATALOGUE and CATALOGUE[name].training == "model and head"


@contextmanager
def _second_log(run: Run, method: str, changed: Callable[[], bool]) -> Iterator[Path]:
    """Yield where a training is logged; the log takes the place of the former one when its heads
    did, else it goes away.
    """
    log = run.folder / f".{method}.jsonl"
    log.unlink(missing_ok=True)
    try:
        yield log
    finally:
        if changed():
            log.replace(run.second_log(method))
        log.unlink(missing_ok=True)
