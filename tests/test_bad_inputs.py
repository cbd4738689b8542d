"""The table of bad inputs: each one error line and a hint, exit code 2, and earlier results as they
were. `python tests/write_bad_inputs.py` writes what each printed to docs/bad-inputs.md.
"""

import shutil
from pathlib import Path

import pytest
from bad_inputs import all_bad
from bad_world import Bad, Said, contents, make_world, outline, page, say

from mue_cli.commands.app import app

DOCS = Path(__file__).resolve().parent.parent / "docs" / "bad-inputs.md"
INPUTS = all_bad()
SAID: list[tuple[Bad, Said]] = []


@pytest.fixture(scope="module")
def pattern(tiny_data, tiny_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the world as it is before anything bad happens."""
    folder = tmp_path_factory.mktemp("pattern")
    make_world(folder, tiny_data, tiny_run.folder)
    return folder


@pytest.mark.timeout(60, func_only=True)
@pytest.mark.parametrize("bad", INPUTS, ids=lambda bad: f"{bad.kind}: {bad.what}: {bad.words}"[:90])
def test_bad_input_is_a_line_and_a_hint_and_nothing_is_lost(
    bad: Bad, pattern: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = shutil.copytree(pattern, tmp_path / "world")
    monkeypatch.chdir(world)
    monkeypatch.setenv("PATH", "")  # no Java: METEOR takes seconds to start
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    bad.damage()
    before = contents(world)
    said = say(bad.words)
    SAID.append((bad, said))
    assert [line.partition(": ")[0] for line in said.lines[-2:]] == ["error", "hint"], said
    assert said.code == (1 if "could not be read" in said.lines[-2] else 2), said
    assert sum(line.startswith(("error: ", "hint: ")) for line in said.lines) == 2, said
    assert max(map(len, said.lines)) < 1100 and "Traceback" not in "".join(said.lines)
    assert contents(world) == before


def test_there_are_at_least_200_over_all_commands() -> None:
    assert len(INPUTS) >= 200
    names = {command.name for command in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    assert {bad.words.split()[0] for bad in INPUTS} >= names


def test_page_of_the_docs_is_current() -> None:
    if len(SAID) < len(INPUTS):
        pytest.skip("only some of the inputs were run")
    text = DOCS.read_text(encoding="utf-8")
    assert outline(text) == outline(page(SAID)), "run: python tests/write_bad_inputs.py"
