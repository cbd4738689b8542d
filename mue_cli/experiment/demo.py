"""The demo: the command lines of the whole pipeline on drawn scenes, at full length or quick."""

from pathlib import Path

from mue_cli.experiment.choices import DEFAULT_RECIPE

QUICK = "-quick"
"""Ends the names of what a quick demo reads and writes, which nobody takes for a result."""
QUICK_SCENES = {"--train": 600, "--val": 60, "--test": 60}
NO_RESULT = "quick: few scenes and few steps, to see that all runs; the numbers are no result"


QUESTION = ("--hypothesis", "a circle is in the picture")


def lines(
    recipe: str,
    out: Path | None,
    begun: bool,
    scenes: int | None,
    overrides: list[str],
    generates: bool,
) -> list[list[str]]:
    """Return the words of every command line, without the leading `mue`.

    recipe: a quick demo's ends in QUICK. out: where data/ and runs/ go, None for this folder.
    begun: the training is, and is gone on with. scenes: to train on, None for as many as usual.
    generates: pictures are described; else they are asked about.
    """
    is_quick = recipe.endswith(QUICK)
    data = (out or Path()) / "data" / f"shapes{QUICK * is_quick}"
    moved = data if out or is_quick else None
    counts = {**(QUICK_SCENES if is_quick else {}), **({"--train": scenes} if scenes else {})}
    shared = [
        *_option("--recipe", recipe if recipe != DEFAULT_RECIPE else None),
        *_option("--run", out / "runs" / recipe if out else None),
    ]
    settings = [*([f"data.root={data}"] if out else []), *overrides]
    shared += [word for setting in settings for word in ("--set", setting)]
    scene_words = [word for name, count in counts.items() for word in (name, str(count))]
    return [
        ["prepare", "shapes", *_option("--out", moved), *scene_words],
        ["finetune", *shared, *(["--resume"] if begun else [])],
        ["calibrate", *shared],
        ["evaluate", "--method", "mue", *shared],
        ["plot", "saturation", *shared],
        ["plot", "tradeoff", *shared],
        ["predict", str(data / "examples"), *(() if generates else QUESTION), *shared],
        ["report", *shared],
    ]


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]
