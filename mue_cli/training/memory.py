"""Memory while a model trains: how much it took, and what to say when there was too little."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mue_cli.errors import MueError
from mue_cli.recipe.recipe import TrainingSection

_CPU_SIGNS = ("not enough memory", "can't allocate memory", "Cannot allocate memory")


@contextmanager
def shortage_explained(settings: TrainingSection) -> Iterator[None]:
    """Turn too little memory, of a GPU or of the machine, into one line that names the knobs.
    Raises MueError.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if type(error) is RuntimeError and not any(sign in str(error) for sign in _CPU_SIGNS):
            raise
        rows = settings.batch_size * settings.captions_per_image
        raise MueError(
            f"not enough memory for {settings.batch_size} rows at a time"
            + (
                f" of {settings.captions_per_image} captions each"
                if rows > settings.batch_size
                else ""
            ),
            "a smaller training.batch_size with as much more training.accumulation makes the same "
            "step; smaller pictures (data.image_size), training.captions_per_image and "
            "training.precision=bfloat16 save memory too",
        ) from error


def peak_memory_mb(device: torch.device) -> float:
    """Return the most that was in use so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1)
