"""The log of a calibration: what cannot be read of it is measured again, never waited for."""

import os
from pathlib import Path

import pytest

from mue_cli.calibration.measured import Setting
from mue_cli.errors import FileError
from mue_cli.exits.trace import Trace
from mue_cli.experiment.trial_log import TrialLog

SETTING = Setting({"decoder": 0.5}, {})
TRACE = Trace("a", {"joint": 2}, {"joint": 5}, (1, 2), 2, (1, 1), 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a log with the answers of two samples, a line each."""
    log = TrialLog(tmp_path / "trials.jsonl", {"seed": 0})
    for sample in (0, 1):
        log.add(SETTING, {sample: (f"text {sample}", TRACE)})
    return tmp_path / "trials.jsonl"


def known(path: Path) -> set[int]:
    return set(TrialLog(path, {"seed": 0}).known(SETTING))


def test_answers_come_back(path: Path) -> None:
    assert TrialLog(path, {"seed": 0}).known(SETTING)[1] == ("text 1", TRACE)
    assert not TrialLog(path, {"seed": 1}).known(SETTING)


@pytest.mark.parametrize("tail", ['{"thresholds": {"dec', "[" * 100_000, "null", '{"samples": 3}'])
def test_a_line_that_is_none_is_dropped(path: Path, tail: str) -> None:
    path.write_text(path.read_text() + tail)
    assert known(path) == {0, 1}
    assert len(path.read_text().splitlines()) == 2  # the head, and one line of the setting
    TrialLog(path, {"seed": 0}).add(SETTING, {2: ("text 2", TRACE)})
    assert known(path) == {0, 1, 2}


def test_bytes_in_its_place_are_replaced_and_a_pipe_is_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    assert known(path) == set()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileError, match=r"trials.jsonl`: it is a named pipe"):
        known(path)
    assert path.is_fifo()
