"""`mue plot modality`: how deep image and text have to be encoded."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.display import progress
from mue_cli.commands.options import (
    DeviceOption,
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    SplitOption,
    WeightsOption,
    experiment,
)
from mue_cli.commands.plot import show
from mue_cli.errors import RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mue_cli.commands.options import Experiment
    from mue_cli.commands.workbench import SplitBatches, Workbench
    from mue_cli.reports.exit_grid import ExitGrid

EXAMPLES = """Examples

mue plot modality

mue plot modality --split val --samples 100

mue plot modality --recipe shapes-entailment --json"""

SamplesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        show_default="those measured before, else the recipe's calibration.samples",
        help="How many samples of the split.",
    ),
]


def modality(
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    split: SplitOption = "test",
    samples: SamplesOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Draw the score for every pair of image and text exit layers, the decoder at full depth (Table
    2 of the paper).

    Reads modality.npz where it was measured on the same split in the same way; otherwise measures
    it with checkpoint.safetensors or what --weights names, and writes it: samples are encoded once
    and decoded once for every pair. Writes plots/modality.png and plots/modality.svg in the run
    folder.
    """
    here = experiment(recipe, overrides, run, weights=weights)
    if not here.recipe.model.decompose:
        message = (
            "image and text are one joint stream without model.decompose: neither can leave alone"
        )
        raise RecipeError(
            message, "add --set model.decompose=true, or use a run that was trained with it"
        )
    grid = _stored(here, split, samples) or _measure(here, split, samples, device)
    from mue_cli.reports.figures.exit_grid import exit_grid as draw

    show(draw(grid, here.run.plots / "modality"), as_json)


def _stored(here: "Experiment", split: str, samples: int | None) -> "ExitGrid | None":
    """Return what was measured before, None when that was something else than is asked for."""
    from mue_cli.reports.exit_grid import ExitGrid

    if not here.run.modality.exists():
        return None
    found = ExitGrid.load(here.run.modality)
    alike = (found.about.get("split"), found.about.get("settings")) == (split, _settings(here))
    return found if alike and samples in (None, found.num_samples) else None


def _measure(here: "Experiment", split: str, samples: int | None, device: str) -> "ExitGrid":
    """Measure the grid and keep it in the run folder."""
    # Below the recipe, because torch takes seconds to import and a typo should not.
    from mue_cli.commands.workbench import after_training
    from mue_cli.reports.exit_grid import ExitGrid

    workbench = after_training(here.recipe, here.run, device)
    batches = workbench.split(split, samples or here.recipe.calibration.samples)
    about = {
        "recipe": here.recipe.name,
        "dataset": workbench.prepared.manifest.name,
        "split": split,
        "settings": _settings(here),
    }
    grid = ExitGrid(
        _scores(workbench, batches), workbench.task.metric, len(batches.examples), about
    )
    grid.save(here.run.modality)
    return grid


def _scores(workbench: "Workbench", batches: "SplitBatches") -> "NDArray[np.float64]":
    from mue_cli.evaluation.exit_grid import score_pairs
    from mue_cli.evaluation.predict import quick_score

    subject = workbench.trained_subject()
    total = len(batches.examples) * subject.model.config.num_encoder_layers**2
    with progress("pairs of exit layers") as report:
        return score_pairs(
            subject, batches, quick_score(workbench.task, batches), lambda done: report(done, total)
        )


def _settings(here: "Experiment") -> str:
    """Return in words what scores depend on besides the weights' own training."""
    search, precision = here.recipe.search, here.recipe.inference.precision
    parts = [here.run.weights] if here.run.weights else []
    if here.recipe.task == "caption":
        usual = asdict(type(search)())
        parts += [
            f"{name} {value:g}"
            for name, value in asdict(search).items()
            if name == "beam" or value != usual[name]
        ]
    return ", ".join([*parts, precision])
