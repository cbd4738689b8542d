"""The journal of one seed, finished.json: what earlier calls of `mue study` began and finished. It
says more than the files do: records alone do not tell whether a curve is whole, nor for which
target they were made.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from mue_cli.files import write_text
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
