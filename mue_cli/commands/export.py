"""`mue export`: a model in the form that other programs read."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from mue_cli.commands import options
from mue_cli.commands.display import answer, answer_json, say
from mue_cli.errors import MueError

EXAMPLES = (
    "mue export --out exported",
    "mue export --run runs/shapes-entailment --out exported",
    "mue export --weights caption_base_best.pt --out exported",
)

FormatOption = Annotated[
    Literal["hf"], typer.Option("--format", metavar="NAME", help="hf: Hugging Face's layout.")
]
OutOption = Annotated[Path, typer.Option(metavar="FOLDER", help="A new or empty folder.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an earlier export.")]


def export(
    out: OutOption,
    layout: FormatOption = "hf",
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    weights: options.Weights = None,
    force: ForceOption = False,
    as_json: options.Json = False,
) -> None:
    """Write a trained or released model as Hugging Face's OFA has it.

    Reads the run's checkpoint.safetensors, or the weights that --weights names, and their
    vocabulary: so fairseq's files become Hugging Face's. Writes config.json, pytorch_model.bin,
    vocab.json and merges.txt to a folder, which --weights takes again.
    """
    from mue_cli.experiment.resolve import check_weights

    check_weights(weights)
    if weights and run:
        raise MueError(
            "--weights and --run each name a model, expected one of them", "leave one out"
        )
    # With --weights no file of a run is read, and they bring their size along.
    settings = [*(["model.preset=null"] if weights else []), *(overrides or [])]
    here = options.opened(recipe, settings, run, "cpu", trained=not weights)
    here = replace(here, run=replace(here.run, weights=weights))
    from mue_cli.experiment.export import export as procedure

    written = procedure(here, out, force)
    if as_json:
        files = [str(path) for path in written.files]
        answer_json({"format": layout, "files": files, "notes": written.notes})
        return
    for path in written.files:
        answer(str(path))
    for note in written.notes:
        say(f"note: {note}")
