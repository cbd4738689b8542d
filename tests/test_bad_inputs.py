"""The table of bad inputs: each one error line and a hint, exit code 2, and earlier results as they
were. `python tests/write_bad_inputs.py` writes what each printed to docs/bad-inputs.md.
"""

from pathlib import Path

import pytest
from bad_inputs import Bad, Said, all_bad, contents, make_world, say

INPUTS = all_bad()


@pytest.fixture(scope="module")
def pattern(tiny_data, tiny_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the world as it is before anything bad happens."""
    folder = tmp_path_factory.mktemp("pattern")
    make_world(folder, tiny_data, tiny_run.folder)
    return folder


@pytest.mark.timeout(20, func_only=True)
@pytest.mark.parametrize("bad", INPUTS, ids=lambda bad: f"{bad.kind}: {bad.what}: {bad.words}"[:90])
def test_bad_input_is_a_line_and_a_hint_and_nothing_is_lost(
    bad: Bad, pattern: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, before, after = tried(bad, pattern, tmp_path, monkeypatch)
    errors = [line for line in said.lines if line.startswith("error: ")]
    hints = [line for line in said.lines if line.startswith("hint: ")]
    assert said.code == 2, said
    assert len(errors) == len(hints) == 1 and said.lines[-2:] == (errors[0], hints[0]), said
    assert max(map(len, said.lines)) < 1100 and "Traceback" not in "".join(said.lines)
    assert after == before


def tried(
    bad: Bad, pattern: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Said, dict[str, bytes], dict[str, bytes]]:
    """Return what was said, and what was there before and after."""
    import shutil

    world = folder / "world"
    shutil.copytree(pattern, world)
    monkeypatch.chdir(world)
    monkeypatch.setenv("PATH", "")  # no Java: METEOR takes seconds to start
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    bad.damage()
    before = contents(world)
    said = say(bad.words)
    return said, before, contents(world)


def test_there_are_at_least_200_over_all_commands() -> None:
    from mue_cli.commands.app import app

    assert len(INPUTS) >= 200
    names = {command.name for command in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    assert {bad.words.split()[0] for bad in INPUTS} >= names
