"""Overrides: single values that replace those of a recipe file, as `--set` gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mue_cli.errors import RecipeError, one_line
from mue_cli.recipe.yaml_text import parse, to_word


@dataclass(frozen=True)
class Override:
    """One value of a recipe. key: "training.steps". place: where it was written, for messages."""

    key: str
    value: Any
    place: str

    @classmethod
    def of(cls, text: "str | Override") -> "Override":
        """Return the override of "section.key=value", the value in YAML. Raises RecipeError."""
        if isinstance(text, Override):
            return text
        key, equals, value = text.partition("=")
        place = f"`--set {one_line(text, longest=80)}`"
        if not equals or not all(key.strip().split(".")):
            raise RecipeError(
                f"cannot read {place}",
                "write it as section.key=value, e.g. --set training.steps=100",
            )
        if not value.strip():  # of a shell's variable that is not set, say
            raise RecipeError(f"{place} has no value", f"where none is meant: {key.strip()}=null")
        return cls(key.strip(), parse(value, place), place)

    def put_into(self, raw: dict[str, Any]) -> None:
        """Replace the value in the mapping of a recipe; sections that are absent are made.

        Of a whole section, the values that are named are replaced: the file's others stay. null
        stands for the section's defaults.
        """
        *sections, last = self.key.split(".")
        for section in sections:
            below = raw.get(section)
            raw[section] = raw = dict(below) if isinstance(below, dict) else {}
        before = raw.get(last)
        if not sections and isinstance(before, dict) and isinstance(self.value, dict):
            raw[last] = {**before, **self.value}
        else:
            raw[last] = self.value

    def decides(self, key: str) -> bool:
        """Return whether the value at a dotted key, or a part of it, comes from here."""
        return bool(key) and (
            f"{self.key}.".startswith(f"{key}.") or key.startswith(f"{self.key}.")
        )


def override(key: str, value: object) -> str:
    """Return "section.key=value", as `load` and `--set` read it back."""
    return f"{key}={to_word(value)}"


def place_of(key: str, overrides: Sequence[Override], file: str) -> str:
    """Return where the value at a dotted key was written: by the last override of it, or in the
    file.
    """
    return next((one.place for one in reversed(overrides) if one.decides(key)), f"`{file}`")
