"""What a recipe file says otherwise than the run was trained with: after training the run's own
values count (see `resolve`), and a file that was edited since must not be passed over in silence.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mue_cli.experiment.resolve import TRAINED_SECTIONS
from mue_cli.recipe.recipe import Override, Recipe, find, load, override, read_yaml
from mue_cli.schema.schema import show

SHOWN = 4
"""Values that are named; of more, the number."""


def unused_note(recipe: str, used: Recipe, overrides: Sequence[str] = ()) -> str | None:
    """Return a line about the values that a recipe file states and that are not used, None where
    there are none.

    recipe: name or path of the file. used: the recipe in use, with the run's trained values.
    overrides: values that the user replaced in any case. Raises RecipeError.
    """
    stated = load(recipe, overrides)
    keys = [key for key in _stated_keys(recipe, overrides) if _differs(key, stated, used)]
    if not keys:
        return None
    theirs = _listed([f"{key} {_shown(key, stated)}" for key in keys])
    ours = _listed(
        [f"{key} {_shown(key, used)}" if keys[1:] else _shown(key, used) for key in keys]
    )
    way = "train anew under another --run to use it"
    if data := next((key for key in keys if key.startswith("data.")), None):
        way = f"--set {override(data, _value(data, stated))} uses it"
    verb = "is" if len(keys) == 1 else "are"
    return f"note: {theirs} of {recipe} {verb} not used; the run was trained with {ours} ({way})"


def _stated_keys(recipe: str, overrides: Sequence[str]) -> Iterator[str]:
    """Yield the dotted keys of the trained sections that the file itself states."""
    changes, raw = [Override.of(each) for each in overrides], read_yaml(Path(find(recipe)))
    for section in TRAINED_SECTIONS:
        values = raw.get(section)
        below = [f"{section}.{name}" for name in values] if isinstance(values, dict) else []
        for key in below or [section] * (section == "seed" and values is not None):
            if not any(change.decides(key) for change in changes):
                yield key


def _differs(key: str, stated: Recipe, used: Recipe) -> bool:
    if key == "data.root":
        return stated.data.folder != used.data.folder
    if key == "model.preset" and used.model.weights and used.model.preset is None:
        return False  # weights bring their size
    return _value(key, stated) != _value(key, used)


def _value(key: str, recipe: Recipe) -> object:
    value: object = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _shown(key: str, recipe: Recipe) -> str:
    value = str(recipe.data.folder) if key == "data.root" else _value(key, recipe)
    return show(value).strip('"')


def _listed(words: Sequence[str]) -> str:
    rest = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
