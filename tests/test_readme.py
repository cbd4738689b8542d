"""What the README tells a reader to type exists."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mue_cli.commands.app import app
from mue_cli.recipe import recipe as recipes

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_lines(text: str) -> list[str]:
    """Return the lines of all bash blocks, continued lines joined, `$ ` and comments removed."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = (
        "".join(block for language, block in blocks if language == "bash")
        .replace("\\\n", " ")
        .splitlines()
    )
    return [line.strip().removeprefix("$ ").split("  #")[0].strip() for line in lines]


def mue_lines() -> list[str]:
    """Return every distinct command line of ours in the README, in order."""
    parts = [part.strip() for line in code_lines(README) for part in line.split("&&")]
    commands = [part.removeprefix(".venv/bin/") for part in parts]
    return list(dict.fromkeys(command for command in commands if command.startswith("mue ")))


def test_readme_shows_every_command() -> None:
    shown = {
        " ".join(
            shlex.split(line)[1:3]
            if shlex.split(line)[1] in ("prepare", "plot")
            else shlex.split(line)[1:2]
        )
        for line in mue_lines()
    }
    assert shown >= {
        "demo",
        "finetune",
        "calibrate",
        "evaluate",
        "predict",
        "export",
        "plot saturation",
        "plot tradeoff",
    }
    assert shown >= {"prepare shapes", "prepare coco", "prepare flickr8k", "prepare snli-ve"}


@pytest.mark.parametrize("line", mue_lines())
def test_command_line_of_the_readme_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "line", [line for line in mue_lines() if "--set" in line or "--recipe" in line]
)
def test_recipes_and_overrides_of_the_readme_are_valid(line: str) -> None:
    words = shlex.split(line)
    following = list(itertools.pairwise(words))
    names = [value for option, value in following if option == "--recipe"]
    overrides = [value for option, value in following if option == "--set"]
    assert recipes.load(names[0] if names else "shapes-caption", overrides)


def test_unknown_option_would_be_noticed() -> None:
    assert CliRunner().invoke(app, ["evaluate", "--nope", "--help"]).exit_code == 2


def test_readme_opens_with_the_two_commands() -> None:
    first, second = [line for line in code_lines(README) if line.startswith("python3 -m venv")][:2]
    assert first.endswith(".venv/bin/mue demo")
    assert second.endswith(".venv/bin/python -m pytest")
    assert README.index(second) < README.index("## ")


def test_all_checks_run_the_readmes_own_test_line() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m 1 -E '(.+)' README.md", script)
    assert pattern is not None
    matching = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert len(matching) == 1


def test_files_that_the_readme_names_exist() -> None:
    names = set(re.findall(r"`((?:mue_cli|recipes|tests|\.ci|\.github)/[\w./-]+)`", README))
    assert names
    assert not [name for name in sorted(names) if not (ROOT / name).exists()]
