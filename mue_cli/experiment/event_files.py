"""TensorBoard's event files of a training, `tensorboard/` in the run folder: what train.jsonl says.
The package `tensorboard` writes them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mue_cli.errors import MueError
from mue_cli.training.loop import StepReport

FOLDER = "tensorboard"
SECONDS_BETWEEN_WRITES = 10

Report = Callable[[StepReport], None]


@contextmanager
def event_files(run_folder: Path, first_step: int) -> Iterator[Report]:
    """Yield what writes a step to the event files. first_step: what an earlier training wrote of it
    and later ones is not shown any more.

    Raises MueError without the package.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MueError(
            "`training.tensorboard` needs the package tensorboard, which is not here",
            "pip install 'mue-cli[tensorboard]', or --set training.tensorboard=false",
        ) from None
    folder = str(run_folder / FOLDER)
    with SummaryWriter(folder, purge_step=first_step, flush_secs=SECONDS_BETWEEN_WRITES) as writer:

        def report(step: StepReport) -> None:
            for name, value in scalars(step).items():
                writer.add_scalar(name, value, step.step)

        yield report


def scalars(step: StepReport) -> dict[str, float]:
    """Return what is drawn of a step, by TensorBoard's names."""
    layers = {f"loss of layer/{n}": each for n, each in enumerate(step.losses, 1)}
    values = {
        "loss": step.loss,
        **layers,
        "validation score": step.score,
        "learning rate": step.learning_rate,
        "gradient norm": step.gradient_norm,
        "samples per second": step.samples / step.seconds,
        "waited for data": step.waited / step.seconds,
        "memory in MiB": step.memory_mb,
    }
    return {name: value for name, value in values.items() if value is not None}
