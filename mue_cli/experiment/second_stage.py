"""The second stage: exit heads, or gates, trained on a model that is there and stays as it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mue_cli.data.batches import Batch
from mue_cli.errors import MueError
from mue_cli.exits.catalogue import MethodSpec
from mue_cli.exits.gate import Gates
from mue_cli.exits.heads import LayerHeads
from mue_cli.experiment import clearing, exit_heads
from mue_cli.experiment.exit_heads import TrainedHead, head_sizes
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.lock import holding_run
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.training_data import (
    batches_from,
    check_data_settings,
)
from mue_cli.experiment.training_run import NOTHING, Finetuned, TrainingRun, run_training
from mue_cli.files import is_first_process, staged
from mue_cli.training import gates, stages
from mue_cli.training.stages import Stage

HEADS_METRIC = "accuracy of the heads"
GATES_METRIC = "100 - Brier score of the gates"


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
            clearing.clear_method(run, spec.name)
        changed = True

    def stream(first: int) -> Iterator[Batch]:
        return batches_from(experiment, first, experiment.tokenizer, processes=processes)

    with _second_log(run, spec.name, lambda: changed) as log:
        training = TrainingRun(
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
        section = replace(recipe.training, learning_rate=rate)
        own = replace(experiment, recipe=replace(recipe, training=section))
        best = run_training(own, second.stage, training, stream, processes=processes)
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
