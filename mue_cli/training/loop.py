"""The training loop: AdamW, warm-up and decay, validation, the best weights kept, resumable at every validation."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from mue_cli.data.batches import Batch
from mue_cli.errors import MueError
from mue_cli.model.ofa import OFA
from mue_cli.recipe import TrainingSection
from mue_cli.training.losses import combine, layer_losses
from mue_cli.training.schedule import learning_rate_factor

BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class StepReport:
    """What one step did. losses: per decoder layer. score: of the validation after this step, else None."""

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

    validate: score of the model as it is, larger is better. report: called after every step.
    keep_best: called when a validation is the best so far. keep_state: called with all that resuming needs, after every validation.
    """

    validate: Callable[[], float]
    report: Callable[[StepReport], None]
    keep_best: Callable[[int, float], None]
    keep_state: Callable[[dict[str, object]], None]


def finetune(
    model: OFA,
    batches: Callable[[int], Iterator[Batch]],
    settings: TrainingSection,
    decompose: bool,
    hooks: Hooks,
    allowed_ids: Sequence[int] | None = None,
    state: dict[str, object] | None = None,
) -> float:
    """Train in place and return the best validation score; the model is left with its last weights, the best were handed to keep_best.

    batches: an endless stream of batches, from a given number on. state: what keep_state received, to go on from there.
    """
    device = next(model.parameters()).device
    if settings.freeze_resnet:
        model.encoder.embed_images.requires_grad_(False)
    optimizer = torch.optim.AdamW(_parameter_groups(model, settings.weight_decay), lr=settings.learning_rate, betas=BETAS, fused=True)
    first, best = 0, float("-inf")
    if state is not None:
        first, best = _restore(state, model, optimizer)
    stream = batches(first * settings.accumulation)
    for step in range(first, settings.steps):
        started = time.perf_counter()
        _set_training(model, settings.freeze_resnet)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(step, settings.steps, settings.warmup)
        how = "last" if step < settings.last_layer_first * settings.steps else settings.layer_loss
        optimizer.zero_grad(set_to_none=True)
        parts = islice(stream, settings.accumulation)
        losses = _backward(how, settings.accumulation, (_losses(model, part, settings, decompose, allowed_ids, device) for part in parts))
        loss = combine(losses, how)
        if not torch.isfinite(loss):
            raise MueError(f"the loss is not finite at step {step + 1}", "lower training.learning_rate")
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        seconds = time.perf_counter() - started
        score = None
        if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
            model.eval()
            score = hooks.validate()
            if score > best:
                best = score
                hooks.keep_best(step + 1, score)
            hooks.keep_state(_state(step + 1, best, model, optimizer))
        hooks.report(
            StepReport(
                step + 1,
                settings.steps,
                loss.item(),
                tuple(losses.tolist()),
                optimizer.param_groups[0]["lr"],
                float(norm),
                seconds,
                score,
            )
        )
    model.eval()
    return best


def _losses(
    model: OFA, batch: Batch, settings: TrainingSection, decompose: bool, allowed_ids: Sequence[int] | None, device: torch.device
) -> Tensor:
    images, source = batch.images.to(device), batch.source_tokens.to(device)
    states = model(images, source, batch.decoder_tokens.to(device), decompose)
    return layer_losses(states, batch.target_tokens.to(device), model.decoder.logits, settings.label_smoothing, allowed_ids)


def _backward(how: str, count: int, losses: Iterable[Tensor]) -> Tensor:
    """Add up the mean gradient of `count` batches, one after the other, and return the mean loss of each layer."""
    means = []
    for part in losses:
        (combine(part, how) / count).backward()
        means.append(part.detach() / count)
    return torch.stack(means).sum(0)


def _parameter_groups(model: OFA, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices, not biases, norms and scales."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def _set_training(model: OFA, freeze_resnet: bool) -> None:
    model.train()
    if freeze_resnet:
        model.encoder.embed_images.eval()


def _state(step: int, best: float, model: OFA, optimizer: torch.optim.Optimizer) -> dict[str, object]:
    return {
        "step": step,
        "best": best,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }


def _restore(state: dict[str, object], model: OFA, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    model.load_state_dict(state["model"])  # type: ignore[arg-type]
    optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
    torch.set_rng_state(state["random"])  # type: ignore[arg-type]
    return state["step"], state["best"]  # type: ignore[return-value]
