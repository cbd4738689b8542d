"""Captions per second of training, by the training loop itself; runs under this release and the one before,
so that both can be timed in one sitting:

    for tree in ../before . ../before .; do PYTHONPATH=$tree python tests/benchmarks/training_steps.py shapes; done

shapes: the default recipe, all layers in the loss. features: 6 + 6 layers of width 256 at 160 px with a
frozen ResNet-50, whose 10 x 10 features the present release caches, five captions to a picture; the release
before encodes a picture for every caption. last: only the last layer is in the loss. recomputed: with
activation checkpointing. Processor seconds of one thread, the fastest step of a few; data
are random and made beforehand.
"""

import inspect
import itertools
import math
import resource
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from mue_cli.data.batches import Batch
from mue_cli.model.config import OFAConfig, preset
from mue_cli.model.ofa import OFA
from mue_cli.training.loop import Hooks, finetune
from mue_cli.training.stages import shared_head

try:
    from mue_cli.recipe.recipe import TrainingSection
except ImportError:  # the release before
    from mue_cli.recipe import TrainingSection

LENGTHS = {"shapes": (9, 16), "features": (9, 18)}
"""Tokens of the prompt, and of the longest caption with its end."""
HAS_FEATURES = "cache_features" in inspect.signature(TrainingSection).parameters


def config_of(case: str) -> OFAConfig:
    """Return the model's sizes."""
    if case == "shapes":
        return preset("nano", vocab_size=407)
    sizes = dict(max_positions=128, token_buckets=64, num_encoder_layers=6, num_decoder_layers=6)
    return preset("tiny", vocab_size=4000, **sizes)


def batches(case: str, config: OFAConfig, rows: int) -> Iterator[Batch]:
    """Yield the same few batches without end, captions of all lengths."""
    generator = torch.Generator().manual_seed(0)
    prompt_length, length = LENGTHS[case]
    prompt = torch.randint(4, config.vocab_size, (1, prompt_length), generator=generator)
    pictures = rows
    if case == "features" and HAS_FEATURES:
        pictures = rows // 5
    made = []
    for _ in range(3):
        words = torch.randint(4, config.vocab_size, (rows, length), generator=generator)
        ends = torch.randint(length // 2, length + 1, (rows, 1), generator=generator)
        words[torch.arange(length)[None] >= ends] = 1
        names = tuple(map(str, range(rows)))
        images = _images(case, pictures, generator)
        source = prompt.expand(pictures, -1).contiguous()
        made.append(Batch(names, names[:pictures], images, source, words, words, ((),) * pictures))
    yield from itertools.cycle(made)


def _images(case: str, pictures: int, generator: torch.Generator) -> Tensor:
    if case == "shapes":
        return torch.rand(pictures, 3, 64, 64, generator=generator) * 2 - 1
    if HAS_FEATURES:
        features = torch.rand(pictures, 1024, 10, 10, generator=generator)
        return features.to(torch.bfloat16)
    return torch.rand(pictures, 3, 160, 160, generator=generator) * 2 - 1


def main(case: str, rows: int, num_steps: int, ways: set[str]) -> None:
    """Train for a few steps and print what the fastest gives."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = config_of(case)
    model = OFA(config)
    if "recomputed" in ways:
        from mue_cli.model.ofa import recomputed

        model.run_layer = recomputed
    settings = TrainingSection(
        steps=num_steps,
        batch_size=rows,
        validate_every=num_steps,
        layer_loss="last" if "last" in ways else "mean",
        freeze_resnet=case == "features",
        label_smoothing=0.1 if case == "features" else 0.0,
    )
    moments, losses = [time.process_time()], []

    def report(step: object) -> None:
        moments.append(time.process_time())
        losses.append(step.loss)  # type: ignore[attr-defined]

    hooks = Hooks(lambda: 0.0, report, lambda *_: None, lambda state: None)
    stage = shared_head(model, settings, True)
    finetune(stage, lambda first: batches(case, config, rows), settings, hooks)
    seconds = [later - before for before, later in itertools.pairwise(moments)][1:]
    assert all(map(math.isfinite, losses))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{' '.join([case, *sorted(ways)])}: {rows / min(seconds):.1f} captions/s at best, "
        f"{rows * len(seconds) / sum(seconds):.1f} in the mean of {len(seconds)} steps of {rows}; "
        f"peak {peak:.0f} MiB; loss {losses[0]:.4f} to {losses[-1]:.4f}"
    )


if __name__ == "__main__":
    which, *more = sys.argv[1:]
    steps = [int(each) for each in more if each.isdecimal()] or [8]
    chosen = {each for each in more if not each.isdecimal()}
    main(which, 32 if which == "shapes" else 20, steps[0], chosen)
