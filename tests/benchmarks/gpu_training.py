"""Training steps of OFA-base at 480 px: precision, the loss in chunks against all logits at once,
compiled layers, last-layer training. Called by gpu.py; alone: python gpu_training.py [--dry-run].

Weights are random and the ResNet is frozen, as in the recipes; a step is forward, backward and
AdamW. Peak memory is the allocator's, weights and optimiser included (on a CPU: of the process, so
it only ever grows).
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mue_cli.data.batches import Batch
from mue_cli.model.config import OFAConfig, preset
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training import losses
from mue_cli.training.memory import peak_memory_mb
from mue_cli.training.stages import shared_head

TINY = OFAConfig(
    vocab_size=700,
    embed_dim=32,
    ffn_dim=64,
    num_heads=2,
    num_encoder_layers=2,
    num_decoder_layers=2,
    resnet_blocks=(1, 1, 1),
    resnet_width=8,
)
CELLS = {
    "bfloat16, chunked": dict(precision="bfloat16"),
    "bfloat16, all logits": dict(precision="bfloat16", plain=True),
    "bfloat16, chunked, last layer": dict(precision="bfloat16", layer_loss="last"),
    "float32, chunked": dict(),
    "float32, all logits": dict(plain=True),
    "bfloat16, chunked, compiled": dict(precision="bfloat16", compiled=True),
}
SECONDS_PER_CELL = 12.0
"""Below so many seconds left, no further cell is begun; compiling takes longer and comes last."""


def training_part(device: torch.device, dry: bool, seconds_left: float) -> dict[str, object]:
    """Return steps per second and peak memory of every cell that there was time for."""
    deadline = time.monotonic() + seconds_left
    results: dict[str, object] = {}
    for name, cell in CELLS.items():
        if dry and "compiled" in cell:
            results[name] = "skipped: compiling takes minutes on a processor"
            continue
        if time.monotonic() > deadline - (3 if "compiled" in cell else 1) * SECONDS_PER_CELL:
            results[name] = "skipped: no time left"
            continue
        try:
            results[name] = _cell(device, dry, **cell)  # type: ignore[arg-type]
        except Exception as error:  # the other cells are still worth having
            results[name] = f"failed: {type(error).__name__}: {str(error)[:300]}"
    return results


def _cell(
    device: torch.device,
    dry: bool,
    precision: str = "float32",
    layer_loss: str = "mean",
    plain: bool = False,
    compiled: bool = False,
) -> dict[str, float]:
    torch.manual_seed(0)
    config = TINY if dry else preset("base")
    model = OFA(config).to(device).train()
    if compiled:
        for layer in (*model.encoder.layers, *model.decoder.layers):
            layer.compile()
    settings = TrainingSection(
        precision=precision,  # type: ignore[arg-type]
        layer_loss=layer_loss,  # type: ignore[arg-type]
        freeze_resnet=True,
        label_smoothing=0.1,
    )
    stage = shared_head(model, settings, decompose=True)
    for part in stage.still:
        part.eval()
    batch = _batch(config, rows=2 if dry else 16, side=48 if dry else 480)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = stage.loss(batch, 0).total
        loss.backward()
        optimizer.step()
        return loss.item()

    with _all_logits() if plain else _chunks():
        return _measure(step, device, num_steps=2 if dry else 8)


def _measure(step: Callable[[], float], device: torch.device, num_steps: int) -> dict[str, float]:
    started = time.perf_counter()
    first = step()
    warm_up = time.perf_counter() - started
    step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(num_steps):
        started = time.perf_counter()
        last = step()  # reading the loss waits for the device
        seconds.append(time.perf_counter() - started)
    return {
        "steps_per_second": round(1 / statistics.median(seconds), 3),
        "step_ms": round(1e3 * statistics.median(seconds), 2),
        "peak_memory_mib": peak_memory_mb(device),
        "first_step_s": round(warm_up, 2),
        "first_loss": round(first, 4),
        "last_loss": round(last, 4),
    }


def _batch(config: OFAConfig, rows: int, side: int) -> Batch:
    generator = torch.Generator().manual_seed(0)

    def words(length: int) -> Tensor:
        return torch.randint(4, config.vocab_size, (rows, length), generator=generator)

    names = tuple(map(str, range(rows)))
    pixels = torch.rand(rows, 3, side, side, generator=generator) * 2 - 1
    return Batch(names, names, pixels, words(8), words(17), words(17), ((),) * rows)


@contextmanager
def _chunks() -> Iterator[None]:
    yield


@contextmanager
def _all_logits() -> Iterator[None]:
    """Let autograd keep the logits of all layers, as a loss written plainly does."""
    fast = losses.head_loss
    losses.head_loss = _plain_head_loss
    try:
        yield
    finally:
        losses.head_loss = fast


def _plain_head_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    shares: Tensor,
    smoothing: float = 0.0,
    distillation: float = 0.0,
) -> tuple[Tensor, Tensor]:
    rows = []
    for state in hidden:
        log_probs = torch.log_softmax(torch.nn.functional.linear(state, weight).float(), dim=1)
        right = log_probs.gather(1, targets[:, None]).squeeze(1)
        wrong = smoothing / (len(weight) - 1)
        rows.append(-((1 - smoothing - wrong) * right + wrong * log_probs.sum(1)))
    found = torch.stack(rows)
    return (shares * found).sum(), found.detach()


if __name__ == "__main__":
    is_dry = "--dry-run" in sys.argv
    where = torch.device("cpu" if is_dry or not torch.cuda.is_available() else "cuda")
    print(json.dumps(training_part(where, is_dry, 90.0), indent=1))
