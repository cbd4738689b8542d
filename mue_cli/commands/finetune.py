"""`mue finetune`: train a model with several exits."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer, answer_json, say
from mue_cli.experiment.choices import MethodName

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment
    from mue_cli.experiment.training_run import Finetuned

EXAMPLES = (
    "mue finetune",
    "mue finetune --recipe shapes-entailment --device cuda",
    "mue finetune --recipe coco-base --weights OFA-Sys/ofa-base",
    "mue finetune --set training.steps=2000 --run runs/longer",
    "mue finetune --run runs/longer --resume",
    "mue finetune --method pabee --run runs/pabee",
    "mue finetune --no-decompose --run runs/joint",
    "torchrun --nproc-per-node 2 -m -- mue_cli finetune --recipe coco-base",
)

MethodOption = Annotated[MethodName | None, options.method(MethodName)]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on where the last training stopped.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Train anew although there is a training.")
]


def finetune(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    method: MethodOption = None,
    decompose: options.Decompose = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    as_json: options.Json = False,
) -> None:
    """Train a model with several exits: every decoder layer learns to answer (Eq. 12-13).

    Reads the prepared data, `data/<dataset>`. Writes recipe.yaml, tokenizer.json,
    checkpoint.safetensors (best on the validation samples, greedy search), last.pt and train.jsonl
    to the run folder. Ctrl-C and SIGTERM finish the step and keep all that --resume needs.

    full, static, mue, calm and oracle train alike: all layers share the model's head. pabee (a head
    per layer) and deecap (an imitation network) train their own exit head with the model, and write
    it beside the checkpoint. deebert (a head per layer) and gate (a logistic model per stream
    and layer) are trained on a checkpoint that is there already and stays as it is; they write
    METHOD.safetensors and train-METHOD.jsonl.
    """
    from mue_cli.experiment.resolve import starting_from
    from mue_cli.experiment.train_method import train_method

    settings = [*starting_from(weights), *options.with_decompose(overrides, decompose)]
    with bars() as tell:

        def open_with(some: Sequence[str], trained: bool) -> "Experiment":
            return options.opened(recipe, some, run, device, None, seed, trained, tell)

        here, result = train_method(open_with, settings, method, resume, force)
    _show(here, result, as_json)


def _show(here: "Experiment", result: "Finetuned", as_json: bool) -> None:
    if as_json:
        head = {"exit_head": str(result.exit_head)} if result.exit_head else {}
        document = {"metric": result.metric, "score": result.score}
        document |= {"checkpoint": str(result.checkpoint), **head}
        answer_json({**document, "recipe": asdict(here.recipe)})
        return
    of_head = result.exit_head is not None and result.metric != here.task.metric
    path = result.exit_head if of_head else result.checkpoint
    samples = len(here.batches("val", here.recipe.training.validation_samples).examples)
    answer(f"{path}: best {result.metric} {result.score:.1f} on {samples} validation samples")
    method = f" --method {result.exit_head.stem}" if of_head and result.exit_head else ""
    say(f"next: {here.run.trained.command('calibrate')}{method}")
