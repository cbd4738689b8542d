"""`mue prepare --download`: from a server on this machine to prepared data."""

import shutil
from types import SimpleNamespace

import pytest
from prepared_data import fill_folder, picture, write_karpathy, write_zip
from small_snli import pair, write_lists, write_snli
from web_site import Fault, Site, serving

from mue_cli.data.fetch import download as engine
from mue_cli.data.fetch import fetch
from mue_cli.data.fetch.addresses import DATASETS, RemoteFile
from mue_cli.data.sources import coco
from mue_cli.data.store import image_shards, storage


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
            "filename": "x",
            "sentences": [{"raw": f"A picture, number {number}."}],
        }
        for number, split in enumerate(("train", "restval", "val", "test"), start=1)
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

    monkeypatch.setattr(fetch, "fetch", interrupted)
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
        patch.setattr(coco, "read_images", interrupted)
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
