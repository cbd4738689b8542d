"""The second stage of `mue finetune --method deebert`: heads trained on a run's model, which stays
as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mue_cli.commands.display import answer, answer_json, say
from mue_cli.commands.training import Job, train
from mue_cli.errors import MueError

if TYPE_CHECKING:
    from mue_cli.commands.options import Experiment
    from mue_cli.experiment.run_folder import Run

METRIC = "accuracy of the heads"


def train_heads(
    here: "Experiment", method: str, device: str, resume: bool, force: bool, as_json: bool
) -> None:
    """Train a head per layer on the run's checkpoint and keep the best. Raises MissingStepError
    before the model was trained.
    """
    from mue_cli.commands.workbench import after_training, answer_ids, trained_model
    from mue_cli.exits.heads import LayerHeads
    from mue_cli.experiment import build
    from mue_cli.experiment import exit_heads as readout_file
    from mue_cli.experiment import run_folder as runs
    from mue_cli.training.stages import frozen_model, heads_accuracy

    recipe, run = here.recipe, here.run
    run.need(run.checkpoint, "finetune --method full")
    file = run.readout(method)
    if file.exists() and not force:
        raise MueError(f"`{file}` is there already", "--force trains it anew")
    if resume:
        say("the heads are trained in one go: starting from the first step")
    workbench = after_training(recipe, run, device)
    model, _ = trained_model(recipe, run, workbench.device)
    build.settle_threads(model)
    sizes = build.readout_sizes(recipe, method, model.config)
    assert sizes is not None
    heads = readout_file.make(sizes).to(workbench.device)
    assert isinstance(heads, LayerHeads)
    ids, decompose = answer_ids(workbench.tokenizer, workbench.task), recipe.model.decompose
    batches = workbench.split("val", recipe.training.validation_samples)
    stage = frozen_model(model, heads, recipe.training, decompose, ids)
    changed = False

    def keep() -> None:
        nonlocal changed
        runs.clear_method(run, method)
        readout_file.save(heads, sizes, file)
        changed = True

    with _log(run, method, lambda: changed) as log:
        job = Job(
            "heads",
            log,
            METRIC,
            validate=lambda: heads_accuracy(model, heads, batches, decompose, ids),
            keep=keep,
            keep_state=lambda state: None,
            kept=lambda best: f"kept {file} ({best}); --force trains it anew",
        )
        best = train(workbench, stage, job)
    if as_json:
        document = {
            "metric": METRIC,
            "score": best,
            "checkpoint": str(run.checkpoint),
            "readout": str(file),
            "recipe": asdict(recipe),
        }
        answer_json(document)
    else:
        answer(
            f"{file}: best {METRIC} {best:.1f} on {recipe.training.validation_samples} validation samples"
        )
        say(f"next: {run.command('calibrate')} --method {method}")


@contextmanager
def _log(run: "Run", method: str, changed: Callable[[], bool]) -> Iterator[Path]:
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
