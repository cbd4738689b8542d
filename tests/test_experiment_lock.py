"""A run folder has one owner at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mue_cli.errors import MueError
from mue_cli.experiment.lock import holding

OTHER = """
import sys, time
from pathlib import Path
from mue_cli.experiment.lock import holding
from mue_cli.files import replacing
with holding(Path(sys.argv[1]), "finetune"), replacing(Path(sys.argv[1]) / "a.pt"):
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):
    """Return another process that holds the folder and is writing a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.wait()


def test_second_comer_is_told_who_writes_there(other, tmp_path: Path) -> None:
    with pytest.raises(MueError) as caught, holding(tmp_path / "run", "calibrate"):
        pass
    message = caught.value.message
    assert (
        f"`{tmp_path / 'run'}` is being written by `mue finetune`, process {other.pid}" in message
    )
    assert ", since 20" in message and caught.value.hint


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_folder_of_a_dead_process_is_free_and_swept(
    other, tmp_path: Path, number: signal.Signals
) -> None:
    assert list((tmp_path / "run").glob(".mue-part-*"))
    os.kill(other.pid, number)
    other.wait()
    with holding(tmp_path / "run", "calibrate"):
        assert not list((tmp_path / "run").glob(".mue-part-*"))
        (tmp_path / "run" / "kept").touch()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock", "kept"]


def test_folders_are_held_one_by_one_and_again(tmp_path: Path) -> None:
    with holding(tmp_path / "a", "study"), holding(tmp_path / "b", "finetune"):
        (tmp_path / "a" / "kept").touch()
    with holding(tmp_path / "a", "evaluate"):
        pass


def test_new_folder_goes_away_when_nothing_is_put_in_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), holding(tmp_path / "run", "finetune"):
        raise ZeroDivisionError
    assert not (tmp_path / "run").exists()


def test_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError), holding(tmp_path / "file" / "run", "finetune"):
        pass


@pytest.mark.parametrize("command", ["finetune", "calibrate", "evaluate"])
def test_every_procedure_that_writes_is_refused_while_another_writes(
    mue, tiny_data: Path, tmp_path: Path, command: str
) -> None:
    settings = ["--set", f"data.root={tiny_data}", "--set", "data.image_size=32"]
    with holding(tmp_path / "run", "finetune"):
        answer = mue(command, *settings, "--run", tmp_path / "run")
    assert answer.code == 2
    first, second = answer.stderr.splitlines()
    assert first.startswith(f"error: `{tmp_path / 'run'}` is being written by `mue finetune`")
    assert second == "hint: wait for it, or name another folder with --run"


def test_prepared_data_is_no_run_folder(tiny_data: Path) -> None:
    with pytest.raises(MueError, match="holds prepared data"), holding(tiny_data, "finetune"):
        pass
