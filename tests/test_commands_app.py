"""The command line as such: help, speed, mistakes, interruption."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mue_cli import __version__
from mue_cli.commands import display
from mue_cli.commands.boundary import friendly
from mue_cli.errors import MueError

COMMANDS = [
    "prepare shapes",
    "prepare coco",
    "prepare flickr8k",
    "prepare snli-ve",
    "finetune",
    "calibrate",
    "evaluate",
]
COMMANDS += [
    "plot saturation",
    "plot tradeoff",
    "plot exits",
    "plot modality",
    "plot depth",
    "table",
    "predict",
    "export",
    "doctor",
    "demo",
    "study",
    "recipes list",
    "recipes show",
    "recipes schema",
    "recipes check",
]

HELP_WITHOUT_HEAVY_IMPORTS = """
import sys
from mue_cli.commands.app import app
try:
    app(["--help"])
except SystemExit:
    pass
heavy = {"torch", "numpy", "datasets", "matplotlib", "pycocoevalcap", "tokenizers", "safetensors", "PIL", "yaml"} & set(sys.modules)
print("heavy:", sorted(heavy))
"""


EMPTY = """
import typer
app = typer.Typer()
@app.command()
def nothing(): ...
app(["--help"])
"""


def mue_process(
    *words: str, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-m", "mue_cli", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=120,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    result = subprocess.run(
        [sys.executable, "-c", HELP_WITHOUT_HEAVY_IMPORTS],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "heavy: []"


def test_help_answers_at_once() -> None:
    """Half a second of processor time: wall time is the neighbours' business. Where they slow the
    processor down as well, less than twice what an empty command's help takes.
    """
    empty = min(_processor_seconds("-c", EMPTY) for _ in range(3))
    best = min(_processor_seconds("-m", "mue_cli", "--help") for _ in range(3))
    assert best < max(0.5, 1.8 * empty)


def _processor_seconds(*words: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, timeout=60, check=True)
    after = os.times()
    return (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_and_names_what_it_reads_and_writes(mue, command: str) -> None:
    text = mue(*command.split(), "--help").stdout
    assert f"mue {command}" in text.split("Examples")[1]
    assert "Reads" in text and ("Writes" in text or "writes" in text)


def test_help_lists_every_command(mue) -> None:
    text = mue("--help").stdout
    assert all(
        name in text
        for name in (
            "prepare",
            "finetune",
            "calibrate",
            "evaluate",
            "predict",
            "plot",
            "demo",
            "study",
        )
    )


def test_version(mue) -> None:
    assert mue("--version").stdout == f"mue {__version__}\n"


def test_package_runs_as_a_module() -> None:
    assert mue_process("--version").stdout == f"mue {__version__}\n"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (
            ["finetune", "--recipe", "shape-caption"],
            "no recipe named `shape-caption`",
            "did you mean `shapes-caption`?",
        ),
        (
            ["finetune", "--set", "exits.metod=mue"],
            "unknown key `exits.metod` in `--set exits.metod=mue`",
            "did you mean `method`?",
        ),
        (
            ["finetune", "--recipe", "no/such.yaml"],
            "no recipe file `no/such.yaml`",
            "recipes by name: ",
        ),
        (["finetune"], "no prepared data at data/shapes", "run: mue prepare shapes"),
        (
            ["plot", "tradeoff"],
            "no records.jsonl in `runs/shapes-caption`",
            "run: mue evaluate --recipe shapes-caption",
        ),
        (
            ["table", "1"],
            "no records.jsonl in `runs/shapes-caption`",
            "run: mue evaluate --recipe shapes-caption",
        ),
        (["prepare", "coco"], "no captions found in downloads/coco", "needed in one folder:"),
        (
            ["prepare", "flickr8k"],
            "downloads/flickr8k/dataset_flickr8k.json is missing",
            "needed in one folder:",
        ),
        (["prepare", "snli-ve"], "none of snli_ve_train.jsonl", "needed in one folder:"),
    ],
)
def test_users_mistake_is_a_line_and_a_hint_with_exit_code_2(
    mue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], error: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = mue(*words)
    assert answer.code == 2
    first, second = answer.stderr.splitlines()[:2]
    assert first.startswith(f"error: {error}") and second.startswith(f"hint: {hint}")
    assert answer.stdout == ""


def test_missing_step_names_the_command_for_this_very_run(
    mue, tiny_settings, tmp_path: Path
) -> None:
    answer = mue(
        "evaluate", *tiny_settings[:2], "--set", tiny_settings[-1], "--run", tmp_path / "my run"
    )
    assert answer.code == 2
    assert f"no checkpoint.safetensors in `{tmp_path / 'my run'}`" in answer.stderr
    assert f"--run '{tmp_path / 'my run'}'" in answer.stderr


def test_users_mistake_has_no_traceback_in_a_real_process(tmp_path: Path) -> None:
    result = mue_process("evaluate", folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert (
        result.stderr == "error: no prepared data at data/shapes\nhint: run: mue prepare shapes\n"
    )


def test_unknown_option_and_value_exit_with_2(mue) -> None:
    assert mue("evaluate", "--methd", "full").code == 2
    assert mue("evaluate", "--method", "fll").code == 2
    assert mue("evaluat").code == 2


def run_friendly(error: BaseException) -> tuple[int, str, BaseException | None]:
    """Return exit code, stderr and the exception that came through, of a command that raises
    `error`.
    """
    app = typer.Typer()

    @app.command()
    @friendly
    def command() -> None:
        raise error

    result = CliRunner().invoke(app, [])
    return result.exit_code, result.stderr, result.exception


def test_error_without_hint_names_the_help_of_its_command() -> None:
    assert run_friendly(MueError("the [bold] disk is full"))[:2] == (
        2,
        "error: the [bold] disk is full\nhint: see: mue test_commands_app command --help\n",
    )


def test_long_error_is_not_wrapped() -> None:
    message = "word " * 60 + "end"
    assert run_friendly(MueError(message, "x"))[1] == f"error: {message}\nhint: x\n"


def test_interruption_says_what_was_kept_and_exits_with_130() -> None:
    assert run_friendly(KeyboardInterrupt())[:2] == (130, "stopped: nothing was kept\n")
    assert run_friendly(KeyboardInterrupt("kept a.bin"))[:2] == (130, "stopped: kept a.bin\n")


def test_unexpected_error_stays_an_error_with_its_traceback() -> None:
    code, _, exception = run_friendly(ZeroDivisionError("bug"))
    assert code == 1
    assert isinstance(exception, ZeroDivisionError)


def test_keeping_lets_an_interruption_say_what_was_kept() -> None:
    with (
        pytest.raises(KeyboardInterrupt, match=r"kept 3 files"),
        display.keeping(lambda: "kept 3 files"),
    ):
        raise KeyboardInterrupt


def test_progress_in_a_file_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([1.0, 5.0, 31.0, 40.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    with display.progress("train") as report:
        for done in (1, 2, 3, 4):
            report(done, 4, "loss 1.5")
    assert capsys.readouterr().err.splitlines() == [
        "train  1/4  loss 1.5",
        "train  3/4  loss 1.5  15 s left",
        "train  4/4  loss 1.5  0 s left",
    ]


def test_colours_are_left_out_where_they_are_not_wanted(tmp_path: Path) -> None:
    assert (
        "31m" in mue_process("finetune", "--recipe", "x", folder=tmp_path, FORCE_COLOR="1").stderr
    )
    assert (
        "31m"
        not in mue_process(
            "finetune", "--recipe", "x", folder=tmp_path, FORCE_COLOR="1", NO_COLOR="1"
        ).stderr
    )
    assert "\x1b" not in mue_process("finetune", "--recipe", "x", folder=tmp_path).stderr
