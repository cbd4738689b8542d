"""`mue prepare` replaces what mue wrote, and nothing else; a link to a folder stays a link."""

import shutil
from pathlib import Path

import pytest
from test_data_prepared import write

from mue_cli import Experiment
from mue_cli.data.store import replaceable
from mue_cli.data.store.partial import count_kept, require_replaceable
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.store.replaceable import require_own
from mue_cli.errors import DataError
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.self_critical import _frequencies
from mue_cli.training.features import cached_features, features_key

OWN = (
    *("features/0123456789abcdef0123.bf16", "features/0123456789abcdef0123.lock"),
    *("features/0123456789abcdef0123.json", "features/0123456789abcdef0123.part"),
    *("examples/test-000001.png", "cider-0123456789abcdef.json.gz", ".mue-part-1-abc.gz"),
    *("plan.json", "journal.jsonl", ".DS_Store", "images/.DS_Store"),
)
FOREIGN = (
    *("notes.md", "raw/mine.txt", "features/mine.bf16", "images/mine.png", "caption/mine.csv"),
    *("caption/extra/data.arrow", "examples/mine.png", "cider-mine.json.gz", ".env"),
    *("run/checkpoint.safetensors", "caption/train/data.arrow.bak", "images/data-00000.arrow~"),
)


def put(root: Path, name: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("mine")
    return root / name


@pytest.mark.parametrize("name", FOREIGN)
def test_what_mue_did_not_write_is_never_replaced(tmp_path: Path, name: str) -> None:
    write(tmp_path / "data")
    mine = put(tmp_path / "data", name)
    for refused in (write, require_replaceable):
        with pytest.raises(DataError, match="mue did not write all that is in it") as caught:
            refused(tmp_path / "data")
        first = name.split("/")[0]
        assert name in caught.value.message or f" {first}/" in caught.value.message + " "
    assert mine.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_the_first_few_are_named_and_the_others_counted(tmp_path: Path) -> None:
    write(tmp_path / "data")
    for name in "abcde":
        put(tmp_path / "data", name)
    with pytest.raises(DataError, match=r": a, b, c and 2 more$"):
        write(tmp_path / "data")


def test_what_mue_writes_there_later_goes_with_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "data")
    for name in OWN:
        put(tmp_path / "data", name)
    write(tmp_path / "data")
    assert not (tmp_path / "data" / "features").exists()


def test_what_its_own_manifest_lists_is_mues_whatever_it_is_called(tmp_path: Path) -> None:
    write(tmp_path / "data")
    manifest = tmp_path / "data" / "manifest.json"
    put(tmp_path / "data", "old/shard.bin")
    manifest.write_text('{"format": 1, "checksums": {"old/shard.bin": "0"}}')
    write(tmp_path / "data")
    assert not (tmp_path / "data" / "old").exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", "[" * 100_000])
def test_a_damaged_manifest_is_no_reason_to_refuse(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "data")
    (tmp_path / "data" / "manifest.json").write_text(damage)
    assert write(tmp_path / "data").num_images == 3


def test_a_manifest_of_another_program_is_no_prepared_data(tmp_path: Path) -> None:
    put(tmp_path / "data", "manifest.json").write_text('{"name": "my extension"}')
    with pytest.raises(DataError, match="is no prepared data"):
        write(tmp_path / "data")
    assert (tmp_path / "data" / "manifest.json").exists()


def test_a_link_in_the_folder_is_not_mues(tmp_path: Path) -> None:
    write(tmp_path / "data")
    (tmp_path / "data" / "features").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r": features$"):
        write(tmp_path / "data")


@pytest.mark.parametrize("name", [".data.partial", ".data.old"])
def test_leftovers_with_files_of_others_are_not_cleared(tmp_path: Path, name: str) -> None:
    write(tmp_path / "data")
    mine = put(tmp_path / name, "mine.txt")
    with pytest.raises(DataError, match=r"mue did not write all .*: mine\.txt"):
        write(tmp_path / "data")
    assert mine.exists()


def test_what_comes_while_the_run_is_at_work_is_not_replaced_either(tmp_path: Path) -> None:
    def meanwhile(texts: object, path: Path) -> None:
        path.write_text("[]")
        put(tmp_path / "data", "mine.txt")

    write(tmp_path / "data")
    with pytest.raises(DataError, match=r"mine\.txt"):
        write(tmp_path / "data", train_tokenizer=meanwhile)
    assert (tmp_path / "data" / "mine.txt").exists() and count_kept(tmp_path / "data") == 3


def test_a_mount_point_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(replaceable.os.path, "ismount", lambda path: path == tmp_path / "data")
    with pytest.raises(DataError, match="a mount point"):
        require_replaceable(tmp_path / "data")


@pytest.mark.parametrize("before", ["empty", "prepared"])
def test_a_link_stays_and_where_it_leads_is_prepared(tmp_path: Path, before: str) -> None:
    big = tmp_path / "big" / "real"
    if before == "prepared":
        write(big, entailment={})
    big.mkdir(parents=True, exist_ok=True)
    link = tmp_path / "data"
    link.symlink_to("big/real")
    for _ in range(3):
        write(link)
        assert link.readlink() == Path("big/real")
        assert PreparedData.open(big).manifest.tasks == ("caption", "entailment")
        assert [path.name for path in big.parent.iterdir()] == ["real"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["big", "data"]


def test_a_stray_link_of_a_former_version_is_no_obstacle(tmp_path: Path) -> None:
    write(tmp_path / "real")
    write(tmp_path / "data")
    (tmp_path / ".data.old").symlink_to("real")
    write(tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "real"]
    assert PreparedData.open(tmp_path / "real").manifest.num_images == 3


def test_what_training_leaves_in_the_folder_is_mues(
    tiny_run: Run, tiny_data: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(tiny_data, tmp_path / "data")
    here = Experiment.open(run=tiny_run.folder, overrides=[f"data.root={data}"], device="cpu")
    trunk, pictures = here.model.encoder.embed_images, here.data.pictures(16)
    key = features_key(trunk, 16, here.data.fingerprint)
    cached_features(trunk, pictures, 16, data, key, here.device)
    _frequencies(here)
    assert list(data.glob("cider-*")) and list(data.glob("features/*.bf16"))
    require_own(data)


@pytest.mark.parametrize("words", [("--source", "{out}/raw"), ("--source", "{out}")])
@pytest.mark.parametrize("dataset", ["coco", "flickr8k", "snli-ve"])
@pytest.mark.parametrize("more", [(), ("--download",)])
def test_a_source_in_the_folder_to_replace_is_refused_at_once(
    mue, tmp_path: Path, dataset: str, words: tuple[str, ...], more: tuple[str, ...]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    given = [word.format(out=tmp_path / "out") for word in words]
    answer = mue("prepare", dataset, *given, "--out", tmp_path / "link", *more)
    assert answer.code == 2 and "which would be replaced as a whole" in answer.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "out"]


def test_photographs_in_the_folder_to_replace_are_refused_at_once(mue, tmp_path: Path) -> None:
    images = tmp_path / "out" / "photographs.tar"
    words = ("--source", tmp_path / "source", "--images", images, "--out", tmp_path / "out")
    answer = mue("prepare", "snli-ve", *words)
    assert answer.code == 2 and f"{images} lies in {tmp_path / 'out'}" in answer.stderr
