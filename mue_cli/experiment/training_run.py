"""One training as it runs: every step logged, the best kept, a stop that says what was kept."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mue_cli.data.batches import Batch
from mue_cli.experiment import event_files, run_folder
from mue_cli.experiment.experiment import Experiment
from mue_cli.training import loop
from mue_cli.training.loop import Hooks, StepReport
from mue_cli.training.processes import ALONE, LostProcessError, Processes
from mue_cli.training.stages import Stage
from mue_cli.training.stopping import StoppedTraining, StopRequest

NOTHING = "before the first validation: nothing was kept"


@dataclass(frozen=True)
class Finetuned:
    """What a training left. metric, score: the best validation. exit_head: of its own, if any.
    cut: share of the captions, or questions, learned from that lost their end.
    """

    metric: str
    score: float
    checkpoint: Path
    exit_head: Path | None = None
    cut: float = 0.0


@dataclass(frozen=True)
class TrainingRun:
    """One training, and what is kept of it.

    label: what progress is called. metric, validate: what decides which weights are best. keep:
    writes what is trained as it is now. keep_state: writes what resuming needs. log: where a line
    per step goes, asked each time. kept: says what there is and how to go on, from "best CIDEr 71.0
    at step 250", "" before the first validation.
    """

    label: str
    metric: str
    validate: Callable[[], float]
    keep: Callable[[], None]
    keep_state: Callable[[dict[str, object]], None]
    log: Callable[[], Path]
    kept: Callable[[str], str]


def run_training(
    experiment: Experiment,
    stage: Stage,
    training: TrainingRun,
    batches: Callable[[int], Iterator[Batch]],
    state: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
) -> float:
    """Train to the end and return the best validation score. state: where a training stands."""
    settings = experiment.recipe.training
    first = 1 + (state["step"] if state else 0)
    scored = state is not None and math.isfinite(state["best"])
    best = f"best {training.metric} {state['best']:.1f}" if state and scored else ""

    def keep_best(step: int, value: float) -> None:
        nonlocal best
        if processes.writes:
            training.keep()
        best = f"best {training.metric} {value:.1f} at step {step}"

    def keep_state(values: dict[str, object]) -> None:
        if processes.writes:
            training.keep_state(values)

    def report(step: StepReport) -> None:
        if processes.writes:
            run_folder.append_line(training.log(), asdict(step))
            show(step)
            experiment.progress(training.label, step.step, step.num_steps, _note(step, best))

    hooks = Hooks(training.validate, report, keep_best, keep_state)
    events: AbstractContextManager[event_files.Report] = nullcontext(lambda step: None)
    if settings.tensorboard and processes.writes:
        events = event_files.event_files(experiment.run.folder, first)
    try:
        with events as show, StopRequest().listening() as stop:
            return loop.finetune(stage, batches, settings, hooks, state, stop, processes)
    except StoppedTraining as stopped:
        raise StoppedTraining(stopped.number, training.kept(best)) from None
    except LostProcessError as lost:
        raise LostProcessError(lost.message, training.kept(best)) from None
    except KeyboardInterrupt:
        kept = training.kept(best) if best else NOTHING
        raise KeyboardInterrupt(kept) from None


def _note(step: StepReport, best: str) -> str:
    rate = step.samples / step.seconds
    note = f"loss {step.loss:.3f}  learning rate {step.learning_rate:.1e}  {rate:.0f} samples/s"
    waited = step.waited / step.seconds
    if waited > 0.1:
        note += f" ({waited:.0%} waiting for data)"
    return f"{note}  {best}".rstrip()
