"""Modules without values: what a file fills is not drawn first."""

import pytest
import torch
from torch import nn

from mue_cli.model.config import preset
from mue_cli.model.ofa import OFA
from mue_cli.model.unfilled import unfilled


def test_model_has_all_its_tensors_and_none_of_their_values() -> None:
    sizes = preset("tiny", 50)
    with unfilled():
        model = OFA(sizes)
    filled = OFA(sizes).state_dict()
    assert {name: each.shape for name, each in model.state_dict().items()} == {
        name: each.shape for name, each in filled.items()
    }
    assert all(each.is_meta for each in model.state_dict().values())


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(3, 2),
        lambda: nn.Embedding(5, 4, padding_idx=1),
        lambda: nn.Conv2d(3, 4, 3),
        lambda: nn.LayerNorm(4),
        lambda: nn.BatchNorm2d(4),
    ],
)
def test_nothing_is_drawn(make) -> None:
    """Neither on the device "meta" nor, unseen, from the generator that others use."""
    state = torch.get_rng_state()
    with unfilled():
        module = make()
    assert all(each.is_meta for each in module.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_values_are_drawn_again_outside() -> None:
    with unfilled():
        pass
    assert nn.Linear(30, 20).weight.std() > 0
    assert not nn.Linear(3, 2).weight.is_meta
