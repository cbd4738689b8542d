"""`mue finetune`: train a model with several exits."""

import json
import pickle
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mue_cli.commands.display import answer, answer_json, keeping, progress, say
from mue_cli.commands.options import (
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SeedOption,
    SetOption,
    WeightsOption,
    check_weights,
    experiment,
)
from mue_cli.errors import CheckpointError, MueError, RecipeError

if TYPE_CHECKING:
    from mue_cli.commands.workbench import Workbench
    from mue_cli.model.ofa import OFA
    from mue_cli.recipe import Recipe
    from mue_cli.runs import Run

EXAMPLES = """Examples

mue finetune

mue finetune --recipe shapes-entailment --device cuda

mue finetune --recipe coco-caption --weights OFA-Sys/ofa-base

mue finetune --set training.steps=2000 --run runs/longer

mue finetune --run runs/longer --resume"""

ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on where the last training of this run stopped.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Train anew although the run has a checkpoint; its results are removed.")]


def finetune(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model with several exits: every decoder layer learns to answer (Eq. 12-13).

    Reads the prepared data, `data/<dataset>`. Writes recipe.yaml, tokenizer.json, checkpoint.safetensors (best on the validation samples,
    greedy search), last.pt and train.jsonl to the run folder. Ctrl-C keeps the best checkpoint so far.
    """
    check_weights(weights)
    quoted = json.dumps(weights, ensure_ascii=False)  # YAML would take an escaped pair of surrogates for two characters
    start = [f"model.weights={quoted}", "model.preset=null"] if weights else []  # weights bring their size along
    here = experiment(recipe, [*start, *(overrides or [])], run, seed, trained=resume)
    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli import build, runs
    from mue_cli.commands.workbench import before_training
    from mue_cli.model.tokenizer import Tokenizer

    state = _state_to_resume(here.recipe, here.run) if resume else None
    if state is None and here.run.checkpoint.exists() and not force:
        hint = f"{here.run.command('finetune')} --resume goes on, --force trains anew, --run FOLDER keeps both"
        raise MueError(f"`{here.run.folder}` already has a checkpoint", hint)
    workbench = before_training(here.recipe, here.run, device)
    model = build.new_model(here.recipe, workbench.tokenizer.vocab_size).to(workbench.device)
    if state is None:
        runs.clear(here.run)
        runs.keep_tokenizer(here.run, workbench.tokenizer.to_json())
    elif Tokenizer.load(here.run.tokenizer).to_json() != workbench.tokenizer.to_json():
        raise RecipeError(
            f"the vocabulary of `{workbench.prepared.root}` is not the run's", "the data was prepared anew: train anew with --force"
        )
    if state is None or state["step"] < here.recipe.training.steps:
        runs.clear_results(here.run)
    runs.write_recipe(here.run, here.recipe)
    best = _train(workbench, model, state)
    metric = workbench.task.metric
    if as_json:
        answer_json({"metric": metric, "score": best, "checkpoint": str(here.run.checkpoint), "recipe": asdict(here.recipe)})
    else:
        answer(f"{here.run.checkpoint}: best {metric} {best:.1f} on {here.recipe.training.validation_samples} validation samples")
        say(f"next: {here.run.command('calibrate')}")


def _state_to_resume(recipe: "Recipe", run: "Run") -> dict[str, Any] | None:
    """Return where the last training stopped, None when it left nothing. Raises RecipeError when the model has changed since."""
    import torch

    from mue_cli.recipe import load
    from mue_cli.runs import cut_log

    if not run.last_state.exists():
        say(f"nothing to resume in `{run.folder}`: starting from the first step")
        return None
    began = load(run.recipe)
    if (began.model, began.training.freeze_resnet) != (recipe.model, recipe.training.freeze_resnet):
        raise RecipeError(f"the model differs from the one in `{run.recipe}`", "--resume cannot change it; take another --run folder")
    try:
        state = torch.load(run.last_state, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"cannot read `{run.last_state}`: {str(error).splitlines()[0]}", "train anew with --force") from None
    cut_log(run, state["step"])
    say(f"going on after step {state['step']} of {recipe.training.steps}")
    return dict(state)


def _train(workbench: "Workbench", model: "OFA", state: dict[str, Any] | None) -> float:
    """Train to the end and return the best validation score."""
    import torch

    from mue_cli import build
    from mue_cli.commands.workbench import answer_ids
    from mue_cli.evaluation import predict, quick_score
    from mue_cli.exits.methods import full
    from mue_cli.files import replacing
    from mue_cli.model import checkpoint
    from mue_cli.runs import append_line
    from mue_cli.training.loop import Hooks, StepReport, finetune

    recipe, run = workbench.recipe, workbench.run
    build.settle_threads(model)
    batches = workbench.split("val", recipe.training.validation_samples)
    score = quick_score(workbench.task, batches)
    best = f"best {workbench.task.metric} {state['best']:.1f}" if state else ""

    def validate() -> float:
        return score(predict(workbench.subject(model, replace(recipe.search, beam=1)), full(recipe.model.decompose), batches))

    def keep_best(step: int, value: float) -> None:
        nonlocal best
        checkpoint.save(model, run.checkpoint)
        best = f"best {workbench.task.metric} {value:.1f} at step {step}"

    def keep_state(values: dict[str, object]) -> None:
        with replacing(run.last_state) as temporary:
            torch.save(values, temporary)

    def kept() -> str:
        return (
            f"kept {run.checkpoint} ({best}); to go on: {run.command('finetune')} --resume"
            if best
            else "before the first validation: nothing was kept"
        )

    with progress("finetune") as report, keeping(kept):

        def show(step: StepReport) -> None:
            append_line(run.train_log, asdict(step))
            rate = recipe.training.batch_size * recipe.training.accumulation / step.seconds
            report(
                step.step,
                step.num_steps,
                f"loss {step.loss:.3f}  learning rate {step.learning_rate:.1e}  {rate:.0f} samples/s  {best}".rstrip(),
            )

        answers = answer_ids(workbench.tokenizer, workbench.task) or None
        hooks = Hooks(validate, show, keep_best, keep_state)
        return finetune(model, workbench.training_batches, recipe.training, recipe.model.decompose, hooks, answers, state)
