"""The boundary to the user: files, disks, pipes, terminals and interrupts, each one line."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mue_cli.commands.boundary import explained
from mue_cli.errors import MueError, one_line

PROGRAM = [sys.executable, "-m", "mue_cli"]


def mue(*words: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own; shell: what follows it, as `2>&-`."""
    line = subprocess.list2cmdline([*PROGRAM, *words]) + f" {shell}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
        check=False,
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on device"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only file system"),
        (errno.ENAMETOOLONG, "file name too long"),
        (errno.ELOOP, "too many levels of symbolic links"),
        (errno.ENOTDIR, "not a directory"),
        (errno.ENOENT, "no such file or folder"),
    ],
)
def test_error_of_the_system_names_the_file_and_has_a_hint(number: int, words: str) -> None:
    known = explained(OSError(number, os.strerror(number), "runs/a"))
    assert known is not None and known.message == f"`runs/a`: {words}" and known.hint


def test_error_of_a_move_names_both_files() -> None:
    known = explained(OSError(errno.EXDEV, "x", "a", None, "b"))
    assert known is not None and known.message.startswith("`a` -> `b`: ")


def test_no_memory_is_a_line_that_says_what_to_make_smaller() -> None:
    for error in (
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ):
        known = explained(error)
        assert known is not None and known.message == "out of memory"
        assert "training.batch_size" in (known.hint or "")


def test_bug_of_ours_is_not_explained_away() -> None:
    for error in (ZeroDivisionError(), RuntimeError("shape mismatch"), KeyError("x"), ValueError()):
        assert explained(error) is None


def test_message_is_one_line_of_bounded_length() -> None:
    assert one_line("a\nb\x1b[31m\u2028c\td") == "a\\nb\\x1b[31m\\u2028c\\td"
    assert one_line("größe 犬") == "größe 犬"
    assert len(one_line("x" * 5000)) == 1000


@pytest.mark.parametrize(
    "recipe", ["a\nb", "x" * 5000, "a\x1b[31mb", "../" * 3000 + "a.yaml", "\u2028"]
)
def test_value_of_the_user_never_breaks_the_line(recipe: str) -> None:
    result = mue("recipes", "check", "mine")  # quotes of the shell are not the point here
    assert result.returncode == 2
    result = subprocess.run(
        [*PROGRAM, "recipes", "check", recipe],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, second = result.stderr.splitlines()
    assert first.startswith("error: no recipe") and second.startswith("hint: ")
    assert len(first) < 1100 and result.returncode == 2


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["--foo"], "no such option: --foo", "see: mue --help"),
        (["finetun"], "no such command 'finetun'", "see: mue --help"),
        (["finetune", "--seed", "x"], "invalid value for '--seed'", "see: mue finetune --help"),
        (["recipes", "check"], "missing argument", "see: mue recipes check --help"),
    ],
)
def test_wrong_words_are_a_line_and_a_hint_too(words: list[str], error: str, hint: str) -> None:
    result = mue(*words)
    first, second = result.stderr.splitlines()
    assert first.startswith(f"error: {error}") and second == f"hint: {hint}"
    assert result.returncode == 2


def test_group_without_a_command_prints_its_help_and_no_error() -> None:
    result = mue("recipes")
    assert result.stdout.strip() == mue("recipes", "--help").stdout.strip()
    assert result.returncode == 2 and result.stderr == ""


def test_no_words_at_all_say_what_comes_next() -> None:
    result = mue()
    assert result.returncode == 0 and "next here:" in result.stdout
    assert result.stderr == "all commands: mue --help\n"


@pytest.mark.parametrize("shell", ["> /dev/full", ">&-"])
def test_answer_that_cannot_be_written_is_an_error(shell: str) -> None:
    result = mue("recipes", "list", shell=shell)
    assert result.returncode == 2
    first, second = result.stderr.splitlines()
    assert first.startswith("error: cannot write the answer") and second.startswith("hint: ")


def test_reader_of_the_answer_may_leave() -> None:
    result = mue("recipes", "schema", shell="| (exec <&-; sleep 2)")
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.parametrize("shell", ["2>&-", "2>/dev/full", "2> >(exit)", "<&-"])
def test_nobody_need_read_the_talk_or_be_there_to_type(shell: str) -> None:
    result = mue("recipes", "check", "shapes-caption", shell=shell)
    assert (result.returncode, result.stdout) == (0, "")
    assert mue("recipes", "list", shell=shell).stdout == mue("recipes", "list").stdout


def test_terminal_of_no_width_still_shows_the_error() -> None:
    for width in ("0", "1", "x", "-3"):
        result = mue("recipes", "check", "shape-caption", COLUMNS=width)
        assert result.stderr == (
            "error: no recipe named `shape-caption`\nhint: did you mean `shapes-caption`?\n"
        )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "ascii:strict"])
def test_characters_that_stdout_does_not_know_are_escaped(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "犬.yaml"
    path.write_text("name: 犬\ntask: caption\n", encoding="utf-8")
    plain = mue("recipes", "show", str(path), PYTHONIOENCODING=encoding)
    assert plain.returncode == 0 and plain.stdout.startswith("name: \\u72ac")
    document = mue("recipes", "show", str(path), "--json", PYTHONIOENCODING=encoding)
    assert json.loads(document.stdout)["name"] == "犬"
    assert mue("recipes", "check", "犬.yaml", PYTHONIOENCODING=encoding).returncode == 2


WAITING = """
import sys, time
from mue_cli.__main__ import run
from mue_cli.commands import boundary
import typer
app = typer.Typer()
@app.command()
@boundary.friendly
def wait():
    print("here", flush=True)
    SLEEP
sys.exit(run(app))
"""
LOST = """
    def numbers():
        try:
            yield 1
        finally:
            time.sleep(30)
    for each in numbers():
        break
    del each
    time.sleep(20)"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_interrupt_is_one_line_and_its_code(number: signal.Signals, code: int) -> None:
    result = interrupted("time.sleep(30)", number)
    assert result == (code, "stopped: nothing was kept\n")


def test_interrupt_that_python_loses_in_a_generator_comes_again() -> None:
    assert interrupted(LOST, signal.SIGINT) == (130, "stopped: nothing was kept\n")


def _hear_signals() -> None:
    """Let a child hear what these tests may have been started deaf to, as by nohup."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def interrupted(sleep: str, number: signal.Signals) -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING.replace("SLEEP", sleep)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_signals,
    )
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    time.sleep(0.2)
    process.send_signal(number)
    _, talk = process.communicate(timeout=30)
    return process.returncode, talk


def test_mue_error_is_its_own_explanation() -> None:
    error = MueError("x", "y")
    assert explained(error) is error
