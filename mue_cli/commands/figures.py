"""What commands say of the figures they drew."""

from pathlib import Path

from mue_cli.commands.display import answer, answer_json


def show(paths: tuple[Path, Path], as_json: bool) -> None:
    """Print the paths of a figure's files."""
    if as_json:
        answer_json({"figures": [str(path) for path in paths]})
        return
    for path in paths:
        answer(str(path))
