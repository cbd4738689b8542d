"""What stops a study comes through as it was, with the row's name."""

import signal
from types import SimpleNamespace

import pytest

from mue_cli.commands.boundary import Terminated
from mue_cli.study import progress
from mue_cli.training.stopping import StoppedTraining

ROW = SimpleNamespace(name="mue", seed=3)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Terminated(), StoppedTraining(15, "kept")])
def test_a_signal_keeps_its_kind_and_names_the_row(stop: KeyboardInterrupt) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, progress._naming(ROW, print):
        raise stop
    assert caught.value is stop
    assert str(stop) == "in row `mue`, seed 3; the same command goes on there"
    assert getattr(stop, "number", signal.SIGTERM) == signal.SIGTERM
