"""The training loop: AdamW, warm-up and decay, validation, the best weights kept.

It goes on from any state it handed out and ends in the same weights, bit for bit on CPUs. Several
processes average by hand what is the loss: each weighs its rows' gradients by their share of all
targets, and the sums are exchanged before the step.
"""

import itertools
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from mue_cli.data.batches import Batch
from mue_cli.errors import MueError
from mue_cli.model.encoder import PAD_ID
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.kept_state import random_state, restoring, set_random_state
from mue_cli.training.memory import peak_memory_mb, shortage_explained
from mue_cli.training.processes import ALONE, Processes
from mue_cli.training.schedule import learning_rate_factor
from mue_cli.training.stages import Stage
from mue_cli.training.stopping import StoppedTraining, StopRequest

BETAS = (0.9, 0.999)
SHOWN_SAMPLES = 8


@dataclass(frozen=True)
class StepReport:
    """What one step did. losses: per layer, None where it was not read. samples: texts learned
    from. cut: of them were too long. seconds: of the whole step. waited: of them for data.
    memory_mb: the most so far. score: of the validation after this step, else None.
    """

    step: int
    num_steps: int
    loss: float
    losses: tuple[float | None, ...]
    learning_rate: float
    gradient_norm: float
    samples: int
    cut: int
    seconds: float
    waited: float
    memory_mb: float
    score: float | None = None


@dataclass(frozen=True)
class Hooks:
    """What the loop asks of its caller.

    validate: score of what is trained as it is, larger is better. report: called after every step.
    keep_best: called when a validation is the best so far. keep_state: called with all that
    resuming needs, after every validation and every training.checkpoint_every steps.
    """

    validate: Callable[[], float]
    report: Callable[[StepReport], None]
    keep_best: Callable[[int, float], None]
    keep_state: Callable[[dict[str, object]], None]


@dataclass
class Place:
    """Where a training stands. step: done so far. best: score. pending: the validation after `step`
    is still to come.
    """

    step: int = 0
    best: float = -math.inf
    pending: bool = False


def finetune(
    stage: Stage,
    batches: Callable[[int], Iterator[Batch]],
    settings: TrainingSection,
    hooks: Hooks,
    state: Mapping[str, Any] | None = None,
    stop: StopRequest | None = None,
    processes: Processes = ALONE,
) -> float:
    """Train in place and return the best validation score; modules are left with their last
    weights, the best were handed to keep_best.

    batches: an endless stream of batches, from a given number on. state: what keep_state received,
    to go on from there. stop: asked after every step. Raises StoppedTraining once it is, MueError
    for a loss that is not finite or too little memory; the state is kept before either.
    """
    training = _Training(stage, settings, hooks, stop or StopRequest(), processes)
    if state is not None:
        restoring(training.restore, state)
    return training.run(batches)


class _Training:
    """A training under way."""

    def __init__(
        self,
        stage: Stage,
        settings: TrainingSection,
        hooks: Hooks,
        stop: StopRequest,
        processes: Processes,
    ) -> None:
        self.stage, self.settings, self.hooks = stage, settings, hooks
        self.stop, self.processes = stop, processes
        self.place = Place()
        self.asked_to_stop: int | None = None
        self.trained = _parameters(stage)
        self.statistics = _moving_statistics(stage)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.trained, settings.weight_decay),
            lr=settings.learning_rate,
            betas=BETAS,
            fused=True,
        )

    def run(self, batches: Callable[[int], Iterator[Batch]]) -> float:
        settings, place = self.settings, self.place
        if place.pending:
            self._validate()
            self._keep_state()
        stream = batches(place.step * settings.accumulation)
        while place.step < settings.steps:
            report = self._step(stream)
            place.step += 1
            place.pending = (
                place.step % settings.validate_every == 0 or place.step == settings.steps
            )
            stopped = self.asked_to_stop
            if self.processes.count == 1:
                stopped = self.stop.number
            if place.pending and stopped is None:
                report = replace(report, score=self._validate())
            self.hooks.report(report)
            every = settings.checkpoint_every
            if stopped or report.score is not None or (every and place.step % every == 0):
                self._keep_state()
            if stopped is not None:
                raise StoppedTraining(stopped)
        _set_evaluation(self.stage)
        return place.best

    def _step(self, stream: Iterator[Batch]) -> StepReport:
        """Do one step, and hand its report out."""
        started, settings, step = time.perf_counter(), self.settings, self.place.step
        parts = list(islice(stream, settings.accumulation))
        waited = time.perf_counter() - started
        self.stage.before_step(step)
        _set_training(self.stage)
        rate = settings.learning_rate * learning_rate_factor(step, settings.steps, settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        before, random = [buffer.clone() for buffer in self.statistics], random_state()
        with shortage_explained(settings):
            total, layers = self._backward(parts)
            self.processes.add_all([p.grad for p in self.trained if p.grad is not None])
            norm = nn.utils.clip_grad_norm_(self.trained, settings.clip_norm)
            loss, norm_value, *losses = torch.stack([total, norm.to(total), *layers]).tolist()
            if not math.isfinite(loss):
                for buffer, value in zip(self.statistics, before, strict=True):
                    buffer.copy_(value)
                set_random_state(random)
                self._refuse(parts)
            self.optimizer.step()
        self._share_statistics()
        return StepReport(
            step + 1,
            settings.steps,
            loss,
            tuple(None if math.isnan(each) else each for each in losses),
            rate,
            norm_value,
            self._num_samples(parts),
            self.stage.num_cut(parts) * self.processes.count,
            time.perf_counter() - started,
            waited,
            peak_memory_mb(total.device),
        )

    def _num_samples(self, parts: Sequence[Batch]) -> int:
        if self.processes.count == 1:
            return sum(len(part.decoder_tokens) for part in parts)
        rows = self.settings.batch_size * self.settings.captions_per_image
        return rows * self.settings.accumulation

    def _backward(self, parts: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Add up the gradients of the parts, each weighed by its share of all targets, and return
        the mean loss, whole and by layer.
        """
        counts = [int(part.target_tokens.ne(PAD_ID).sum()) for part in parts]
        all_targets = self._all_targets(sum(counts))
        totals, layers = [], []
        for part, count in zip(parts, counts, strict=True):
            loss, share = self.stage.loss(part, self.place.step), count / all_targets
            (loss.total * share).backward()
            totals.append(loss.total.detach() * share)
            layers.append(loss.layers.detach() * share)
        summed = torch.cat([torch.stack(totals).sum()[None], torch.stack(layers).sum(0)])
        summed = self.processes.add(summed)
        return summed[0], summed[1:]

    def _all_targets(self, own: int) -> float:
        """Return the number of targets of all processes; whether one is asked to stop comes along,
        as all must do the same.
        """
        self.asked_to_stop = self.stop.number
        if self.processes.count == 1:
            return float(own)
        device = self.trained[0].device
        values = torch.tensor([own, self.stop.number or 0], dtype=torch.float64, device=device)
        targets, numbers = self.processes.add(values).tolist()
        self.asked_to_stop = min(int(numbers), self.stop.number or signal.SIGTERM) or None
        return targets

    def _validate(self) -> float:
        """Validate, keep the best, return the score. A signal ends it; it is begun anew then."""
        _set_evaluation(self.stage)
        try:
            with self.stop.at_once():
                score = self.hooks.validate()
        except StoppedTraining:
            self._keep_state()
            raise
        if score > self.place.best:
            self.place.best = score
            self.hooks.keep_best(self.place.step, score)
        self.place.pending = False
        return score

    def _refuse(self, parts: Sequence[Batch]) -> None:
        """Keep the weights from before this step, and name the samples that spoiled it."""
        self._keep_state()
        own = [name for part in parts for name in part.sample_ids]
        names = [name for each in self.processes.gather(own) for name in each]
        more = f" and {len(names) - SHOWN_SAMPLES} more" if len(names) > SHOWN_SAMPLES else ""
        raise MueError(
            f"the loss is not finite at step {self.place.step + 1}, samples "
            f"{', '.join(names[:SHOWN_SAMPLES])}{more}; the state before it is kept",
            "lower training.learning_rate, or look at these samples, and --resume",
        )

    def _share_statistics(self) -> None:
        """Make batch norm's running statistics the same: each process sees its own rows alone."""
        if self.processes.count > 1:
            moving = [buffer for buffer in self.statistics if buffer.is_floating_point()]
            self.processes.add_all(moving)
            for buffer in moving:
                buffer.div_(self.processes.count)

    def _keep_state(self) -> None:
        self.hooks.keep_state(
            {
                "step": self.place.step,
                "best": self.place.best,
                "pending": self.place.pending,
                **{name: module.state_dict() for name, module in self.stage.modules.items()},
                "optimizer": self.optimizer.state_dict(),
                "random": self.processes.gather(random_state()),
            }
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was kept."""
        for name, module in self.stage.modules.items():
            module.load_state_dict(state[name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.place = Place(state["step"], state["best"], state["pending"])
        random = state["random"]
        set_random_state(random[self.processes.rank % len(random)])


def _parameters(stage: Stage) -> list[nn.Parameter]:
    modules = stage.modules.values()
    every = itertools.chain.from_iterable(module.parameters() for module in modules)
    return [parameter for parameter in every if parameter.requires_grad]


def _moving_statistics(stage: Stage) -> list[Tensor]:
    """Return the buffers that a forward pass changes: batch norm's, where it is not still."""
    still = {id(buffer) for part in stage.still for buffer in part.buffers()}
    modules = stage.modules.values()
    every = itertools.chain.from_iterable(module.buffers() for module in modules)
    return [each for each in every if id(each) not in still]


def _parameter_groups(trained: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices, not biases, norms and scales."""
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _set_training(stage: Stage) -> None:
    for module in stage.modules.values():
        module.train()
    for part in stage.still:
        part.eval()


def _set_evaluation(stage: Stage) -> None:
    for module in stage.modules.values():
        module.eval()
