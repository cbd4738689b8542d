"""The journal of one seed, finished.json: what earlier calls of `mue study` began and finished. It
says more than the files do: records alone do not tell whether a curve is whole, nor for which
target they were made.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from mue_cli.files import write_text
from mue_cli.recipe.recipe import Recipe
from mue_cli.schema.json_files import read_json

_HINT = "remove it: what is trained stays, rows are evaluated again"


@dataclass(frozen=True)
class Journal:
    path: Path

    def notes(self) -> dict[str, object]:
        """Return everything noted, by key. Raises DataError for a file that was edited into
        nonsense.
        """
        if not self.path.exists():
            return {}
        return read_json(dict[str, object], self.path, _HINT)

    def note(self, key: str, value: object) -> None:
        """Put one value in place of the key's earlier one; the file is either the old or the new
        one.
        """
        write_text(
            self.path, json.dumps({**self.notes(), key: value}, ensure_ascii=False, indent=1) + "\n"
        )


@dataclass(frozen=True)
class Change:
    """A value that is not what was noted. key: dotted."""

    key: str
    before: object
    now: object


def first_change(noted: Mapping[str, object], now: Mapping[str, object]) -> Change | None:
    """Return the first value by name that is not as noted, None when all are.

    A setting of recipes that was not noted is one that did not exist yet: it was at its default.
    """
    before, after = _flat(noted), _flat(now)
    for key in sorted(before.keys() | after.keys()):
        default = _DEFAULTS.get(_setting(key))
        was, is_now = before.get(key, default), after.get(key, default)
        if was != is_now:
            return Change(key, was, is_now)
    return None


def _setting(key: str) -> str:
    """Return the setting that a note's key means: a start is noted like its folder, and a second
    stage has settings of training.
    """
    while key.startswith("start."):
        key = key.removeprefix("start.")
    second_stage = "second_stage."
    if key.startswith(second_stage):
        return f"training.{key.removeprefix(second_stage)}"
    return key


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested values by dotted key."""
    pairs = (
        _flat(value, f"{prefix}{key}.").items()
        if isinstance(value, Mapping)
        else [(f"{prefix}{key}", value)]
        for key, value in values.items()
    )
    return dict(chain.from_iterable(pairs))


_DEFAULTS = _flat(json.loads(json.dumps(asdict(Recipe("", "")))))
"""Settings of recipes at first, as JSON gives them back."""
