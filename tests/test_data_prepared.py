"""The prepared folder: finished or absent, read lazily, and honest about what was left out."""

import io
import json
import struct

import datasets
import numpy as np
import pytest
from PIL import Image
from prepared_data import given, picture, problems_in, write_texts

from mue_cli.data.rows import CaptionRow, EntailmentRow, Problems
from mue_cli.data.store import prepared as prepared_module
from mue_cli.data.store.manifest import Manifest, read_manifest
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.store.storage import write_prepared
from mue_cli.data.tasks import CAPTION, ENTAILMENT
from mue_cli.errors import DataError, MissingStepError

PICTURES = {"r": picture("red"), "g": picture("lime"), "b": picture("blue")}
CAPTIONS = {
    "train": [CaptionRow("r", ("A red one.", "Red!")), CaptionRow("g", ("A green one.",))],
    "val": [CaptionRow("b", ("A blue one.", "Blue.", "Not red."))],
}
PAIRS = {
    "train": [
        EntailmentRow("r", "p1", None, "It is red.", "entailment"),
        EntailmentRow("r", "p2", "A wall.", "It is green.", "contradiction"),
    ],
    "test": [EntailmentRow("r", "p3", None, "It is old.", "neutral")],
}


def write(
    root, images=None, captions=CAPTIONS, entailment=PAIRS, train_tokenizer=write_texts, **options
):
    images = PICTURES if images is None else images
    return write_prepared(
        root, "test", given(images), len(images), train_tokenizer, captions, entailment, **options
    )


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "data")
    return PreparedData.open(tmp_path / "data")


def test_counts_and_splits_are_those_of_the_rows(data):
    assert data.manifest.counts == {
        "caption": {"train": {"images": 2, "captions": 3}, "val": {"images": 1, "captions": 3}},
        "entailment": {"train": {"images": 1, "pairs": 2}, "test": {"images": 1, "pairs": 1}},
    }
    assert data.manifest.num_images == 3
    assert data.manifest.tasks == ("caption", "entailment")
    assert data.splits(CAPTION) == ("train", "val")
    assert data.splits(ENTAILMENT) == ("train", "test")


def test_one_example_per_image_has_all_references(data):
    examples = data.examples(CAPTION, "val")
    assert len(examples) == 1
    only = examples[0]
    assert (only.sample_id, only.image_id, only.source) == (
        "b",
        "b",
        " what does the image describe?",
    )
    assert only.target == "a blue one"
    assert only.references == ("A blue one.", "Blue.", "Not red.")
    assert only.image.getpixel((0, 0)) == (0, 0, 255)


def test_one_example_per_caption_has_that_caption_as_its_target(data):
    examples = data.examples(CAPTION, "train", per_caption=True)
    assert [(each.sample_id, each.target, len(each.references)) for each in examples] == [
        ("r#0", "a red one", 2),
        ("r#1", "red", 2),
        ("g#0", "a green one", 1),
    ]


def test_pairs_become_questions_and_answers(data):
    first, second = data.examples(ENTAILMENT, "train")
    assert first.source == ' does the image describe " it is red. "?'
    assert second.source == ' can image and text1 " a wall. " imply text2 " it is green. "?'
    assert (first.target, second.target) == ("yes", "no")
    assert second.references == ("no",)
    assert (second.sample_id, second.image_id) == ("p2", "r")
    assert data.examples(ENTAILMENT, "test")[0].target == "maybe"


def test_bare_pairs_are_the_sentences_alone(data):
    first, second = data.examples(ENTAILMENT, "train", bare=True)
    assert (first.source, second.source) == (" it is red.", " a wall. it is green.")


def test_slices_are_lazy(data, monkeypatch):
    monkeypatch.setattr(
        prepared_module,
        "decode_image",
        lambda data: pytest.fail("decoded an image nobody asked for"),
    )
    part = data.examples(CAPTION, "train", per_caption=True)[1:]
    assert len(part) == 2
    assert len(part[::-1]) == 2


def test_index_counts_from_both_ends_and_no_further(data):
    examples = data.examples(CAPTION, "train")
    assert examples[-1].image_id == "g"
    with pytest.raises(IndexError):
        examples[2]


def test_asked_size_is_delivered_and_kept(data, monkeypatch):
    examples = data.examples(CAPTION, "train", image_size=6)
    first = examples[0].image
    monkeypatch.setattr(prepared_module, "decode_image", lambda data: pytest.fail("decoded twice"))
    assert first.size == (6, 6)
    assert examples[0].image is first


def test_pictures_that_do_not_fit_in_memory_are_not_kept(data, monkeypatch):
    monkeypatch.setattr(prepared_module, "MAX_KEPT_BYTES", 100)
    examples = data.examples(CAPTION, "train", image_size=6)
    assert examples[0].image is not examples[0].image
    assert examples[0].image.size == (6, 6)


def test_tables_open_with_the_datasets_library(data):
    table = datasets.Dataset.from_file(str(data.root / "caption" / "train" / "data.arrow"))
    assert table["captions"][0] == ["A red one.", "Red!"]
    images = datasets.Dataset.from_file(str(data.root / "images" / "data-00000.arrow"))
    assert images["image"][0] == PICTURES["r"]
    assert len(images) == 3


def test_vocabulary_is_trained_on_training_texts_alone(data):
    assert data.tokenizer_path.name == "tokenizer.json"
    assert json.loads(data.tokenizer_path.read_text()) == [
        " what does the image describe?",
        " a red one",
        " red",
        " a green one",
        " no",
        " yes",
        " maybe",
        ' does the image describe " it is red. "?',
        ' can image and text1 " a wall. " imply text2 " it is green. "?',
    ]


def test_without_a_train_split_the_vocabulary_is_trained_on_all(tmp_path):
    write(tmp_path / "data", captions={"val": CAPTIONS["val"]}, entailment={})
    assert json.loads((tmp_path / "data" / "tokenizer.json").read_text())[1:] == [
        " a blue one",
        " blue",
        " not red",
    ]


def test_images_in_several_splits_are_counted(data):
    assert data.manifest.images_in_several_splits == 1


def test_text_only_accuracy_is_known_for_entailment_alone(data, tmp_path):
    assert data.manifest.text_only_accuracy == 0.0
    assert write(tmp_path / "other", entailment={}).text_only_accuracy is None


def test_manifest_names_the_libraries_and_comes_back_as_it_was(tmp_path):
    written = write(tmp_path / "data", sources={"seed": 3}, notes=["cut by hand"])
    assert read_manifest(tmp_path / "data") == written
    assert written.versions["datasets"] == datasets.__version__
    assert written.notes == ("cut by hand",)


def test_broken_image_takes_its_rows_along_and_is_listed(tmp_path):
    manifest = write(
        tmp_path / "data", images={**PICTURES, "g": b"junk"}, problems=(problems := Problems())
    )
    assert (
        manifest.problems
        == {"image broken": 1, "row without a readable image": 1}
        == problems.counts()
    )
    assert manifest.counts["caption"]["train"] == {"images": 1, "captions": 2}
    assert problems_in(tmp_path / "data") == [
        ("g", "image broken"),
        ("g", "row without a readable image"),
    ]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_pillow_finds_odd_about_a_readable_picture_is_not_said(tmp_path, num_workers):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "TIFF", dpi=(72, 72))
    data = bytearray(buffer.getvalue())
    at = data.index(struct.pack("<HH", 282, 5))  # the resolution, which nobody needs
    data[at + 8 : at + 12] = struct.pack("<I", 10**6)
    with pytest.warns(UserWarning, match="Truncated File Read"):
        Image.open(io.BytesIO(data)).load()
    write(tmp_path / "data", images={**PICTURES, "r": bytes(data)}, num_workers=num_workers)
    assert problems_in(tmp_path / "data") == []


def test_missing_image_is_listed_under_each_of_its_rows(tmp_path):
    write(tmp_path / "data", images={"g": PICTURES["g"], "b": PICTURES["b"]})
    assert [item for item, _ in problems_in(tmp_path / "data")] == ["r", "p1", "p2", "p3"]
    assert PreparedData.open(tmp_path / "data").splits(ENTAILMENT) == ()


def test_image_given_twice_is_stored_once(tmp_path):
    rows = {"train": [CaptionRow("r", ("Red.",))]}
    images = [("r", picture("red")), ("r", picture("blue"))]
    write_prepared(tmp_path / "data", "test", lambda done: images, 2, write_texts, rows)
    only = PreparedData.open(tmp_path / "data").examples(CAPTION, "train")[0]
    assert only.image.getpixel((0, 0)) == (255, 0, 0)


def test_nothing_left_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match="nothing is left of test") as caught:
        write(tmp_path / "data", images={"r": b"junk"})
    assert "image broken: 1" in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_what_was_there_before(tmp_path):
    def fail(texts, path):
        raise KeyboardInterrupt

    write(tmp_path / "data")
    before = (tmp_path / "data" / "manifest.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "data", train_tokenizer=fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".data.partial", "data"]
    assert (tmp_path / "data" / "manifest.json").read_bytes() == before


def test_half_written_folder_of_a_killed_run_is_not_taken_for_data(tmp_path):
    (tmp_path / ".data.partial").mkdir()
    (tmp_path / ".data.partial" / "manifest.json").write_text("{}")
    with pytest.raises(MissingStepError):
        PreparedData.open(tmp_path / "data")
    write(tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_preparing_again_replaces_prepared_data(tmp_path):
    write(tmp_path / "data")
    write(tmp_path / "data", entailment={})
    assert PreparedData.open(tmp_path / "data").manifest.tasks == ("caption",)
    assert not (tmp_path / "data" / "entailment").exists()


def test_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="is no prepared data"):
        write(tmp_path / "data")
    assert (tmp_path / "data" / "thesis.tex").read_text() == "years of work"


def test_empty_folder_may_be_used(tmp_path):
    (tmp_path / "data").mkdir()
    assert write(tmp_path / "data").num_images == 3


def test_progress_counts_images(tmp_path):
    seen = []
    write(tmp_path / "data", progress=lambda done, total, note: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "command"), [("shapes", "mue prepare shapes"), ("mine", "mue prepare <dataset>")]
)
def test_missing_folder_names_the_command(tmp_path, name, command):
    with pytest.raises(MissingStepError, match="no prepared data") as caught:
        PreparedData.open(tmp_path / name)
    assert caught.value.hint == f"run: {command}"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 1}', '{"format": 1, "tasks": [], "notes": [], "other": 2}'],
)
def test_damaged_manifest_is_a_data_error(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="not a manifest"):
        PreparedData.open(tmp_path)


def test_manifest_of_another_format_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="another format"):
        PreparedData.open(tmp_path)


def test_missing_split_and_task_say_what_there_is(data):
    with pytest.raises(DataError, match="no split 'test'") as caught:
        data.examples(CAPTION, "test")
    assert caught.value.hint == "it has: train, val"
    empty = PreparedData(data.root, Manifest("test", {"caption": {}}, 0))
    with pytest.raises(DataError, match="holds no entailment data"):
        empty.examples(ENTAILMENT, "train")


def test_lost_and_damaged_tables_are_told_apart(data):
    table = data.root / "caption" / "train" / "data.arrow"
    table.write_bytes(b"junk")
    with pytest.raises(DataError, match="cannot read"):
        data.examples(CAPTION, "train")
    table.unlink()
    with pytest.raises(MissingStepError, match="is missing"):
        data.examples(CAPTION, "train")


def test_many_images_are_found_by_their_row(tmp_path):
    """More than one Arrow batch."""
    images = {str(i): picture((i, 0, 255 - i)) for i in range(250)}
    rows = {"train": [CaptionRow(str(i), (f"number {i}",)) for i in reversed(range(250))]}
    write_prepared(tmp_path / "data", "test", given(images), 250, write_texts, rows)
    examples = PreparedData.open(tmp_path / "data").examples(CAPTION, "train")
    for index in np.linspace(0, 249, 20).astype(int).tolist():
        assert examples[index].image_id == str(249 - index)
        assert examples[index].image.getpixel((1, 1)) == (249 - index, 0, 6 + index)
