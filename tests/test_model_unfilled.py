"""Modules without values: what a file fills is not drawn first."""

import pytest
import torch
from torch import nn

from mue_cli.model.config import preset
from mue_cli.model.ofa import OFA
from mue_cli.model.unfilled import allocate, unfilled


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
    "make", [lambda: nn.Linear(3, 2), lambda: nn.Embedding(5, 4), lambda: nn.Conv2d(3, 4, 3)]
)
def test_nothing_is_drawn(make, monkeypatch) -> None:
    def draw(*_: object, **__: object) -> None:
        raise AssertionError("drawn")

    for name in ("normal_", "uniform_"):
        monkeypatch.setattr(torch.Tensor, name, draw)
    with pytest.raises(AssertionError, match="drawn"):
        make()
    with unfilled():
        module = make()
    assert all(each.is_meta for each in module.parameters())


class Parts(nn.Module):
    """One of each kind of tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = nn.Linear(3, 2)
        self.frozen = nn.Parameter(torch.empty(2), requires_grad=False)
        self.register_buffer("count", torch.zeros(3, dtype=torch.int64))
        self.again = self.moved


def test_memory_is_given_to_each_tensor_as_what_it_is() -> None:
    with unfilled():
        module = Parts()
    allocate(module)
    assert not any(each.is_meta for each in (*module.parameters(), *module.buffers()))
    assert dict(module.named_parameters()).keys() == {"moved.weight", "moved.bias", "frozen"}
    assert module.moved.weight.requires_grad and not module.frozen.requires_grad
    assert module.count.dtype == torch.int64
    assert module.again.weight is module.moved.weight
    assert module.moved.weight.shape == (2, 3)


def test_tensor_of_no_state_dict_is_refused() -> None:
    with unfilled():
        module = nn.Linear(3, 2)
        module.register_buffer("table", torch.zeros(3), persistent=False)
    with pytest.raises(ValueError, match=r"no memory for \['table'\]"):
        allocate(module)


def test_values_are_drawn_again_outside() -> None:
    with unfilled():
        pass
    assert nn.Linear(30, 20).weight.std() > 0
    assert not nn.Linear(3, 2).weight.is_meta
