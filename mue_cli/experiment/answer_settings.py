"""`<name>.settings.json` beside a file of answers: what they depend on, and the folder that its
paths are meant from.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mue_cli.errors import MueError
from mue_cli.files import plain_file, write_text
from mue_cli.schema.json_files import read_json

AGAIN = "name another file with --out, or remove this one to begin anew"


@dataclass(frozen=True)
class Settings:
    """What the answers of a file depend on, by name. folder: that its paths are meant from; None of
    older files.
    """

    settings: Mapping[str, object]
    folder: str | None = None


def settings_path(path: Path) -> Path:
    """Return the file beside the answers that says what they depend on."""
    return path.with_name(f"{path.name}.settings.json")


def check_settings(path: Path, now: Settings) -> Settings:
    """Keep the settings of a new file, and return what is kept. Raises MueError where those of an
    old one were others.
    """
    kept = settings_path(path)
    if os.path.lexists(path):
        plain_file(path)
    if not path.exists() or not path.stat().st_size:
        keep_settings(path, now)
        return now
    if not kept.exists():
        raise MueError(f"`{path}` is there, and nothing says what wrote it", AGAIN)
    before = read_json(Settings, kept, AGAIN)
    for name in dict.fromkeys([*before.settings, *now.settings]):
        was, is_now = (each.settings.get(name) for each in (before, now))
        if was != is_now:
            change = f"{name} {json.dumps(was)}, now it is {json.dumps(is_now)}"
            raise MueError(f"`{path}` was written with {change}", AGAIN)
    return before


def keep_settings(path: Path, settings: Settings) -> None:
    """Write what the answers of a file depend on beside it. Raises OSError."""
    text = json.dumps(asdict(settings), indent=1, ensure_ascii=False)
    write_text(settings_path(path), text + "\n")
