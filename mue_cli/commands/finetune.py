"""`mue finetune`: train a model with several exits."""

import json
import pickle
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mue_cli.commands.display import answer, answer_json, say
from mue_cli.commands.options import (
    DecomposeOption,
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SeedOption,
    SetOption,
    WeightsOption,
    check_weights,
    experiment,
    with_decompose,
)
from mue_cli.commands.second_stage import train_heads
from mue_cli.commands.training import Job, train
from mue_cli.errors import CheckpointError, MueError, RecipeError
from mue_cli.exits.catalogue import TRAINED_WITH_MODEL, MethodName

if TYPE_CHECKING:
    from mue_cli.commands.options import Experiment
    from mue_cli.commands.workbench import Workbench
    from mue_cli.experiment.run_folder import Run
    from mue_cli.model.ofa import OFA
    from mue_cli.recipe.recipe import Recipe

EXAMPLES = """Examples

mue finetune

mue finetune --recipe shapes-entailment --device cuda

mue finetune --recipe coco-caption --weights OFA-Sys/ofa-base

mue finetune --set training.steps=2000 --run runs/longer

mue finetune --run runs/longer --resume

mue finetune --method pabee --run runs/pabee

mue finetune --method deebert --set training.steps=300

mue finetune --no-decompose --run runs/joint

mue finetune --set training.layer_loss=last --run runs/last-layer-loss"""

MethodOption = Annotated[
    MethodName | None,
    typer.Option(
        "--method", help="Whose training: see above.", show_default="the recipe's exits.method"
    ),
]

ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on where the last training of this run stopped.")
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force", help="Train anew although the run has a checkpoint; its results are removed."
    ),
]


def finetune(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    method: MethodOption = None,
    decompose: DecomposeOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model with several exits: every decoder layer learns to answer (Eq. 12-13).

    Reads the prepared data, `data/<dataset>`. Writes recipe.yaml, tokenizer.json,
    checkpoint.safetensors (best on the validation samples, greedy search), last.pt and train.jsonl
    to the run folder. Ctrl-C keeps the best checkpoint so far.

    full, static, mue, calm and oracle train alike: all layers share the model's head. pabee (a head
    per layer) and deecap (an imitation network) train their own readout with the model, and write
    it beside the checkpoint. deebert trains a head per layer on a checkpoint that is there already
    and stays as it is; it writes deebert.safetensors and train-deebert.jsonl.
    """
    check_weights(weights)
    quoted = json.dumps(
        weights, ensure_ascii=False
    )  # YAML would take an escaped pair of surrogates for two characters
    settings = [
        *([f"model.weights={quoted}", "model.preset=null"] if weights else []),
        *with_decompose(overrides, decompose),
    ]  # weights bring their size along
    here = experiment(recipe, settings, run, seed, trained=resume)
    if (method or here.recipe.exits.method) == "deebert":
        others = [
            setting for setting in settings if not setting.strip().startswith("training.")
        ]  # what other commands share with it
        here = replace(
            experiment(recipe, settings, run, seed), run=experiment(recipe, others, run, seed).run
        )
        train_heads(here, "deebert", device, resume, force, as_json)
        return
    if method:
        here = experiment(recipe, [*settings, f"exits.method={method}"], run, seed, trained=resume)
    _train_model(here, device, resume, force, as_json)


def _train_model(here: "Experiment", device: str, resume: bool, force: bool, as_json: bool) -> None:
    # Here and not above, because torch takes seconds to import and a typo should not.
    from mue_cli.commands.workbench import answer_ids, before_training
    from mue_cli.experiment import build
    from mue_cli.experiment import run_folder as runs
    from mue_cli.model.tokenizer import Tokenizer

    state = _state_to_resume(here.recipe, here.run) if resume else None
    if state is None and here.run.checkpoint.exists() and not force:
        hint = f"{here.run.command('finetune')} --resume goes on, --force trains anew, --run FOLDER keeps both"
        raise MueError(f"`{here.run.folder}` already has a checkpoint", hint)
    workbench = before_training(here.recipe, here.run, device)
    model = build.new_model(here.recipe, workbench.tokenizer.vocab_size).to(workbench.device)
    answers = answer_ids(workbench.tokenizer, workbench.task)
    build.readout_sizes(here.recipe, here.recipe.exits.method, model.config)
    if state is None:
        runs.clear(here.run)
        runs.keep_tokenizer(here.run, workbench.tokenizer.to_json())
    elif Tokenizer.load(here.run.tokenizer).to_json() != workbench.tokenizer.to_json():
        raise RecipeError(
            f"the vocabulary of `{workbench.prepared.root}` is not the run's",
            "the data was prepared anew: train anew with --force",
        )
    if state is None or state["step"] < here.recipe.training.steps:
        runs.clear_results(here.run)
    runs.write_recipe(here.run, here.recipe)
    best = _train(workbench, model, answers, state)
    _tell(here, workbench.task.metric, best, as_json)


def _tell(here: "Experiment", metric: str, best: float, as_json: bool) -> None:
    file = here.run.readout(here.recipe.exits.method)
    readout = {"readout": str(file)} if file.exists() else {}
    if as_json:
        answer_json(
            {
                "metric": metric,
                "score": best,
                "checkpoint": str(here.run.checkpoint),
                **readout,
                "recipe": asdict(here.recipe),
            }
        )
        return
    answer(
        f"{here.run.checkpoint}: best {metric} {best:.1f} on {here.recipe.training.validation_samples} validation samples"
    )
    say(f"next: {here.run.command('calibrate')}")


def _state_to_resume(recipe: "Recipe", run: "Run") -> dict[str, Any] | None:
    """Return where the last training stopped, None when it left nothing. Raises RecipeError when
    the model has changed since.
    """
    import torch

    from mue_cli.experiment.run_folder import cut_log
    from mue_cli.recipe.recipe import load

    if not run.last_state.exists():
        say(f"nothing to resume in `{run.folder}`: starting from the first step")
        return None
    began = load(run.recipe)
    if (began.model, began.training.freeze_resnet) != (recipe.model, recipe.training.freeze_resnet):
        raise RecipeError(
            f"the model differs from the one in `{run.recipe}`",
            "--resume cannot change it; take another --run folder",
        )
    before, now = began.exits.method, recipe.exits.method
    if before != now and {before, now} & set(TRAINED_WITH_MODEL):
        raise RecipeError(
            f"`{run.recipe}` says the method {before}, now it is {now}",
            f"go on with --method {before}",
        )
    try:
        state = torch.load(run.last_state, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"cannot read `{run.last_state}`: {str(error).splitlines()[0]}",
            "train anew with --force",
        ) from None
    cut_log(run, state["step"])
    say(f"going on after step {state['step']} of {recipe.training.steps}")
    return dict(state)


def _train(
    workbench: "Workbench", model: "OFA", answers: list[int], state: dict[str, Any] | None
) -> float:
    """Train to the end and return the best validation score. answers: tokens of a closed set."""
    import torch

    from mue_cli.evaluation.predict import predict, quick_score
    from mue_cli.exits.methods import full
    from mue_cli.experiment import build
    from mue_cli.experiment import exit_heads as readout_file
    from mue_cli.files import replacing
    from mue_cli.model import checkpoint

    recipe, run = workbench.recipe, workbench.run
    build.settle_threads(model)
    batches = workbench.split("val", recipe.training.validation_samples)
    score = quick_score(workbench.task, batches)
    sizes = build.readout_sizes(recipe, recipe.exits.method, model.config)
    readout = readout_file.make(sizes).to(workbench.device) if sizes else None

    def validate() -> float:
        return score(
            predict(
                workbench.subject(model, replace(recipe.search, beam=1)),
                full(recipe.model.decompose),
                batches,
            )
        )

    def keep() -> None:
        if readout is None or sizes is None:
            checkpoint.save(model, run.checkpoint)
            return
        # The readout moves into place right after the checkpoint, so that they hardly ever are of
        # two steps.
        with replacing(run.readout(recipe.exits.method)) as unfinished:
            readout_file.save(readout, sizes, unfinished)
            checkpoint.save(model, run.checkpoint)

    def keep_state(values: dict[str, object]) -> None:
        with replacing(run.last_state) as temporary:
            torch.save(values, temporary)

    def kept(best: str) -> str:
        return f"kept {run.checkpoint} ({best}); to go on: {run.command('finetune')} --resume"

    job = Job("finetune", run.train_log, workbench.task.metric, validate, keep, keep_state, kept)
    return train(workbench, build.stage(recipe, model, readout, answers), job, state)
