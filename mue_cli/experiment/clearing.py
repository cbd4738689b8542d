"""What goes with an earlier training: its weights, and all that was found with them. What mue did
not write stays, whatever its name.
"""

import io
import json
from itertools import chain
from pathlib import Path

from mue_cli.exits.catalogue import MethodSpec, names
from mue_cli.experiment.run_folder import Run
from mue_cli.files import read_text, write_text


def clear(run: Run) -> None:
    """Remove what belongs to an earlier training: weights and all that was found with them."""
    for path in (
        run.tokenizer,
        run.checkpoint,
        run.last_state,
        run.train_log,
        *map(run.exit_head, names(_is_trained_along)),
    ):
        path.unlink(missing_ok=True)
    clear_results(run)


def clear_results(run: Run) -> None:
    """Remove what was found with weights that change now: heads trained on them, thresholds,
    records, traces, answers.

    Figures stay until they are drawn anew.
    """
    for path in (
        *map(run.exit_head, names(_is_trained_after)),
        *map(run.second_log, names(_is_trained_after)),
        *chain.from_iterable(_calibrated(run, method) for method in names()),
        run.promises,
        run.modality,
        run.depth,
        run.records,
        run.traces,
        run.predictions,
        run.bench,
    ):
        path.unlink(missing_ok=True)


def clear_method(run: Run, method: str) -> None:
    """Remove what was found with a method's own exit head, which changes now: log, thresholds,
    records; not those of other methods.
    """
    if run.records.exists():  # first, since only writing can fail
        others = [
            line
            for line in io.StringIO(read_text(run.records))  # splitlines knows other ends
            if _method(line) != method
        ]
        write_text(run.records, "".join(others))
    for path in (*_calibrated(run, method), run.second_log(method)):
        path.unlink(missing_ok=True)


def _calibrated(run: Run, method: str) -> list[Path]:
    """Return what `mue calibrate` writes for a method."""
    written = (run.thresholds, run.calibration, run.trials, run.saturation)
    return [run.of_method(path, method) for path in written]


def _is_trained_along(spec: MethodSpec) -> bool:
    return spec.training == "model and head"


def _is_trained_after(spec: MethodSpec) -> bool:
    return spec.training == "head"


def _method(line: str) -> object:
    """Return the method of a record, None for a line that is none: its reader refuses it."""
    try:
        return json.loads(line)["method"]
    except (ValueError, KeyError, TypeError):
        return None
