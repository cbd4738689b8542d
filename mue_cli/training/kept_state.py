"""Where a training stands, as it is kept: whether it fits, going on from it, random generators."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mue_cli.errors import MueError
from mue_cli.training.stages import Stage


def check_fits(stage: Stage, state: Mapping[str, Any]) -> None:
    """Raise MueError where what is trained has tensors of other names or shapes than a state that
    was kept; nothing is changed.
    """
    for name, module in stage.modules.items():
        own, kept = _shapes(module.state_dict()), _shapes(state.get(name))
        others = {key for key in own.keys() | kept.keys() if own.get(key) != kept.get(key)}
        if others:
            odd = min(others)
            message = (
                f"cannot go on from the state that was kept: {name}'s {odd} has shape "
                f"{own.get(odd)} in the model, {kept.get(odd)} there"
            )
            raise MueError(message, "train anew with --force")


def _shapes(tensors: object) -> dict[str, object]:
    """Return the shapes of tensors by name; None for what is no tensor, nothing where none are."""
    if not isinstance(tensors, Mapping):
        return {}
    return {
        str(name): tuple(value.shape) if isinstance(value, Tensor) else None
        for name, value in tensors.items()
    }


def restoring(restore: Callable[[Mapping[str, Any]], None], state: Mapping[str, Any]) -> None:
    """Go on where a state was kept. Raises MueError for one that does not fit."""
    try:
        restore(state)
    except torch.OutOfMemoryError:
        raise
    except (
        LookupError,
        ArithmeticError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"cannot go on from the state that was kept: {reason}"
        raise MueError(message, "train anew with --force") from None


def random_state() -> dict[str, object]:
    """Return the state of every generator that dropout draws from; data order needs none."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Set the generators to what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
