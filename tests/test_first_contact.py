"""What a newcomer meets first: `mue` alone, what to do next, completion, the order of a help screen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mue_cli.commands.app import ABOUT
from mue_cli.experiment.next_steps import next_steps


def make(folder: Path, *names: str, run: str = "shapes-caption") -> Path:
    """Put empty files into a run folder, and return it."""
    place = folder / "runs" / run
    place.mkdir(parents=True, exist_ok=True)
    for name in ("recipe.yaml", *names):
        (place / name).touch()
    return place


def lines(folder: Path) -> list[str]:
    return [step.line for step in next_steps(folder)]


def test_empty_folder_is_offered_the_demo_first(tmp_path: Path) -> None:
    assert lines(tmp_path)[:2] == ["mue demo --quick", "mue demo"]


@pytest.mark.parametrize(
    ("names", "following"),
    [
        ([], "mue finetune --run {run}"),
        (["last.pt"], "mue finetune --run {run} --resume"),
        (["last.pt", "checkpoint.safetensors"], "mue calibrate --run {run}"),
        (["checkpoint.safetensors", "thresholds.yaml"], "mue evaluate --run {run}"),
        (
            ["checkpoint.safetensors", "thresholds.yaml", "records.jsonl"],
            "mue predict photo.jpg --run {run}",
        ),
    ],
)
def test_run_folder_is_offered_the_step_that_it_lacks(
    tmp_path: Path, names: list[str], following: str
) -> None:
    run = make(tmp_path, *names)
    assert lines(tmp_path)[0] == following.format(run=run)


def test_after_the_quick_demo_comes_the_real_one(tmp_path: Path) -> None:
    make(tmp_path, run="shapes-caption-quick")
    assert lines(tmp_path)[-1] == "mue demo"
    make(tmp_path, run="mine")
    assert "mue demo" not in lines(tmp_path)


def test_run_that_was_used_last_comes_first(tmp_path: Path) -> None:
    old, new = make(tmp_path, run="old"), make(tmp_path, run="new")
    os.utime(old, (1, 1))
    assert lines(tmp_path) == [f"mue finetune --run {new}", f"mue finetune --run {old}"]


def test_prepared_data_are_offered_their_recipes(tmp_path: Path) -> None:
    (tmp_path / "data" / "flickr8k").mkdir(parents=True)
    (tmp_path / "data" / "flickr8k" / "manifest.json").touch()
    offered = ["flickr8k-caption", "flickr8k-small"]
    assert lines(tmp_path) == [f"mue finetune --recipe {name}" for name in offered]


def test_mue_alone_says_what_to_do_next(mue, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = mue()
    assert answer.code == 0
    assert answer.stdout.splitlines()[1:3] == [
        "next here:",
        "  mue demo --quick                            every step on drawn scenes in a minute or two",
    ]
    assert answer.stderr == "all commands: mue --help\n"


def test_doctor_ends_with_what_to_do_next(mue, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    assert "  mue finetune --run runs/shapes-caption  " in mue("doctor").stdout
    document = json.loads(mue("doctor", "--json").stdout)
    assert document["next"][0]["line"] == "mue finetune --run runs/shapes-caption"


@pytest.mark.parametrize("words", ABOUT)
def test_examples_stand_before_details_and_options(mue, words: str) -> None:
    text = mue(*words.split(), "--help").stdout
    first = text.index("Examples")
    assert first < text.index("Reads") < text.index("Options")
    assert f"mue {words}" in text[first : text.index("Reads")]


def test_lists_of_commands_have_a_line_each(mue) -> None:
    for words in ([], ["prepare"], ["plot"], ["recipes"]):
        screen = mue(*words, "--help").stdout.split("Commands:")[1]
        for command in ABOUT:
            group, _, name = command.rpartition(" ")
            if group == " ".join(words):
                assert f"{name} " in screen and ABOUT[command] in screen


@pytest.mark.parametrize("words", ABOUT)
def test_an_option_is_a_line(mue, words: str) -> None:
    """At 80 columns, the runner's; where methods or a range are listed, one goes on below."""
    options = mue(*words.split(), "--help").stdout.split("Options:")[1].splitlines()
    assert sum(line.startswith("      ") for line in options) <= 1, options
    assert all(len(line) <= 80 for line in options)


def completed(typed: str) -> list[str]:
    """Return what bash is offered after a command line."""
    words = typed.split(" ")
    variables = {
        "_MUE_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = subprocess.run(
        [sys.executable, "-m", "mue_cli"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.stdout.splitlines()


def test_shell_completes_commands_options_and_choices() -> None:
    assert completed("mue pre") == ["predict", "prepare"]
    assert "--compare" in completed("mue predict --co")
    assert completed("mue demo --task ") == ["caption", "entailment"]


def test_completion_script_is_shown() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mue_cli", "--show-completion", "bash"],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0 and "_MUE_COMPLETE=complete_bash" in result.stdout
