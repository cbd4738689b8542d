"""Flickr8k in Karpathy's form."""

import pytest
from prepared_data import (
    fill_folder,
    picture,
    problem_lines,
    write_karpathy,
    write_tar,
    write_texts,
)

from mue_cli.data.sources.flickr8k import prepare_flickr8k
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import CAPTION
from mue_cli.errors import DataError


def entry(name, split="train", captions=("A dog .",)):
    return {
        "filename": f"{name}.jpg",
        "split": split,
        "sentences": [{"raw": caption} for caption in captions],
    }


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "flickr"
    folder.mkdir()
    return folder


def test_captions_and_splits_come_from_karpathys_file(source, tmp_path):
    write_karpathy(
        source / "dataset_flickr8k.json",
        [
            entry("1_a", captions=("A dog .", "Two  dogs")),
            entry("2_b", "test"),
            entry("3_c", "restval"),
        ],
    )
    write_tar(
        source / "images.tar",
        {f"{name}.jpg": picture(form="JPEG") for name in ("1_a", "2_b", "3_c", "4_d")},
    )
    manifest = prepare_flickr8k(source, tmp_path / "out", write_texts)
    assert manifest.counts["caption"] == {
        "train": {"images": 2, "captions": 3},
        "test": {"images": 1, "captions": 1},
    }
    assert manifest.problems == {}
    first = PreparedData.open(tmp_path / "out").examples(CAPTION, "train")[0]
    assert (first.image_id, first.references) == ("1_a", ("A dog .", "Two dogs"))


@pytest.mark.parametrize("folder", ["images", "Flicker8k_Dataset", "images/Flicker8k_Dataset"])
def test_folder_of_images_serves_as_well(source, tmp_path, folder):
    write_karpathy(source / "dataset_flickr8k.json", [entry("1_a")])
    fill_folder(source / folder, {"1_a.jpg": picture(form="JPEG")})
    assert prepare_flickr8k(source, tmp_path / "out", write_texts).num_images == 1


def test_what_cannot_be_used_is_listed(source, tmp_path):
    entries = [
        entry("1_a"),
        entry("1_a", "test"),
        entry("2_b", "holdout"),
        entry("3_c", captions=("!",)),
        entry("4_d"),
        {"split": "train", "sentences": []},
        "text",
        {"filename": "5_e.jpg", "split": "train", "sentences": [None]},
        {**entry("6_f"), "filename": "half a character \ud83d.jpg"},
        entry("7_g", captions=("\u200b", "…", "a\0dog")),
        entry("8\0h"),
    ]
    write_karpathy(source / "dataset_flickr8k.json", entries)
    write_tar(source / "images.tar", {"1_a.jpg": picture(form="JPEG")})
    manifest = prepare_flickr8k(source, tmp_path / "out", write_texts)
    assert manifest.counts["caption"] == {"train": {"images": 1, "captions": 1}}
    assert [
        (line["item"], line["reason"], line.get("value", ""))
        for line in problem_lines(tmp_path / "out")
        if not line.get("kept")
    ] == [
        ("images[1]", "in another split as well", "1_a.jpg: train"),
        ("images[2]", "unknown split", "holdout"),
        ("images[3]", "no word in the text", "!"),
        ("images[5]", "malformed field", "filename: None"),
        ("images[6]", "malformed field", "entry: text"),
        ("images[7]", "malformed field", "caption: None"),
        ("images[8]", "malformed field", "filename: half a character \\ud83d.jpg"),
        ("images[9]", "no word in the text", "\\u200b"),
        ("images[9]", "no word in the text", "…"),
        ("images[9]", "malformed field", "caption: a\\x00dog"),
        ("images[10]", "malformed field", "filename: 8\\x00h.jpg"),
        ("4_d", "no such file", "4_d.jpg"),
    ]


def test_without_files_the_error_says_what_to_download(source, tmp_path):
    with pytest.raises(DataError, match=r"dataset_flickr8k\.json is missing") as caught:
        prepare_flickr8k(source, tmp_path / "out", write_texts)
    assert "caption_datasets.zip" in caught.value.hint
    write_karpathy(source / "dataset_flickr8k.json", [entry("1_a")])
    with pytest.raises(DataError, match="no images found") as caught:
        prepare_flickr8k(source, tmp_path / "out", write_texts)
    assert "Flickr8k_Dataset.zip" in caught.value.hint


def test_nothing_left_is_an_error(source, tmp_path):
    write_karpathy(source / "dataset_flickr8k.json", [entry("1_a")])
    write_tar(source / "images.tar", {"other.jpg": picture(form="JPEG")})
    with pytest.raises(DataError, match="nothing is left of flickr8k"):
        prepare_flickr8k(source, tmp_path / "out", write_texts)
    assert not (tmp_path / "out").exists()


def test_entries_with_a_key_twice_are_listed(source, tmp_path):
    entries = [
        '{"filename": "b.jpg", "filename": "a.jpg", "split": "train", "sentences": [{"raw": "B"}]}',
        '{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A"}, {"raw": 1, "raw": "B"}]}',
    ]
    (source / "dataset_flickr8k.json").write_text(f'{{"images": [{", ".join(entries)}]}}')
    fill_folder(source / "images", {"a.jpg": picture(), "b.jpg": picture("blue")})
    manifest = prepare_flickr8k(source, tmp_path / "out", write_texts)
    assert manifest.counts["caption"] == {"train": {"images": 1, "captions": 1}}
    lines = [line for line in problem_lines(tmp_path / "out") if not line.get("kept")]
    assert [(line["item"], line["value"]) for line in lines] == [
        ("images[0]", "entry: `filename` twice"),
        ("images[1]", "caption: `raw` twice"),
    ]
