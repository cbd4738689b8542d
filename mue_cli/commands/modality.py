"""`mue plot modality`: how deep image and text have to be encoded."""

from typing import Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer_figures

EXAMPLES = (
    "mue plot modality",
    "mue plot modality --split val --samples 100",
    "mue plot modality --recipe shapes-entailment --json",
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
