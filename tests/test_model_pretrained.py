"""What `--weights` may name: files, folders, and the hub through a server on this machine."""

import importlib
import sys
from pathlib import Path

import pytest
from forked import Forked
from hub_server import Hub, serve
from released_files import golden_config, golden_state, write_hf
from test_model_vocabulary import write_fairseq

from mue_cli.errors import CheckpointError, MueError
from mue_cli.model.pretrained import find_pretrained
from mue_cli.model.vocabulary import load_vocabulary

CASE = "g1_base_style"


def test_a_file_is_taken_as_it_is(tmp_path):
    (tmp_path / "best.pt").touch()
    assert find_pretrained(str(tmp_path / "best.pt")).weights == tmp_path / "best.pt"


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("checkpoint.safetensors", "last.pt", "recipe.yaml"), "checkpoint.safetensors"),
        (("model.safetensors", "pytorch_model.bin", "vocab.json"), "model.safetensors"),
        (("pytorch_model.bin", "config.json"), "pytorch_model.bin"),
        (("caption_base_best.pt", "dict.txt"), "caption_base_best.pt"),
    ],
)
def test_the_weights_of_a_folder_are_found(tmp_path, names, taken):
    for name in names:
        (tmp_path / name).touch()
    assert find_pretrained(str(tmp_path)).weights == tmp_path / taken


def test_a_folder_with_several_files_or_none_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no weights in"):
        find_pretrained(str(tmp_path))
    (tmp_path / "a.pt").touch()
    (tmp_path / "b.pt").touch()
    with pytest.raises(CheckpointError, match=r"holds several files of weights: a\.pt, b\.pt"):
        find_pretrained(str(tmp_path))


@pytest.mark.parametrize(
    "name", ["nowhere.pt", "./nowhere/at/all", "../x/y", "", "~nobody-of-this-name/x"]
)
def test_what_is_neither_a_path_nor_a_hub_id_is_an_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.safetensors").touch()  # of the folder that "" would mean
    with pytest.raises(CheckpointError, match="no weights at"):
        find_pretrained(name)


def test_a_path_that_cannot_be_looked_at_is_an_error():
    with pytest.raises(CheckpointError, match=r"cannot read aaa.*: File name too long"):
        find_pretrained("a" * 5000)


def on_the_hub(hub, folder, name, **variables):
    """Find weights in a process of its own: the hub library reads its address when it is imported."""

    def find():
        for module in [*sys.modules]:
            if module.startswith("huggingface_hub") or module == "mue_cli.model.pretrained":
                del sys.modules[module]
        anew = importlib.import_module("mue_cli.model.pretrained")
        try:
            print(anew.find_pretrained(name).weights)
        except MueError as error:
            print("error", error.message)

    home = {"HF_HOME": str(folder), "HF_HUB_DISABLE_XET": "1"}
    answer = Forked(find, HF_ENDPOINT=hub.url, **home, **variables).ended()
    assert answer.code == 0, answer.stderr
    return answer.stdout.strip()


@pytest.fixture
def hub(tmp_path):
    folder = write_hf(tmp_path / "served", golden_state(CASE), golden_config(CASE))
    load_vocabulary(write_fairseq(tmp_path / "bpe")).save_bpe(folder)
    (folder / "README.md").write_text("not wanted")
    with serve(Hub(folder, "OFA-Sys/ofa-small")) as running:
        yield running


def test_a_hub_model_is_fetched_once_and_goes_on_where_a_transfer_broke_off(hub, tmp_path):
    hub.cut_once = "pytorch_model.bin"
    weights = Path(on_the_hub(hub, tmp_path / "cache", hub.repository))
    assert weights.read_bytes() == (hub.folder / "pytorch_model.bin").read_bytes()
    first, second = (wanted for name, wanted in hub.ranges if name == "pytorch_model.bin")
    assert (
        first == ""
        and int(second.removeprefix("bytes=").rstrip("-")) >= weights.stat().st_size // 2
    )
    assert {path.name for path in weights.parent.iterdir()} == {
        "config.json",
        "merges.txt",
        "pytorch_model.bin",
        "vocab.json",
    }
    fetched = len(hub.ranges)
    assert on_the_hub(hub, tmp_path / "cache", f"{hub.repository}@main") == str(weights)
    assert len(hub.ranges) == fetched


def test_a_hub_model_that_was_fetched_needs_no_network(hub, tmp_path):
    weights = on_the_hub(hub, tmp_path / "cache", hub.repository)
    assert on_the_hub(hub, tmp_path / "cache", hub.repository, HF_HUB_OFFLINE="1") == weights


def test_an_unknown_hub_model_and_a_hub_out_of_reach_are_errors(hub, tmp_path):
    assert "OFA-Sys/other is neither a path nor a model" in on_the_hub(
        hub, tmp_path / "cache", "OFA-Sys/other"
    )
    answer = on_the_hub(hub, tmp_path / "cache", hub.repository, HF_HUB_OFFLINE="1")
    assert answer.startswith("error cannot reach the Hugging Face hub for OFA-Sys/ofa-small")
