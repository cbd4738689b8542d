"""`mue prepare --download`: from a server on this machine to prepared data."""

import os
import shutil
import signal
from types import SimpleNamespace

import pytest
from prepared_data import fill_folder, picture, write_karpathy, write_zip
from small_snli import pair, write_lists, write_snli
from web_site import Fault, Site, serving

from mue_cli.data.fetch import download as engine
from mue_cli.data.fetch import fetch
from mue_cli.data.fetch.addresses import DATASETS, RemoteFile
from mue_cli.data.sources import coco
from mue_cli.data.store import image_shards, partial, storage
from mue_cli.experiment import prepare as procedure


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(engine, "pause", lambda stop, wait: None)
    with serving(Site()) as site:
        yield site


@pytest.fixture
def coco_site(site, tmp_path, monkeypatch):
    """A COCO of four pictures, in the archives that the official one comes in."""
    made = tmp_path / "made"
    made.mkdir()
    entries = [
        {
            "cocoid": number,
            "split": split,
            "filepath": f"{part}2014",
            "filename": f"COCO_{part}2014_{number:012d}.jpg",
            "sentences": [{"raw": f"A picture, number {number}."}],
        }
        for number, split, part in (
            (1, "train", "train"),
            (2, "restval", "train"),
            (3, "val", "val"),
            (4, "test", "val"),
        )
    ]
    karpathy = write_karpathy(made / "dataset_coco.json", entries).read_bytes()
    images = [f"train2014/COCO_train2014_{number:012d}.jpg" for number in (1, 2)]
    images += [f"val2014/COCO_val2014_{number:012d}.jpg" for number in (3, 4)]
    captions = {
        f"annotations/captions_{part}2014.json": b'{"annotations": []}' for part in ("train", "val")
    }
    for name, files in {
        "annotations_trainval2014.zip": captions,
        "caption_datasets.zip": {"dataset_coco.json": karpathy},
        "train2014.zip": {name: picture(form="JPEG") for name in images[:2]},
        "val2014.zip": {name: picture(form="JPEG") for name in images[2:]},
    }.items():
        site.files[f"/{name}"] = write_zip(made / name, files).read_bytes()
    files = tuple(
        RemoteFile(file.url, len(site.files[f"/{file.name}"]), None, file.members, file.images)
        for file in DATASETS["coco"]
    )
    monkeypatch.setattr(fetch, "DATASETS", {"coco": files})
    return site


def prepare(mue, dataset, folder, site, *more):
    return mue(
        "prepare",
        dataset,
        "--download",
        "--source",
        folder / "down",
        "--out",
        folder / "data",
        "--mirror",
        site.url,
        *more,
    )


def test_coco_is_downloaded_and_prepared(mue, coco_site, tmp_path):
    coco_site.faults = [Fault(status=503), Fault(cut=100)]
    answer = prepare(mue, "coco", tmp_path, coco_site, "--vocab-size", 300)
    assert answer.code == 0, answer.stderr
    assert "caption  train       2" in answer.stdout
    assert "download coco  1/1  MB" in answer.stderr
    assert not list((tmp_path / "down").glob("*.part*"))
    asked = len(coco_site.requests)
    again = prepare(mue, "coco", tmp_path, coco_site, "--vocab-size", 300)
    assert (again.code, len(coco_site.requests)) == (0, asked)


def test_download_that_fails_says_so_and_prepares_nothing(mue, coco_site, tmp_path):
    del coco_site.files["/val2014.zip"]
    answer = prepare(mue, "coco", tmp_path, coco_site)
    assert answer.code == 2
    assert f"error: {coco_site.url}/val2014.zip answers 404 Not Found" in answer.stderr
    assert "hint: name a place that has the file with --mirror, or put it at" in answer.stderr
    assert not (tmp_path / "data").exists()


def test_mirror_comes_from_the_environment_too(mue, coco_site, tmp_path, monkeypatch):
    monkeypatch.setenv("MUE_MIRROR", coco_site.url)
    answer = mue(
        "prepare",
        "coco",
        "--download",
        "--source",
        tmp_path / "down",
        "--out",
        tmp_path / "data",
        "--vocab-size",
        300,
    )
    assert answer.code == 0, answer.stderr


def test_ctrl_c_says_that_what_came_is_kept(mue, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(procedure, "fetch", interrupted)
    answer = mue(
        "prepare", "coco", "--download", "--source", tmp_path / "down", "--out", tmp_path / "data"
    )
    assert answer.code == 130
    assert (
        f"stopped: `{tmp_path / 'down'}` keeps what has come; the same command goes on from there"
        in answer.stderr
    )


def test_ctrl_c_while_preparing_says_how_many_images_are_kept(
    mue, coco_site, tmp_path, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_shards, "SHARD_ROWS", 3)
    words = (
        "prepare",
        "coco",
        "--source",
        tmp_path / "down",
        "--out",
        tmp_path / "data",
        "--vocab-size",
        300,
    )
    with monkeypatch.context() as patch:
        patch.setattr(coco, "Pictures", interrupted)
        answer = mue(*words, "--download", "--mirror", coco_site.url)
        assert answer.code == 130
        assert f"stopped: `{tmp_path / 'data'}` is as it was before\n" in answer.stderr
    with monkeypatch.context() as patch:
        patch.setattr(storage, "file_sha256", interrupted)
        answer = mue(*words, "--num-workers", 0)
        assert answer.code == 130
        assert (
            "is as it was before; 4 images are kept, and the same command goes on from there"
            in answer.stderr
        )
    answer = mue(*words)
    assert answer.code == 0, answer.stderr
    assert "prepare coco  4/4  going on after 4" in answer.stderr


def test_the_real_coco_is_weighed_before_anything_is_fetched(mue, site, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=30 * 10**9))
    answer = prepare(mue, "coco", tmp_path, site)
    assert answer.code == 2
    assert "will need 40.9 GB, and 30.0 GB are free on that disk" in answer.stderr
    assert site.requests == []


@pytest.fixture
def snli_site(site, tmp_path, monkeypatch):
    train_val, test = write_lists(tmp_path)
    snli = write_snli(
        tmp_path / "snli.zip",
        train=[pair("11.jpg#0r1e")],
        dev=[pair("21.jpg#0r1e")],
        test=[pair("31.jpg#0r1e")],
    )
    for file, path in zip(DATASETS["snli-ve"], (snli, train_val, test), strict=True):
        site.files[f"/{file.name}"] = path.read_bytes()
    monkeypatch.setattr(
        fetch, "DATASETS", {"snli-ve": tuple(RemoteFile(file.url) for file in DATASETS["snli-ve"])}
    )
    return site


def test_snli_ve_is_downloaded_and_the_photographs_are_asked_for(mue, snli_site, tmp_path):
    answer = prepare(mue, "snli-ve", tmp_path, snli_site)
    assert answer.code == 2
    assert "the Flickr30k photographs cannot be downloaded without you" in answer.stderr
    assert "https://shannon.cs.illinois.edu/DenotationGraph/" in answer.stderr
    assert (tmp_path / "down" / "snli_ve_train.jsonl").is_file()


def test_snli_ve_with_photographs_is_prepared(mue, snli_site, tmp_path):
    images = fill_folder(
        tmp_path / "photographs",
        {f"{name}.jpg": picture(form="JPEG") for name in ("11", "21", "31")},
    )
    answer = prepare(mue, "snli-ve", tmp_path, snli_site, "--images", images, "--vocab-size", 300)
    assert answer.code == 0, answer.stderr
    assert "entailment  train       1" in answer.stdout


def test_flickr8k_is_downloaded_and_prepared(mue, site, tmp_path):
    entries = [
        {"filename": f"{number}_a.jpg", "split": split, "sentences": [{"raw": "A picture."}]}
        for number, split in enumerate(("train", "val", "test"))
    ]
    karpathy = write_karpathy(tmp_path / "dataset_flickr8k.json", entries).read_bytes()
    images = {f"Flicker8k_Dataset/{number}_a.jpg": picture(form="JPEG") for number in range(3)}
    site.files["/caption_datasets.zip"] = write_zip(
        tmp_path / "k.zip", {"dataset_flickr8k.json": karpathy}
    ).read_bytes()
    site.files["/Flickr8k_Dataset.zip"] = write_zip(tmp_path / "i.zip", images).read_bytes()
    answer = prepare(mue, "flickr8k", tmp_path, site, "--vocab-size", 300)
    assert answer.code == 0, answer.stderr
    assert "caption  train       1" in answer.stdout


@pytest.fixture
def flickr(tmp_path):
    """A Flickr8k of twelve pictures, ten of them for training."""
    folder = tmp_path / "flickr"
    colours = ("red", "lime", "blue", "white", "black", "navy", "teal", "pink", "gold", "grey")
    files = {f"images/{name}.png": picture(name) for name in (*colours, "tan", "plum")}
    fill_folder(folder, files)
    entries = [
        {"filename": f"{name}.png", "split": split, "sentences": [{"raw": f"A {name} wall."}]}
        for split, names in (("train", colours), ("val", ["tan"]), ("test", ["plum"]))
        for name in names
    ]
    write_karpathy(folder / "dataset_flickr8k.json", entries)
    return folder


def prepare_flickr(mue, folder, *more):
    words = ("--source", folder, "--out", folder.parent / "out", "--vocab-size", 300)
    return mue("prepare", "flickr8k", *words, *more)


def test_a_split_that_is_gone_is_the_last_word_and_an_error_with_strict(mue, flickr):
    (flickr / "images" / "plum.png").unlink()
    answer = prepare_flickr(mue, flickr)
    assert answer.code == 0
    assert answer.stderr.splitlines()[-1] == (
        "WARNING: all 1 texts of test are lost (no such file: 1)"
    )
    assert "left out: 1 x no such file" in answer.stdout
    strict = prepare_flickr(mue, flickr, "--strict")
    assert strict.code == 2
    kept = flickr.parent / "out.problems.jsonl"
    assert (
        f"error: all 1 texts of test are lost (no such file: 1); `{kept}` lists each"
        in strict.stderr
    )
    assert "hint: mend the sources, or run it without --strict" in strict.stderr
    assert '"item": "plum", "reason": "no such file"' in kept.read_text()


def test_a_tenth_is_not_spoken_of_loudly_and_more_is(mue, flickr):
    for number, name in enumerate(("red", "lime")):
        (flickr / "images" / f"{name}.png").write_bytes(b"junk")
        answer = prepare_flickr(mue, flickr)
        assert answer.code == 0
        assert ("WARNING: 2 of 10 texts of train are lost" in answer.stderr) == (number == 1)
    assert prepare_flickr(mue, flickr, "--strict").code == 2
    assert mue("predict", "--help").code == 0


def test_what_is_kept_with_a_remark_is_counted(mue, flickr):
    answer = prepare_flickr(mue, flickr)
    assert "kept with a remark: 12 x picture of one colour" in answer.stdout
    assert "WARNING" not in answer.stderr


@pytest.mark.parametrize("out", [".", "", "..", "flickr/.."])
def test_the_folder_one_is_in_is_refused_before_anything_is_read(mue, flickr, out, monkeypatch):
    monkeypatch.chdir(flickr.parent)
    before = sorted(flickr.parent.rglob("*"))
    answer = mue("prepare", "flickr8k", "--source", flickr, "--out", out)
    assert answer.code == 2
    assert "is the folder you are in, or above it: it would be replaced as a whole" in answer.stderr
    assert "hint: name a folder in it, such as --out data/mine" in answer.stderr
    assert sorted(flickr.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        ("shapes", "--image-size", "30000"),
        ("shapes", "--image-size", "1000000"),
        ("shapes", "--train", "100000000000000000000"),
        ("shapes", "--vocab-size", "100000000000000000000"),
        ("shapes", "--out", "x" * 300),
        ("shapes", "--train", "4", "--val", "2", "--test", "2", "--out", "/proc/nothing/data"),
        ("flickr8k", "--source", "x" * 300),
        ("flickr8k", "--source", "/dev/null"),
        ("coco", "--source", "nowhere"),
        ("snli-ve", "--source", "nowhere"),
    ],
)
def test_numbers_and_places_that_cannot_be_are_one_line(mue, tmp_path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = mue("prepare", *words)
    assert answer.code == 2
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "mirror",
    [
        "http://[::1",
        "http://example.org:999999",
        "http://exämple.org/ü",
        "http://example.org/a\tb",
        "ftp://example.org",
        "example.org",
        "http://",
        "http://example.org:x",
    ],
)
def test_mirror_that_is_no_address_is_refused_at_once(mue, tmp_path, mirror):
    answer = mue("prepare", "coco", "--download", "--source", tmp_path / "x", "--mirror", mirror)
    assert answer.code == 2
    assert "is no http or https address" in answer.stderr
    assert "hint: give a mirror as https://" in answer.stderr
    assert not (tmp_path / "x").exists()


def test_ctrl_c_in_the_last_moves_waits_for_them_and_says_that_all_is_done(
    mue, flickr, monkeypatch
):
    assert prepare_flickr(mue, flickr).code == 0
    out = flickr.parent / "out"
    before = (out / "manifest.json").read_bytes()
    tidy = partial._tidy
    interrupts = iter([None, signal.SIGINT])  # the first call is at the start

    def interrupted(root, old):
        if number := next(interrupts):
            os.kill(os.getpid(), number)
        tidy(root, old)

    monkeypatch.setattr(partial, "_tidy", interrupted)
    (flickr / "images" / "red.png").write_bytes(picture("maroon"))
    answer = prepare_flickr(mue, flickr)
    assert answer.code == 130
    assert f"stopped: `{out}` is done: the new data is in its place" in answer.stderr
    assert (out / "manifest.json").read_bytes() != before
    assert sorted(path.name for path in out.iterdir()) == [
        "caption",
        "images",
        "manifest.json",
        "problems.jsonl",
        "tokenizer.json",
    ]
    assert sorted(path.name for path in flickr.parent.iterdir()) == ["flickr", "out"]


@pytest.mark.parametrize("name", ["dataset_flickr8k.json", "images/red.png"])
def test_a_named_pipe_is_never_waited_for(mue, flickr, name):
    (flickr / name).unlink()
    os.mkfifo(flickr / name)
    answer = prepare_flickr(mue, flickr)
    if name.endswith(".json"):
        assert answer.code == 2
        assert f"cannot read `{flickr / name}`: it is a named pipe" in answer.stderr
    else:
        assert answer.code == 0
        assert "left out: 1 x not a picture" in answer.stdout
