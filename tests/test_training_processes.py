"""Two processes that train together: equal weights everywhere after every step, and those of one
process with the same global batch, within rounding.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from forked import launched
from small_ofa import small_config
from test_training import captions

from mue_cli.data.batches import Batch
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.loop import Hooks, finetune
from mue_cli.training.processes import ALONE, Processes, join
from mue_cli.training.stages import shared_head

SETTINGS = TrainingSection(
    steps=3, validate_every=3, learning_rate=3e-3, freeze_resnet=True, accumulation=2
)


def rows(batch: Batch, kept: slice) -> Batch:
    """Return some rows of a batch."""
    parts = ("images", "source_tokens", "decoder_tokens", "target_tokens")
    names, references = batch.sample_ids[kept], batch.references[kept]
    some = {name: getattr(batch, name)[kept] for name in parts}
    return replace(batch, sample_ids=names, image_ids=names, references=references, **some)


def train(path: Path) -> None:
    """Train with the others, and write the weights; they are equal everywhere after every step."""
    processes = join(torch.device("cpu"))
    torch.manual_seed(0)
    model = OFA(small_config()).train()

    def share(first: int) -> Iterator[Batch]:
        own = slice(processes.rank, None, processes.count)
        return (rows(batch, own) for batch in captions(first))

    def report(step: object) -> None:
        weights = torch.cat([each.detach().flatten() for each in model.parameters()])
        one, *others = processes.gather(weights.tolist())
        assert all(other == one for other in others), "weights differ"

    hooks = Hooks(lambda: 0.0, report, lambda *best: None, lambda state: None)
    finetune(shared_head(model, SETTINGS, True), share, SETTINGS, hooks, processes=processes)
    shared = processes.merge([f"{item}" for item in processes.share(5)], 5)
    assert shared == ["0", "1", "2", "3", "4"], shared
    assert processes.first(lambda: processes.rank) == 0
    if processes.writes:
        torch.save(model.state_dict(), path)


def trained(path: Path, count: int) -> dict[str, torch.Tensor]:
    """Train with so many processes and return the weights."""
    for process in launched(lambda: train(path), count):
        assert process.code == 0, process.stderr
    return torch.load(path, weights_only=True)


def test_two_processes_end_where_one_does(tmp_path: Path) -> None:
    """Rows have different numbers of targets, so that a mean of means would be off."""
    one, two = (trained(tmp_path / f"{count}.pt", count) for count in (1, 2))
    for name, weight in one.items():
        assert torch.allclose(weight, two[name], atol=5e-5), name  # a step is up to 3e-3
    assert any(not torch.equal(weight, two[name]) for name, weight in one.items())


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("num_items", [0, 1, 7, 8])
def test_shares_lose_and_double_nothing(count: int, num_items: int) -> None:
    shares = [Processes(rank, count).share(num_items) for rank in range(count)]
    assert sorted(item for share in shares for item in share) == list(range(num_items))


def test_one_process_alone_exchanges_nothing() -> None:
    values = torch.ones(3)
    assert ALONE.writes
    assert torch.equal(ALONE.add(values), values)
    assert ALONE.merge(["a", "b"], 2) == ["a", "b"]
    assert ALONE.gather("x") == ["x"]
