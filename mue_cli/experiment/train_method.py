"""Which training a method has: the model's, its exit head along with the model, or the head alone
on a model that is there (`MethodSpec.training`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mue_cli.exits.catalogue import CATALOGUE
from mue_cli.experiment.experiment import Experiment

if TYPE_CHECKING:
    from mue_cli.experiment.training_run import Finetuned

Open = Callable[[Sequence[str], bool], Experiment]
"""Opens an experiment with settings, for the trained model (True) or a training from nothing."""


def train_method(
    open_with: Open,
    settings: Sequence[str],
    method: str | None,
    resume: bool = False,
    force: bool = False,
) -> "tuple[Experiment, Finetuned]":
    """Train what a method needs, and return the experiment that the result belongs to.

    method: None for the recipe's exits.method. See `finetune` and `train_heads` for the rest.
    """
    here = open_with(settings, resume)  # before torch is imported: a typo is told at once
    from mue_cli.experiment.finetune import finetune
    from mue_cli.experiment.second_stage import train_heads

    spec = CATALOGUE.get(method or here.recipe.exits.method)
    if spec is not None and spec.is_trained_alone:
        here = _shared(open_with, settings)
        if resume:
            here.progress("heads", 0, 0, "they are trained in one go: starting from the first step")
        return here, train_heads(here, spec, force)
    if method:
        here = open_with([*settings, f"exits.method={method}"], resume)
    return here, finetune(here, resume, force)


def _shared(open_with: Open, settings: Sequence[str]) -> Experiment:
    """Return the trained experiment; other commands need not repeat the settings of this training
    of its own.
    """
    others = [each for each in settings if not each.strip().startswith("training.")]
    return replace(open_with(settings, True), run=open_with(others, True).run)
