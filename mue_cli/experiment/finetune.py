"""Train a run's model, with the exit head that goes along: resumable, the best kept."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from mue_cli.data.batches import Batch
from mue_cli.evaluation.predict import predict
from mue_cli.evaluation.score import quick_score
from mue_cli.exits.catalogue import CATALOGUE
from mue_cli.exits.heads import ImitationHead, LayerHeads
from mue_cli.exits.methods import full
from mue_cli.experiment import exit_heads
from mue_cli.experiment.exit_heads import HeadSizes, TrainedHead, head_sizes
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.lock import holding_run
from mue_cli.experiment.models import new_model, settle_threads
from mue_cli.experiment.self_critical import self_critical_stage
from mue_cli.experiment.training_data import (
    batches_from,
    check_data_settings,
    doubt_pixels,
    features_of,
    validation_batches,
)
from mue_cli.experiment.training_files import TrainingFiles, settle
from mue_cli.experiment.training_run import Finetuned, TrainingRun, run_training
from mue_cli.experiment.training_start import DATA, check_data, place
from mue_cli.model import checkpoint
from mue_cli.model.ofa import OFA, recomputed
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.recipe.recipe import Recipe
from mue_cli.training import stages
from mue_cli.training.features import Features
from mue_cli.training.kept_state import check_fits
from mue_cli.training.processes import Processes
from mue_cli.training.stages import Stage


@holding_run("finetune")
def finetune(experiment: Experiment, resume: bool = False, force: bool = False) -> Finetuned:
    """Train the recipe's model, every decoder layer with the task's loss (Eq. 12-13), or with the
    exit head and loss of exits.method. Processes that `torchrun` started train it together.

    resume: go on where the last training of this run stopped. force: train anew although there is
    one; it stays until the new one is there. Raises MueError when there is one and neither was
    said, RecipeError when a resumed model or its data is another, KeyboardInterrupt saying what was
    kept.
    """
    recipe, run, processes = experiment.recipe, experiment.run, experiment.processes
    check_data_settings(experiment, processes)
    if processes.writes:
        settle(run)
    processes.wait()  # the others read the folder once it is settled
    files, state = place(experiment, resume, force)
    experiment.data  # noqa: B018 - missing data is reported before missing weights
    tokenizer = experiment.starting_tokenizer
    model = new_model(recipe, tokenizer.vocab_size)
    answers = experiment.task.answer_ids(tokenizer.encode)
    spec = CATALOGUE.get(recipe.exits.method)
    sizes = head_sizes(spec, experiment.task, model.config) if spec else None
    check_data(experiment, files.run, tokenizer, state)
    if state is None and processes.writes:
        doubt_pixels(experiment, model)
    features = features_of(experiment, model)
    head = exit_heads.make(sizes).to(processes.device) if sizes else None
    if processes.rank:
        torch.manual_seed(recipe.seed + processes.rank)  # dropout of its own
    settle_threads(model)
    model.to(processes.device)
    if recipe.training.activation_checkpointing:
        model.run_layer = recomputed
    if recipe.training.objective == "self_critical":
        stage = self_critical_stage(experiment, model, tokenizer)
    else:
        stage = _stage(recipe, model, head, answers)
    if state is not None:
        check_fits(stage, state)
    if processes.writes:
        if state is None:
            files.begin(recipe, tokenizer.to_json())
        else:
            files.go_on(recipe, state["step"])
    training = _model_training(
        experiment, files, model, (head, sizes), tokenizer, features, processes
    )

    def batches(first: int) -> Iterator[Batch]:
        return batches_from(experiment, first, tokenizer, features, processes)

    best = run_training(experiment, stage, training, batches, state, processes)
    own = run.exit_head(recipe.exits.method)
    cut = _share_cut(experiment) if processes.writes else 0.0
    return Finetuned(
        experiment.task.metric, best, run.checkpoint, own if own.exists() else None, cut
    )


def _stage(recipe: Recipe, model: OFA, head: TrainedHead | None, answers: Sequence[int]) -> Stage:
    """Return how a model is trained, with the exit head that goes along."""
    how = (recipe.training, recipe.model.decompose, answers)
    if head is None:
        return stages.shared_head(model, *how)
    if isinstance(head, LayerHeads):
        return stages.layer_heads(model, head, *how)
    assert isinstance(head, ImitationHead)
    return stages.imitation(model, head, *how)


def _model_training(
    experiment: Experiment,
    files: TrainingFiles,
    model: OFA,
    own_head: tuple[TrainedHead | None, HeadSizes | None],
    tokenizer: Tokenizer,
    features: Features | None,
    processes: Processes,
) -> TrainingRun:
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

    return TrainingRun(
        "finetune",
        experiment.task.metric,
        validate,
        keep,
        lambda state: files.keep_state({**state, DATA: experiment.data.fingerprint}),
        lambda: files.run.train_log,
        kept,
    )


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
