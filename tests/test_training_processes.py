"""Two processes that train together: equal weights everywhere after every step, and those of one
process with the same global batch, within rounding.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mue_cli.training.processes import ALONE, Processes

TESTS = Path(__file__).parent

SCRIPT = """
import sys
from dataclasses import replace
from itertools import count
import torch
from small_ofa import small_config
from test_training import captions
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import TrainingSection
from mue_cli.training.loop import Hooks, finetune
from mue_cli.training.processes import join
from mue_cli.training.stages import shared_head

settings = TrainingSection(
    steps=3, validate_every=3, learning_rate=3e-3, freeze_resnet=True, accumulation=2
)

def rows(batch, kept):
    parts = {name: getattr(batch, name)[kept] for name in
             ("images", "source_tokens", "decoder_tokens", "target_tokens")}
    names = batch.sample_ids[kept]
    return replace(batch, sample_ids=names, image_ids=names, references=batch.references[kept], **parts)

processes = join(torch.device("cpu"))
torch.manual_seed(0)
model = OFA(small_config()).train()
fingerprints = []
def share(first):
    return (rows(b, slice(processes.rank, None, processes.count)) for b in captions(first))
def report(step):
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    fingerprints.append(processes.gather(weights.tolist()))
    assert all(each == fingerprints[-1][0] for each in fingerprints[-1]), "weights differ"
hooks = Hooks(lambda: 0.0, report, lambda *best: None, lambda state: None)
finetune(shared_head(model, settings, True), share, settings, hooks, processes=processes)
shared = processes.merge([f"{i}" for i in processes.share(5)], 5)
assert shared == ["0", "1", "2", "3", "4"], shared
assert processes.first(lambda: processes.rank) == 0
if processes.writes:
    torch.save(model.state_dict(), sys.argv[1])
"""


def launched(path: Path, count: int) -> dict[str, torch.Tensor]:
    """Train with so many processes and return the weights."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TESTS.parent}:{TESTS}",
        "OMP_NUM_THREADS": "1",
    }
    words = [sys.executable, "-c", SCRIPT, str(path)]
    port = str(29500 + os.getpid() % 500)
    started = [
        subprocess.Popen(
            words,
            env={
                **environment,
                "WORLD_SIZE": str(count),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    return torch.load(path, weights_only=True)


def test_two_processes_end_where_one_does(tmp_path: Path) -> None:
    """Rows have different numbers of targets, so that a mean of means would be off."""
    one, two = (launched(tmp_path / f"{count}.pt", count) for count in (1, 2))
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
