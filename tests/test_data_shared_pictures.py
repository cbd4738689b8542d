"""Pictures in several splits are noticed, whatever they are called."""

import json

import pytest
from prepared_data import (
    Given,
    fill_folder,
    picture,
    problem_lines,
    problems_in,
    write_karpathy,
    write_texts,
)

from mue_cli.data.rows import CaptionRow, EntailmentRow
from mue_cli.data.sources.coco import prepare_coco
from mue_cli.data.sources.flickr8k import prepare_flickr8k
from mue_cli.data.sources.snli_ve import prepare_snli_ve
from mue_cli.data.store import image_shards
from mue_cli.data.store.storage import write_prepared
from mue_cli.experiment.prepare import remarks

PICTURES = {"a.jpg": picture("red"), "b.jpg": picture("blue"), "c.jpg": picture("lime")}


def entry(name, split, **more):
    return {"filename": name, "split": split, "sentences": [{"raw": f"A {split} dog"}], **more}


def shared(root):
    """Return (item, value) of each picture that is listed as one of several splits."""
    return [
        (line["item"], line["value"])
        for line in problem_lines(root)
        if line["reason"] == "picture in several splits" and line["kept"]
    ]


@pytest.fixture
def source(tmp_path):
    return fill_folder(tmp_path / "source", {f"images/{k}": v for k, v in PICTURES.items()})


def test_two_spellings_of_one_path(source, tmp_path):
    entries = [
        entry("a.jpg", "train"),
        entry("b.jpg", "val"),
        entry("a.jpg", "test", filepath="images"),
        entry("./b.jpg", "test"),
        entry("c.jpg", "test"),
    ]
    write_karpathy(source / "dataset_flickr8k.json", entries)
    manifest = prepare_flickr8k(source, tmp_path / "out", write_texts)
    assert manifest.images_in_several_splits == 1
    assert shared(tmp_path / "out") == [("a", "train: a; test: images/a")]
    assert problems_in(tmp_path / "out") == [("images[3]", "in another split as well")]
    assert manifest.remarks["picture in several splits"] == 1
    assert "note: 1 images are in more than one split" in list(remarks(manifest, tmp_path))


def test_one_file_under_two_ids(source, tmp_path):
    entries = [entry("a.jpg", "train", cocoid=1), entry("a.jpg", "test", cocoid=3)]
    write_karpathy(source / "dataset_coco.json", entries)
    assert prepare_coco(source, tmp_path / "out", write_texts).images_in_several_splits == 1
    assert shared(tmp_path / "out") == [("1", "train: 1; test: 3")]


def test_one_file_name_in_two_official_files(source, tmp_path):
    for split, names in {"train": {1: "a.jpg"}, "val": {3: "a.jpg", 4: "b.jpg"}}.items():
        content = {
            "images": [{"id": i, "file_name": name} for i, name in names.items()],
            "annotations": [{"image_id": i, "caption": "A dog."} for i in names],
        }
        (source / f"captions_{split}2017.json").write_text(json.dumps(content))
    assert prepare_coco(source, tmp_path / "out", write_texts).images_in_several_splits == 1
    ((name, value),) = shared(tmp_path / "out")
    assert (name, value.split("; ")[0]) == ("1", "train: 1")


def test_a_photographs_number_and_its_name(source, tmp_path):
    def line(photograph):
        return json.dumps(
            {"Flickr30K_ID": photograph, "sentence2": "A dog.", "gold_label": "neutral"}
        )

    (source / "snli_ve_train.jsonl").write_text(line("a"))
    (source / "snli_ve_test.jsonl").write_text(f"{line('a.jpg')}\n{line('b.jpg')}")
    manifest = prepare_snli_ve(source, tmp_path / "out", write_texts)
    assert manifest.images_in_several_splits == 1
    assert shared(tmp_path / "out") == [("a", "train: a; test: a.jpg")]


ROWS = {
    "train": [CaptionRow(key, ("A dog.",)) for key in ("a", "again", "c")],
    "val": [CaptionRow("b", ("A dog.",))],
}
PAIRS = {"test": [EntailmentRow("b", "p", None, "It is blue.", "neutral")]}
GIVEN = {
    "a": picture("red"),
    "b": picture("blue"),
    "c": picture("lime"),
    "again": picture("red"),
    "copy": picture("red"),
}


@pytest.mark.parametrize("stopped", [False, True])
def test_files_of_the_same_bytes_also_in_a_run_that_goes_on(tmp_path, monkeypatch, stopped):
    monkeypatch.setattr(image_shards, "SHARD_ROWS", 2)
    captions = {**ROWS, "test": [CaptionRow("copy", ("A dog.",))]}
    if stopped:
        pictures = Given(GIVEN)
        monkeypatch.setattr(pictures, "read", lambda done: iter([*list(GIVEN.items())[:2], None]))
        with pytest.raises(TypeError):
            write_prepared(tmp_path / "data", "test", pictures, write_texts, captions, PAIRS)
    data = write_prepared(tmp_path / "data", "test", Given(GIVEN), write_texts, captions, PAIRS)
    assert data.images_in_several_splits == 2
    assert shared(tmp_path / "data") == [
        ("a", "train: a, again; test: copy"),
        ("b", "val: b; test: b"),
    ]


def test_copies_within_a_split_are_none(tmp_path):
    data = write_prepared(tmp_path / "data", "test", Given(GIVEN), write_texts, ROWS)
    assert data.images_in_several_splits == 0
    assert shared(tmp_path / "data") == []
