"""One training as a person sees it: a line of log and of progress per step, the best kept, and what
Ctrl-C leaves.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mue_cli.commands.display import keeping, progress

if TYPE_CHECKING:
    from mue_cli.commands.workbench import Workbench
    from mue_cli.training.stages import Stage


@dataclass(frozen=True)
class Job:
    """label: what progress is called. log: file of a line per step. metric, validate: what decides
    which weights are best.

    keep: writes what is trained as it is now. keep_state: writes what resuming needs. kept: says
    what there is and how to go on, from "best CIDEr 71.0 at step 250".
    """

    label: str
    log: Path
    metric: str
    validate: Callable[[], float]
    keep: Callable[[], None]
    keep_state: Callable[[dict[str, object]], None]
    kept: Callable[[str], str]


def train(
    workbench: "Workbench", stage: "Stage", job: Job, state: dict[str, Any] | None = None
) -> float:
    """Train to the end and return the best validation score. state: where an earlier training
    stands.
    """
    from mue_cli.experiment.run_folder import append_line
    from mue_cli.training.loop import Hooks, StepReport, finetune

    settings = workbench.recipe.training
    best = f"best {job.metric} {state['best']:.1f}" if state else ""

    def keep_best(step: int, value: float) -> None:
        nonlocal best
        job.keep()
        best = f"best {job.metric} {value:.1f} at step {step}"

    def kept() -> str:
        return job.kept(best) if best else "before the first validation: nothing was kept"

    with progress(job.label) as report, keeping(kept):

        def show(step: StepReport) -> None:
            append_line(job.log, asdict(step))
            rate = settings.batch_size * settings.accumulation / step.seconds
            note = f"loss {step.loss:.3f}  learning rate {step.learning_rate:.1e}  {rate:.0f} samples/s  {best}"
            report(step.step, step.num_steps, note.rstrip())

        return finetune(
            stage,
            workbench.training_batches,
            settings,
            Hooks(job.validate, show, keep_best, job.keep_state),
            state,
        )
