"""The small world that bad inputs are given in: prepared data, a run that was trained, calibrated and
evaluated, and a few pictures; what a command says there, and the page of the docs.
"""

import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mue_cli.commands.app import app
from mue_cli.commands.boundary import answered
from mue_cli.errors import one_line
from mue_cli.reports.depth_scores import DepthScores
from mue_cli.reports.exit_grid import ExitGrid

Damage = Callable[[], object]
RUN = Path("runs/tiny")
DATA = Path("data/shapes")
AT = "--run runs/tiny"


@dataclass(frozen=True)
class Bad:
    """One bad input. kind: its heading. what: in words. words: the command line. damage: done in
    the world before, in its folder.
    """

    kind: str
    what: str
    words: str
    damage: Damage = lambda: None


@dataclass(frozen=True)
class Said:
    """What a command line printed and left: its exit code, its lines on stderr."""

    code: int
    lines: tuple[str, ...]


def say(words: str) -> Said:
    """Run a command line in this process, in this folder; a bug comes through."""
    out, talk = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk):
        code = answered(app, shlex.split(words))
    here = str(Path.cwd())
    said = talk.getvalue().replace(f"{here}/", "").replace(here, ".")
    return Said(code, tuple(said.splitlines()))


def make_world(folder: Path, data: Path, run: Path) -> None:
    """Fill a folder with copies of prepared data and of a run, under short names."""
    shutil.copytree(data, folder / DATA)
    shutil.copytree(run, folder / RUN)
    recipe = folder / RUN / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(re.sub(r"root: .*", f"root: {DATA}", text), encoding="utf-8")
    grid = ExitGrid(np.full((6, 6), 50.0), "CIDEr", 6, {"dataset": "shapes", "split": "test"})
    grid.save(folder / RUN / "modality.npz")
    depth = DepthScores(
        {"decoder": np.full(6, 50.0)}, {"decoder": np.zeros((6, 3))}, "CIDEr", 6, dict(grid.about)
    )
    depth.save(folder / RUN / "depth.npz")
    (folder / "pictures").mkdir()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(folder / "pictures" / "good.png")


def contents(folder: Path, without: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """Return every plain file in a folder: path -> content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.name not in (".lock", *without)
    }


def page(said: list[tuple[Bad, Said]]) -> str:
    """Return the page of the docs: every bad input with what it printed."""
    lines = [
        "# Bad inputs, and what each printed",
        "",
        f"{len(said)} bad inputs over all commands: each is one error line and a hint, exit code 2 (1",
        "where a picture cannot be read), and leaves earlier results as they were. Written by",
        "`python tests/write_bad_inputs.py`; `tests/test_bad_inputs.py` runs them all.",
    ]
    kind = ""
    for bad, answer in said:
        if bad.kind != kind:
            kind = bad.kind
            lines += ["", f"## {kind}", ""]
        error, hint = (line.partition(": ")[2] for line in answer.lines[-2:])
        lines.append(f"- **{_cell(bad.what)}**, `mue {_cell(bad.words)}`")
        lines.append(f"  <br>error: {_cell(error, 300)}<br>hint: {_cell(hint, 300)}")
    return "\n".join(lines) + "\n"


def outline(text: str) -> list[str]:
    """Return a page without what changes with every new recipe, method or field: the lists of
    names in messages and hints.
    """
    return [line[:40] if "<br>" in line else line for line in text.splitlines()]


def _cell(text: str, longest: int = 100) -> str:
    return one_line(text, longest).replace("<", "&lt;").replace("|", "&#124;")
