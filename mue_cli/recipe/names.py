"""Recipes and studies by name: the files that came with the program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mue_cli.errors import RecipeError, one_line
from mue_cli.files import is_file
from mue_cli.schema.schema import did_you_mean

Kind = Literal["recipe", "study"]
_PLACES: Mapping[Kind, str] = {"recipe": "recipes", "study": "recipes/studies"}
_PLURALS: Mapping[Kind, str] = {"recipe": "recipes", "study": "studies"}


def find(name_or_path: str | Path, kind: Kind = "recipe") -> Path:
    """Return the file of a recipe or study: a path when it has a suffix or a folder, else a name.
    Raises RecipeError without one.
    """
    path, text = Path(name_or_path), one_line(str(name_or_path), longest=200)
    known, plural = names(kind), _PLURALS[kind]
    if path.suffix in (".yaml", ".yml") or path.name != str(name_or_path) != "":
        if not is_file(path):
            raise RecipeError(f"no {kind} file `{text}`", f"{plural} by name: {', '.join(known)}")
        return path
    for folder in _folders(kind):
        if is_file(folder / f"{path.name}.yaml"):
            return folder / f"{path.name}.yaml"
    raise RecipeError(f"no {kind} named `{text}`", did_you_mean(text, known, plural))


def names(kind: Kind = "recipe") -> tuple[str, ...]:
    """Return the names of the recipes or studies that came with the program, sorted."""
    return tuple(sorted({path.stem for folder in _folders(kind) for path in folder.glob("*.yaml")}))


def _folders(kind: Kind) -> tuple[Path, ...]:
    """Return where named recipes or studies lie: inside the installed package, or beside it in a
    checkout.
    """
    package, place = Path(__file__).resolve().parent.parent, _PLACES[kind]
    return tuple(folder for folder in (package / place, package.parent / place) if folder.is_dir())
