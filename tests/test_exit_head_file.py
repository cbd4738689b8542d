"""Readouts and their files: what is written is read back; what is damaged or made for another model
is refused in a line.
"""

from pathlib import Path

import pytest
import torch

from mue_cli.errors import CheckpointError
from mue_cli.experiment import exit_heads as readout_file
from mue_cli.experiment.exit_heads import HeadSizes
from mue_cli.model.tensor_file import open_tensors, write_tensors

HEADS = HeadSizes("layers", 3, 8, 20)
IMITATION = HeadSizes("imitation", 3, 8)
GATES = HeadSizes("gates", 3, 8, encoder_layers={"image": 4})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of heads."""
    readout_file.save(readout_file.make(HEADS), HEADS, tmp_path / "heads.safetensors")
    return tmp_path / "heads.safetensors"


def refusal(path: Path, wanted: HeadSizes = HEADS) -> str:
    with pytest.raises(CheckpointError) as caught:
        readout_file.load(path, wanted)
    assert "\n" not in caught.value.message and caught.value.hint
    return caught.value.message


def rewrite(
    path: Path,
    sizes: str = '{"kind": "layers", "num_layers": 3, "embed_dim": 8, "num_classes": 20}',
    **changes: torch.Tensor,
) -> None:
    write_tensors(
        readout_file.make(HEADS).state_dict() | changes,
        path,
        {"format": readout_file.FORMAT, "sizes": sizes},
    )


@pytest.mark.parametrize("sizes", [HEADS, IMITATION, GATES], ids=lambda sizes: sizes.kind)
def test_a_readout_is_read_back_to_the_bit(sizes: HeadSizes, tmp_path: Path) -> None:
    written = readout_file.make(sizes)
    readout_file.save(written, sizes, tmp_path / "a.safetensors")
    read = readout_file.load(tmp_path / "a.safetensors", sizes)
    assert type(read) is type(written) and not read.training
    assert all(
        torch.equal(tensor, written.state_dict()[name])
        for name, tensor in read.state_dict().items()
    )


@pytest.mark.parametrize(
    "wanted", [HeadSizes("layers", 4, 8, 20), HeadSizes("layers", 3, 8, 3), IMITATION], ids=str
)
def test_a_readout_of_another_model_is_refused(path: Path, wanted: HeadSizes) -> None:
    message = f"{path} holds internal classifiers for 3 layers, 8 dimensions and 20 classes, the model needs {wanted}"
    assert refusal(path, wanted) == message


def test_a_file_cut_short_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])
    assert "is cut short" in refusal(path)


def test_weights_of_a_model_are_no_readout(path: Path) -> None:
    write_tensors({"a": torch.zeros(1)}, path, {"format": "mue-1"})
    assert refusal(path) == f"{path} holds no exit head"


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ("{", "Expecting property name"),
        (
            '{"kind": "layers", "num_layers": 0, "embed_dim": 8}',
            "expected a whole number, at least 1",
        ),
        ('{"kind": "head", "num_layers": 3, "embed_dim": 8}', "expected one of layers, imitation"),
        ('{"kind": "layers"}', "num_layers"),
        ("[" * 100_000, "recursion"),
    ],
    ids=["no JSON", "no layers", "unknown kind", "missing size", "endless"],
)
def test_sizes_that_make_no_sense_are_refused(path: Path, sizes: str, said: str) -> None:
    rewrite(path, sizes)
    message = refusal(path)
    assert message.startswith(f"{path} does not say its sizes: ") and said in message


def test_values_that_are_not_finite_are_refused(path: Path) -> None:
    rewrite(path, **{"norms.1.bias": torch.full((8,), torch.nan)})
    assert refusal(path) == f"{path}: norms.1.bias has values that are not finite"


def test_tensors_that_do_not_fit_are_named(path: Path) -> None:
    rewrite(path, **{"norms.1.bias": torch.zeros(9), "more": torch.zeros(1)})
    assert (
        refusal(path)
        == f"{path} does not fit its own sizes: unknown more; norms.1.bias is (9,), expected (8,)"
    )


def test_a_missing_tensor_is_named(path: Path) -> None:
    weights = readout_file.make(HEADS).state_dict()
    del weights["heads.0.weight"]
    sizes = '{"kind": "layers", "num_layers": 3, "embed_dim": 8, "num_classes": 20}'
    write_tensors(weights, path, {"format": readout_file.FORMAT, "sizes": sizes})
    assert refusal(path) == f"{path} does not fit its own sizes: missing heads.0.weight"


def test_a_pickle_that_would_run_code_is_refused(path: Path) -> None:
    made = path.with_name("made")

    class Harmful:
        def __reduce__(self) -> tuple:
            return (Path.mkdir, (made,))

    torch.save({"a": Harmful()}, path)
    refusal(path)
    assert not made.exists()


def test_sizes_without_classes_for_heads_are_refused(path: Path) -> None:
    rewrite(path, '{"kind": "layers", "num_layers": 3, "embed_dim": 8}')
    assert (
        "the model needs internal classifiers for 3 layers, 8 dimensions and 20 classes"
        in refusal(path)
    )


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    """Eight names: safetensors' own order would agree by chance once in 40,320."""
    said = {name: f'{name}: \u00e9 \u4f60 " \\ \n\t' for name in "hgfedcba"}
    weights = {"b": torch.arange(3.0), "a": torch.ones(2, dtype=torch.int64)}
    files = [tmp_path / f"{number}.safetensors" for number in range(3)]
    for file in files:
        write_tensors(weights, file, said)
    assert len({file.read_bytes() for file in files}) == 1
    found = open_tensors(files[0])
    assert dict(found.metadata) == said
    for name, tensor in found.read(["a", "b"]):
        assert torch.equal(tensor, weights[name])
