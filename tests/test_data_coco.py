"""COCO: official layouts of both years, and Karpathy's splits."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from prepared_data import (
    fill_folder,
    picture,
    problem_lines,
    problems_in,
    write_karpathy,
    write_tar,
    write_texts,
    write_zip,
)

from mue_cli.data.sources import coco
from mue_cli.data.sources.coco import hash_split, official_ids, prepare_coco
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import CAPTION
from mue_cli.errors import DataError


def write_captions(path, captions):
    """captions: (image id, caption) pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "images": [],
                "annotations": [{"image_id": i, "caption": text} for i, text in captions],
            }
        )
    )


def pictures(prefix, numbers):
    return {f"{prefix}{number:012d}.jpg": picture(form="JPEG") for number in numbers}


def image_ids(root):
    data = PreparedData.open(root)
    return {
        split: [example.image_id for example in data.examples(CAPTION, split)]
        for split in data.splits(CAPTION)
    }


@pytest.mark.parametrize("name", ["COCO_val2014_000000000042.jpg", "000000000042.jpg"])
def test_image_id_is_the_number_in_an_official_name(name):
    assert list(official_ids(name)) == ["42"]


@pytest.mark.parametrize("name", ["readme.jpg", "42.png", "shot_5.jpg", "000000000042.png"])
def test_other_names_have_no_image_id(name):
    assert list(official_ids(name)) == []


def test_karpathys_splits_are_used_where_they_are(tmp_path):
    source = fill_folder(
        tmp_path / "coco",
        {f"val2014/{name}": data for name, data in pictures("COCO_val2014_", [1, 2, 3, 4]).items()},
    )
    splits = {1: "train", 2: "restval", 3: "val", 4: "test"}
    entries = [
        {
            "cocoid": i,
            "split": split,
            "sentences": [{"raw": f"Number {i}."}],
            "filepath": "val2014",
            "filename": f"COCO_val2014_{i:012d}.jpg",
        }
        for i, split in splits.items()
    ]
    write_karpathy(source / "dataset_coco.json", entries)
    write_captions(source / "annotations" / "captions_val2014.json", [(1, "ignored")])
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    assert image_ids(tmp_path / "out") == {"train": ["1", "2"], "val": ["3"], "test": ["4"]}
    assert manifest.notes == (
        "Karpathy's splits; restval counts as train",
        "captions_val2014.json is not read beside dataset_coco.json",
    )
    assert PreparedData.open(tmp_path / "out").examples(CAPTION, "test")[0].references == (
        "Number 4.",
    )


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_official_val_is_halved_into_val_and_test(tmp_path, year):
    source = tmp_path / "coco"
    write_captions(
        source / "annotations" / f"captions_train{year}.json", [(1, "One."), (1, "The one.")]
    )
    write_captions(source / f"captions_val{year}.json", [(i, f"Number {i}.") for i in range(2, 22)])
    write_zip(
        source / f"train{year}.zip",
        {f"train{year}/{name}": data for name, data in pictures("", [1]).items()},
    )
    write_tar(source / f"val{year}.tar", pictures("", range(2, 22)))
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    found = image_ids(tmp_path / "out")
    assert found["train"] == ["1"]
    assert sorted(map(int, found["val"] + found["test"])) == list(range(2, 22))
    assert all(
        hash_split(image_id, (("val", 50), ("test", 50))) == "val" for image_id in found["val"]
    )
    assert manifest.notes == (
        f"captions_val{year}.json halved into val and test by a hash of the image id",
    )
    assert manifest.counts["caption"]["train"] == {"images": 1, "captions": 2}


def test_lone_file_is_cut_into_three_splits_and_the_manifest_says_so(tmp_path):
    source = tmp_path / "coco"
    write_captions(source / "captions_val2017.json", [(i, f"Number {i}.") for i in range(60)])
    write_tar(source / "val2017.tar", pictures("", range(60)))
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    assert set(image_ids(tmp_path / "out")) == {"train", "val", "test"}
    assert "captions_val2017.json alone: cut 80/10/10" in manifest.notes[0]
    assert sum(split["images"] for split in manifest.counts["caption"].values()) == 60


def test_hash_split_follows_the_shares():
    cuts = (("train", 80), ("val", 10), ("test", 10))
    splits = [hash_split(str(i), cuts) for i in range(5000)]
    assert splits.count("train") / 5000 == pytest.approx(0.8, abs=0.02)
    assert splits.count("test") / 5000 == pytest.approx(0.1, abs=0.02)
    assert [hash_split("42", cuts), hash_split("43", cuts)] == [
        hash_split("42", cuts),
        hash_split("43", cuts),
    ]


def test_malformed_annotations_are_listed_and_left_out(tmp_path):
    source = tmp_path / "coco"
    annotations = [
        {"image_id": 1, "caption": "Fine."},
        {"image_id": 1},
        "text",
        {"image_id": 2, "caption": " . "},
        {"image_id": 1, "caption": None},
        {"image_id": float("inf"), "caption": "Far."},
        {"image_id": 10**30, "caption": "Far."},
        {"image_id": 1, "caption": "Half a character: \ud83d"},
    ]
    source.mkdir()
    (source / "captions_val2017.json").write_text(json.dumps({"annotations": annotations}))
    write_tar(source / "val2017.tar", pictures("", [1, 2]))
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    assert problems_in(tmp_path / "out") == [
        ("annotations[1]", "malformed field"),
        ("annotations[2]", "malformed field"),
        ("annotations[3]", "no word in the text"),
        ("annotations[4]", "malformed field"),
        ("annotations[5]", "malformed field"),
        ("annotations[7]", "malformed field"),
        ("1000000000000000000000000000000", "no such file"),
    ]
    values = [line["value"] for line in problem_lines(tmp_path / "out") if "value" in line]
    assert values == [
        "caption: None",
        "entry: text",
        " . ",
        "caption: None",
        "image_id: inf",
        "caption: Half a character: \\ud83d",
        "1000000000000000000000000000000",
    ]
    assert manifest.num_images == 1


def test_captions_of_an_image_come_together_from_all_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(coco, "ROWS_PER_BATCH", 4)
    source = tmp_path / "coco"
    write_captions(
        source / "captions_train2017.json",
        [(3, "c"), (1, "a"), (3, "d"), (2, "."), (1, "b"), (2, "!"), (3, "e"), (4, "f")],
    )
    write_captions(source / "captions_val2017.json", [])
    write_tar(source / "train2017.tar", pictures("", [1, 2, 3, 4]))
    prepare_coco(source, tmp_path / "out", write_texts)
    examples = PreparedData.open(tmp_path / "out").examples(CAPTION, "train")
    assert [(each.image_id, each.references) for each in examples] == [
        ("3", ("c", "d", "e")),
        ("1", ("a", "b")),
        ("4", ("f",)),
    ]
    assert problems_in(tmp_path / "out") == [
        ("annotations[3]", "no word in the text"),
        ("annotations[5]", "no word in the text"),
    ]


def test_manifest_says_what_the_data_was_made_of(tmp_path):
    source = tmp_path / "coco"
    write_captions(source / "captions_val2017.json", [(1, "One.")])
    archive = write_tar(source / "val2017.tar", pictures("", [1]))
    fill_folder(source / "images" / "val2014", {"a/1.txt": b"123", "b.txt": b"45"})
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    captions = source / "captions_val2017.json"
    sha256 = hashlib.sha256(captions.read_bytes()).hexdigest()
    assert manifest.sources["captions"] == [
        {"path": str(captions), "bytes": captions.stat().st_size, "sha256": sha256}
    ]
    tar, folder = manifest.sources["images"]
    assert (folder["path"], folder["files"], folder["bytes"]) == (
        str(source / "images" / "val2014"),
        2,
        5,
    )
    assert (tar["path"], tar["bytes"]) == (str(archive), archive.stat().st_size)
    assert datetime.fromisoformat(tar["modified"]).timestamp() == pytest.approx(
        archive.stat().st_mtime, abs=1e-5
    )
    assert datetime.now(UTC) - datetime.fromisoformat(manifest.prepared) < timedelta(minutes=5)
    files = {
        str(path.relative_to(tmp_path / "out")): path
        for path in (tmp_path / "out").rglob("*.*")
        if path.name != "manifest.json"
    }
    assert manifest.checksums == {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if path.is_file()
    }


def test_missing_images_are_listed_and_never_fatal(tmp_path):
    source = tmp_path / "coco"
    write_captions(source / "captions_val2017.json", [(i, f"Number {i}.") for i in range(30)])
    write_tar(source / "val2017.tar", {**pictures("", range(20)), "000000000020.jpg": b"junk"})
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    assert manifest.problems == {"no such file": 9, "not a picture": 1}
    assert manifest.num_images == 20


def test_without_captions_the_error_says_what_to_download(tmp_path):
    with pytest.raises(DataError, match="no captions found") as caught:
        prepare_coco(tmp_path, tmp_path / "out", write_texts)
    assert (
        "http://images.cocodataset.org/annotations/annotations_trainval2014.zip"
        in caught.value.hint
    )
    assert "mue prepare coco --source" in caught.value.hint


def test_without_images_the_error_says_what_to_download(tmp_path):
    write_captions(tmp_path / "captions_val2017.json", [(1, "One.")])
    with pytest.raises(DataError, match="no images found") as caught:
        prepare_coco(tmp_path, tmp_path / "out", write_texts)
    assert "http://images.cocodataset.org/zips/" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot read"), ("[]", "holds a list"), ("{}", "no list 'annotations'")],
)
def test_file_that_is_no_annotation_file_is_a_data_error(tmp_path, content, message):
    (tmp_path / "captions_val2017.json").write_text(content)
    with pytest.raises(DataError, match=message):
        prepare_coco(tmp_path, tmp_path / "out", write_texts)


def test_caption_files_that_are_not_read_are_named(tmp_path):
    source = tmp_path / "coco"
    for name, ids in {
        "captions_training2017.json": [1],
        "captions_dev2017.json": [2],
        "captions_Testing2017.json": [3],
        "captions_extra2017.json": [4],
        "captions_val2014.json": [5],
        "captions_val2015.json": [6],
    }.items():
        write_captions(source / "annotations" / name, [(i, f"Number {i}.") for i in ids])
    fill_folder(source / "images", pictures("", range(1, 7)))
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    assert image_ids(tmp_path / "out") == {"train": ["1"], "val": ["2"], "test": ["3"]}
    read = "captions_training2017.json, captions_dev2017.json, captions_Testing2017.json"
    assert manifest.notes == (
        "captions_extra2017.json is not read: 'extra' is no split that is known",
        "captions_val2015.json is not read: 2015 is no year that is known",
        f"captions_val2014.json is not read beside {read}",
        "3 pictures in the sources are taken by no row",
    )


def test_two_caption_files_of_one_split_are_refused(tmp_path):
    write_captions(tmp_path / "captions_val2017.json", [(1, "One.")])
    write_captions(tmp_path / "annotations" / "captions_dev2017.json", [(1, "One.")])
    fill_folder(tmp_path / "images", pictures("", [1]))
    message = "both annotations/captions_dev2017.json and captions_val2017.json are the val split"
    with pytest.raises(DataError, match=message):
        prepare_coco(tmp_path, tmp_path / "out", write_texts)
    (tmp_path / "annotations" / "captions_dev2017.json").unlink()
    (tmp_path / "annotations" / "captions_val2017.json").symlink_to("../captions_val2017.json")
    assert prepare_coco(tmp_path, tmp_path / "out", write_texts).num_images == 1


@pytest.mark.parametrize("other", ["dataset_coco.json", "annotations/captions_train2014.json"])
def test_ofas_files_beside_another_form_are_refused(tmp_path, other):
    fill_folder(tmp_path, {"caption_val.tsv": b"", other: b"{}"})
    with pytest.raises(DataError, match="holds annotations in two forms") as caught:
        prepare_coco(tmp_path, tmp_path / "out", write_texts)
    assert "caption_val.tsv" in caught.value.message
    assert other.rpartition("/")[2] in caught.value.message


def test_two_of_karpathys_files_are_refused(tmp_path):
    fill_folder(tmp_path, {"dataset_coco.json": b"", "annotations/dataset_coco.json": b"{}"})
    with pytest.raises(DataError, match=r"^both dataset_coco.json and annotations/dataset_coco"):
        prepare_coco(tmp_path, tmp_path / "out", write_texts)
