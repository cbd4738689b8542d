"""`mue plot modality` and `mue plot depth`: how deep every stream has to run."""

from typing import Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer_figures

MODALITY_EXAMPLES = (
    "mue plot modality",
    "mue plot modality --split val --samples 100",
    "mue plot modality --recipe shapes-entailment --json",
)

DEPTH_EXAMPLES = (
    "mue plot depth",
    "mue plot depth --split val --samples 100",
    "mue plot depth --run runs/longer --set search.beam=1",
)

SamplesOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="How many, else calibration.samples."),
]


def modality(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    weights: options.Weights = None,
    split: options.Split = "test",
    samples: SamplesOption = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Draw the score for every pair of image and text exit layers, the decoder at full depth (Table
    2 of the paper).

    Reads modality.npz where it was measured on the same split in the same way; otherwise measures
    it with checkpoint.safetensors or what --weights names, and writes it: samples are encoded once
    and decoded once for every pair. Writes plots/modality.png and plots/modality.svg in the run
    folder.
    """
    with bars() as tell:
        here = options.opened(recipe, overrides, run, device, weights, progress=tell)
        grid = here.exit_grid(split, samples)
    from mue_cli.reports.figures.exit_grid import exit_grid as draw

    answer_figures(draw(grid, here.run.plots / "modality"), as_json)


def depth(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    weights: options.Weights = None,
    split: options.Split = "test",
    samples: SamplesOption = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Draw the score read after each layer of one stream, the others at full depth: whether there
    is anything to leave.

    Where the first layer is as good as the last, fixed layers save as much as any rule.
    Reads depth.npz where it was measured on the same split in the same way; otherwise measures it
    with checkpoint.safetensors or what --weights names, and writes it. Writes plots/depth.png and
    plots/depth.svg in the run folder.
    """
    with bars() as tell:
        here = options.opened(recipe, overrides, run, device, weights, progress=tell)
        measured = here.depth_scores(split, samples)
    from mue_cli.reports.figures.depth_scores import depth_scores as draw

    answer_figures(draw(measured, here.run.plots / "depth"), as_json)
