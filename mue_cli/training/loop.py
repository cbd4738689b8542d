"""The training loop: AdamW, warm-up and decay, validation, the best weights kept, resumable at
every validation.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from mue_cli.data.batches import Batch
from mue_cli.errors import MueError
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.schedule import learning_rate_factor
from mue_cli.training.stages import Loss, Stage

BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class StepReport:
    """What one step did. losses: per layer that is trained. score: of the validation after this
    step, else None.
    """

    step: int
    num_steps: int
    loss: float
    losses: tuple[float, ...]
    learning_rate: float
    gradient_norm: float
    seconds: float
    score: float | None = None


@dataclass(frozen=True)
class Hooks:
    """What the loop asks of its caller.

    validate: score of what is trained as it is, larger is better. report: called after every step.
    keep_best: called when a validation is the best so far. keep_state: called with all that
    resuming needs, after every validation.
    """

    validate: Callable[[], float]
    report: Callable[[StepReport], None]
    keep_best: Callable[[int, float], None]
    keep_state: Callable[[dict[str, object]], None]


def finetune(
    stage: Stage,
    batches: Callable[[int], Iterator[Batch]],
    settings: TrainingSection,
    hooks: Hooks,
    state: Mapping[str, Any] | None = None,
) -> float:
    """Train in place and return the best validation score; modules are left with their last
    weights, the best were handed to keep_best.

    batches: an endless stream of batches, from a given number on. state: what keep_state received,
    to go on from there.
    """
    optimizer = torch.optim.AdamW(
        _parameter_groups(stage, settings.weight_decay),
        lr=settings.learning_rate,
        betas=BETAS,
        fused=True,
    )
    first, best = (0, float("-inf")) if state is None else _restore(state, stage, optimizer)
    stream = batches(first * settings.accumulation)
    for step in range(first, settings.steps):
        started = time.perf_counter()
        stage.before_step(step)
        _set_training(stage)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(
                step, settings.steps, settings.warmup
            )
        optimizer.zero_grad(set_to_none=True)
        loss = _backward(
            settings.accumulation,
            (stage.loss(part, step) for part in islice(stream, settings.accumulation)),
        )
        if not torch.isfinite(loss.total):
            raise MueError(
                f"the loss is not finite at step {step + 1}", "lower training.learning_rate"
            )
        norm = nn.utils.clip_grad_norm_(_parameters(stage), settings.clip_norm)
        optimizer.step()
        seconds = time.perf_counter() - started
        score = None
        if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
            _set_evaluation(stage)
            score = hooks.validate()
            if score > best:
                best = score
                hooks.keep_best(step + 1, score)
            hooks.keep_state(_state(step + 1, best, stage, optimizer))
        hooks.report(
            StepReport(
                step + 1,
                settings.steps,
                loss.total.item(),
                tuple(loss.layers.tolist()),
                optimizer.param_groups[0]["lr"],
                float(norm),
                seconds,
                score,
            )
        )
    _set_evaluation(stage)
    return best


def _backward(count: int, losses: Iterable[Loss]) -> Loss:
    """Add up the mean gradient of `count` batches, one after the other, and return the mean loss."""
    totals, layers = [], []
    for part in losses:
        (part.total / count).backward()
        totals.append(part.total.detach() / count)
        layers.append(part.layers.detach() / count)
    return Loss(torch.stack(totals).sum(), torch.stack(layers).sum(0))


def _parameters(stage: Stage) -> list[nn.Parameter]:
    return [
        parameter
        for module in stage.modules.values()
        for parameter in module.parameters()
        if parameter.requires_grad
    ]


def _parameter_groups(stage: Stage, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices, not biases, norms and scales."""
    trained = _parameters(stage)
    return [
        {
            "params": [parameter for parameter in trained if parameter.ndim > 1],
            "weight_decay": weight_decay,
        },
        {
            "params": [parameter for parameter in trained if parameter.ndim <= 1],
            "weight_decay": 0.0,
        },
    ]


def _set_training(stage: Stage) -> None:
    for module in stage.modules.values():
        module.train()
    for part in stage.still:
        part.eval()


def _set_evaluation(stage: Stage) -> None:
    for module in stage.modules.values():
        module.eval()


def _state(
    step: int, best: float, stage: Stage, optimizer: torch.optim.Optimizer
) -> dict[str, object]:
    return {
        "step": step,
        "best": best,
        **{name: module.state_dict() for name, module in stage.modules.items()},
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }


def _restore(
    state: Mapping[str, Any], stage: Stage, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    for name, module in stage.modules.items():
        module.load_state_dict(state[name])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return state["step"], state["best"]
