"""`mue export`: a model in the form that other programs read."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from mue_cli.commands.display import answer, answer_json, say
from mue_cli.commands.options import (
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    WeightsOption,
    check_weights,
    experiment,
)
from mue_cli.errors import MueError

EXAMPLES = """Examples

mue export --out exported

mue export --run runs/shapes-entailment --out exported

mue export --weights caption_base_best.pt --out exported"""

FormatOption = Annotated[
    Literal["hf"], typer.Option("--format", help="hf: Hugging Face's layout of OFA.")
]
OutOption = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Folder to write; new or empty, unless --force.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace the files of an earlier export.")
]


def export(
    out: OutOption,
    layout: FormatOption = "hf",
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a trained or released model as Hugging Face's OFA has it.

    Reads the run's checkpoint.safetensors, or the weights that --weights names, and their
    vocabulary: so fairseq's files become Hugging Face's. Writes config.json, pytorch_model.bin,
    vocab.json and merges.txt to a folder, which --weights takes again.
    """
    check_weights(weights)
    if weights and run:
        raise MueError("--weights and --run each name a model, expected one of them")
    settings = ["model.preset=null"] if weights else []  # weights bring their size along
    here = experiment(recipe, [*settings, *(overrides or [])], run, trained=not weights)
    if out.exists() and not (out.is_dir() and (force or not any(out.iterdir()))):
        raise MueError(
            f"`{out}` exists and is not an empty folder",
            "name a new folder, or replace an earlier export with --force",
        )
    # Below the checks, because torch takes seconds to import and a typo should not.
    import torch

    from mue_cli.commands.workbench import trained_model
    from mue_cli.model.export import WEIGHTS_FILE, export_hf
    from mue_cli.model.pretrained import WEIGHTS

    other = next(
        (out / name for name in WEIGHTS if name != WEIGHTS_FILE and (out / name).exists()), None
    )
    if other:
        raise MueError(
            f"`{other}` is there, and --weights would take it for the exported model",
            "name a new folder",
        )
    source = replace(here.run, weights=weights)  # no file of the run is read then
    written = export_hf(*trained_model(here.recipe, source, torch.device("cpu")), out)
    if as_json:
        answer_json(
            {
                "format": layout,
                "files": [str(path) for path in written.files],
                "notes": written.notes,
            }
        )
        return
    for path in written.files:
        answer(str(path))
    for note in written.notes:
        say(f"note: {note}")
