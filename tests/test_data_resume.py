"""A run that was killed, wherever it was, goes on; what comes out is what one run would have made."""

import errno
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
from prepared_data import Given, contents, picture, problems_in, write_texts, write_zip

from mue_cli.data.rows import CaptionRow
from mue_cli.data.sources.coco import prepare_coco
from mue_cli.data.store import image_shards, partial
from mue_cli.data.store.partial import count_kept
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.store.storage import write_prepared
from mue_cli.data.tasks import CAPTION
from mue_cli.errors import DataError, MissingStepError

NUM_IMAGES = 23
BROKEN = (4, 5, 11, 22)  # inside a shard, at its end, between two, at the end of all
UNREADABLE = (7, 19)  # damaged in the archive


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(image_shards, "SHARD_ROWS", 5)
    monkeypatch.setattr(image_shards, "BATCH_ROWS", 2)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A COCO of 23 pictures: some broken, some damaged in the archive, one missing."""
    folder = tmp_path_factory.mktemp("coco")
    annotations = [
        {"image_id": i, "caption": f"Number {i}, {word}."}
        for word in ("once", "twice")
        for i in range(NUM_IMAGES + 1)
    ]
    (folder / "captions_val2017.json").write_text(json.dumps({"annotations": annotations}))
    images = {f"{i:012d}.jpg": picture((i, 0, 0), form="JPEG") for i in range(NUM_IMAGES)}
    images |= {f"{i:012d}.jpg": b"junk" for i in BROKEN} | {
        f"{i:012d}.jpg": f"damage {i:02d}".encode() for i in UNREADABLE
    }
    archive = write_zip(folder / "val2017.zip", images)
    archive.write_bytes(archive.read_bytes().replace(b"damage ", b"DAMAGE "))
    return folder


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    """What a run that nobody stops makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_shards, "SHARD_ROWS", 5)
        patch.setattr(image_shards, "BATCH_ROWS", 2)
        root = tmp_path_factory.mktemp("whole") / "data"
        prepare_coco(source, root, write_texts)
    assert [path.name for path in sorted((root / "images").iterdir())] == [
        f"data-0000{i}.arrow" for i in range(4)
    ]
    assert len(problems_in(root)) == len(UNREADABLE) + len(BROKEN) + 1
    return contents(root)


CHANGES = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")


def prepare_until(source: Path, root: Path, moment: int, num_workers: int) -> None:
    """Prepare in this process, which is killed before the moment-th time that it reaches for a file
    beside or in `root`.
    """
    image_shards.SHARD_ROWS, image_shards.BATCH_ROWS = 5, 2
    reached = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal reached
        if event in CHANGES and str(arguments[0]).startswith(str(root.parent)):
            reached += 1
            if reached == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    prepare_coco(source, root, write_texts, num_workers=num_workers)


def prepare_in_child(source: Path, root: Path, moment: int, num_workers: int = 0) -> bool:
    """Return whether the child came to the end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mue_cli.data.sources.coco"])
    child = context.Process(target=prepare_until, args=(source, root, moment, num_workers))
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_killed_at_any_moment_goes_on_to_the_same_data(
    source, expected, tmp_path, num_workers
):
    moment, kept = 0, set()
    while True:
        moment += 1 if num_workers == 0 else 5
        root = tmp_path / str(moment) / "data"
        root.parent.mkdir()
        if prepare_in_child(source, root, moment, num_workers):
            break
        assert (
            not root.exists() or expected.items() <= contents(root).items()
        )  # whole or absent; its plan may not be tidied up yet
        kept.add(count_kept(root))
        prepare_coco(source, root, write_texts, num_workers=num_workers)
        assert contents(root) == expected, f"killed at moment {moment}"
        assert [path.name for path in root.parent.iterdir()] == ["data"]
    assert moment > 30
    assert kept == {0, 5, 10, 15, 17}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_run_killed_again_and_again_comes_to_the_same_data(source, expected, tmp_path):
    root = tmp_path / "deep" / "data"
    root.parent.mkdir()
    prepare_coco(source, root, write_texts)
    for moment in range(12, 60, 4):
        if prepare_in_child(source, root, moment):
            break
        assert expected.items() <= contents(root).items()
    assert 30 < moment < 56
    assert contents(root) == expected


@pytest.mark.parametrize("num_workers", [1, 3])
def test_threads_change_nothing(source, expected, tmp_path, num_workers):
    prepare_coco(source, tmp_path / "data", write_texts, num_workers=num_workers)
    assert contents(tmp_path / "data") == expected


def stop_after(count: int):
    """Progress that is interrupted when so many images are done."""

    def progress(done: int, total: int, note: str = "") -> None:
        if done == count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("num_workers", [0, 2])
def test_ctrl_c_keeps_whole_shards_and_the_next_run_says_so(
    source, expected, tmp_path, num_workers
):
    root = tmp_path / "data"
    with pytest.raises(KeyboardInterrupt):
        prepare_coco(source, root, write_texts, stop_after(16), num_workers)
    assert not root.exists()
    assert count_kept(root) == 10
    said = []
    prepare_coco(
        source,
        root,
        write_texts,
        lambda done, total, note: said.append((done, total, note)),
        num_workers,
    )
    assert said[0] == (13, NUM_IMAGES, "going on after 13")  # three of which are broken
    assert said[-1] == (21, NUM_IMAGES, "going on after 13")
    assert contents(root) == expected


def test_ctrl_c_before_the_first_shard_leaves_nothing(source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        prepare_coco(source, tmp_path / "data", write_texts, stop_after(3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", [1, 3, 4])  # a shard, the next one's, and a line of the journal
def test_a_full_disk_is_said_and_the_next_run_goes_on(
    source, expected, tmp_path, monkeypatch, call
):
    calls = 0

    def fsync(handle):
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(image_shards.os, "fsync", fsync)
    with pytest.raises(DataError, match="the disk is full") as caught:
        prepare_coco(source, tmp_path / "data", write_texts)
    assert (
        caught.value.hint
        == "free some space; then run the same command again: it goes on where it stopped"
    )
    prepare_coco(source, tmp_path / "data", write_texts)
    assert contents(tmp_path / "data") == expected


def test_a_disk_that_is_full_from_the_start_leaves_nothing(source, tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(partial, "write_text", full)
    with pytest.raises(DataError, match="the disk is full"):
        prepare_coco(source, tmp_path / "data", write_texts)
    assert list(tmp_path.iterdir()) == []


def interrupted(source: Path, root: Path) -> Path:
    """Stop a run when two shards are whole; return its folder."""
    with pytest.raises(KeyboardInterrupt):
        prepare_coco(source, root, write_texts, stop_after(16))
    return root.with_name(".data.partial")


def test_other_sources_start_anew_and_say_so(source, tmp_path):
    root = tmp_path / "data"
    partial = interrupted(source, root)
    plan = json.loads((partial / "plan.json").read_text())
    plan["sources"]["images"][0]["modified"] = "long ago"
    (partial / "plan.json").write_text(json.dumps(plan, indent=2))
    said = []
    prepare_coco(source, root, write_texts, lambda done, total, note: said.append((done, note)))
    assert said[0] == (1, "started anew, 10 images were of other sources or settings")


def test_pictures_that_changed_in_their_folder_are_other_sources(tmp_path):
    source, root = tmp_path / "coco", tmp_path / "data"
    (source / "val2017").mkdir(parents=True)
    (source / "captions_val2017.json").write_text(
        json.dumps({"annotations": [{"image_id": i, "caption": "One."} for i in range(20)]})
    )
    for i in range(20):
        (source / "val2017" / f"{i:012d}.jpg").write_bytes(picture("red", form="JPEG"))
    interrupted(source, root)
    (source / "val2017" / "000000000003.jpg").write_bytes(picture("blue", form="JPEG"))
    prepare_coco(source, root, write_texts)
    shown = {
        each.image_id: each.image.getpixel((0, 0))
        for each in PreparedData.open(root).examples(CAPTION, "train")
    }
    assert {image_id for image_id, pixel in shown.items() if pixel[2] > 200} <= {"3"}
    data = contents(root)
    prepare_coco(source, tmp_path / "fresh", write_texts)
    assert data == contents(tmp_path / "fresh")


@pytest.mark.parametrize(
    "damage",
    [
        "cut shard",
        "lost shard",
        "scrambled shard",
        "cut journal",
        "lost journal",
        "foreign journal",
    ],
)
def test_what_is_not_whole_is_made_again(source, expected, tmp_path, damage):
    root = tmp_path / "data"
    partial = interrupted(source, root)
    shard, journal = partial / "images" / "data-00001.arrow", partial / "journal.jsonl"
    if damage == "cut shard":
        shard.write_bytes(shard.read_bytes()[:-50])
    elif damage == "lost shard":
        shard.unlink()
    elif damage == "scrambled shard":
        shard.write_bytes(b"x" * shard.stat().st_size)
    elif damage == "cut journal":
        journal.write_text(journal.read_text()[:-20])
    elif damage == "lost journal":
        journal.unlink()
    else:
        journal.write_text('{"rows": 7}\n[]\n')
    prepare_coco(source, root, write_texts)
    assert contents(root) == expected


def test_two_runs_never_write_the_same_folder(source, tmp_path):
    root = tmp_path / "data"

    def begin_another(done: int, total: int, note: str) -> None:
        with pytest.raises(DataError, match=r"another `mue prepare` is writing .*data$") as caught:
            prepare_coco(source, root, write_texts)
        assert caught.value.hint == "wait for it, or choose another folder"

    pytest.importorskip("fcntl", reason="no locks there")
    prepare_coco(source, root, write_texts, begin_another)
    assert PreparedData.open(root).manifest.num_images == 17


def test_data_put_aside_comes_back_when_the_run_that_did_it_was_killed(source, expected, tmp_path):
    root = tmp_path / "data"
    prepare_coco(source, root, write_texts)
    root.rename(tmp_path / ".data.old")
    with pytest.raises(KeyboardInterrupt):
        prepare_coco(source, root, write_texts, stop_after(3))
    assert contents(root) == expected


def test_big_pictures_end_a_shard_early(tmp_path, monkeypatch):
    images = {str(i): picture("red", size=(50 + i, 50)) for i in range(6)}
    monkeypatch.setattr(image_shards, "SHARD_BYTES", 2 * len(images["0"]))
    write_prepared(
        tmp_path / "data",
        "test",
        Given(images),
        write_texts,
        {"train": [CaptionRow(i, ("One.",)) for i in images]},
    )
    assert len(list((tmp_path / "data" / "images").iterdir())) == 3
    examples = PreparedData.open(tmp_path / "data").examples(CAPTION, "train")
    assert [example.image.size[0] for example in examples] == [50, 51, 52, 53, 54, 55]


def test_lost_shard_of_finished_data_is_an_error_not_other_pictures(source, tmp_path):
    root = tmp_path / "data"
    prepare_coco(source, root, write_texts)
    (root / "images" / "data-00001.arrow").unlink()
    with pytest.raises(MissingStepError, match="images holds 12 images, expected 17"):
        PreparedData.open(root).examples(CAPTION, "train")
