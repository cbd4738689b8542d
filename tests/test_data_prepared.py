"""The prepared folder: finished or absent, read lazily, and honest about what was left out."""

import io
import json
import struct
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from prepared_data import Given, picture, problems_in, write_texts

from mue_cli.data.problems import Problems
from mue_cli.data.rows import CaptionRow, EntailmentRow
from mue_cli.data.store import prepared as prepared_module
from mue_cli.data.store.manifest import Manifest, read_manifest
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.store.storage import write_prepared
from mue_cli.data.tasks import CAPTION, ENTAILMENT
from mue_cli.errors import DataError, MissingStepError

MANIFEST = {
    "format": 2,
    "tasks": ["caption"],
    "name": "test",
    "counts": {"caption": {"train": {"images": 1, "captions": 1}}},
    "num_images": 1,
}
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
        root, "test", Given(images), train_tokenizer, captions, entailment, **options
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
    assert manifest.problems == {"not a picture": 1} == problems.counts()
    assert manifest.losses == {"train": {"lost": 1, "kept": 4}, "": {"lost": 1, "kept": 8}}
    assert manifest.counts["caption"]["train"] == {"images": 1, "captions": 2}
    assert problems_in(tmp_path / "data") == [("g", "not a picture")]


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
    pictures = Given({"r": picture("red")})
    pictures.read = lambda done: [("r", picture("red")), ("r", picture("blue"))]
    write_prepared(tmp_path / "data", "test", pictures, write_texts, rows)
    only = PreparedData.open(tmp_path / "data").examples(CAPTION, "train")[0]
    assert only.image.getpixel((0, 0)) == (255, 0, 0)


def test_nothing_left_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match="nothing is left of test") as caught:
        write(tmp_path / "data", images={"r": b"junk"})
    assert "not a picture: 4, broken picture: 2" in caught.value.message
    kept = tmp_path / "data.problems.jsonl"
    assert f"; `{kept}` lists each" in caught.value.message
    assert len(kept.read_text().splitlines()) == 6
    assert list(tmp_path.iterdir()) == [kept]
    write(tmp_path / "data")
    assert not kept.exists()


def test_much_that_is_lost_is_an_error_only_with_strict(tmp_path):
    images = {**PICTURES, "g": b"junk"}
    with pytest.raises(
        DataError, match=r"^1 of 5 texts of train are lost; .*\(not a picture: 1\)"
    ) as caught:
        write(tmp_path / "data", images=images, strict=True)
    assert "without --strict" in caught.value.hint
    assert not (tmp_path / "data").exists()
    assert write(tmp_path / "data", images=images).num_images == 2
    assert write(tmp_path / "data", strict=True).num_images == 3


def test_captions_that_training_cuts_are_counted(tmp_path):
    captions = {"train": [CaptionRow("r", ("word " * 21, "word " * 20, "- word " * 20))]}

    def train_tokenizer(texts, path):
        write_texts(texts, path)
        return lambda text: len(text.split())

    manifest = write(
        tmp_path / "data", captions=captions, entailment={}, train_tokenizer=train_tokenizer
    )
    assert manifest.remarks["caption of more than 20 tokens (data.max_target_tokens)"] == 1


def test_questions_that_training_cuts_are_counted(tmp_path):
    long, many = "word " * 81, "word " * 50  # with OFA's words around them: 85 and 106 tokens
    pairs = [
        EntailmentRow("r", str(number), premise, hypothesis, "neutral")
        for number, (premise, hypothesis) in enumerate(
            [(None, long), (long, "short"), (many, many), ("short", "short")]
        )
    ]

    def train_tokenizer(texts, path):
        write_texts(texts, path)
        return lambda text: len(text.split())

    manifest = write(
        tmp_path / "data",
        captions={},
        entailment={"train": pairs},
        train_tokenizer=train_tokenizer,
    )
    assert manifest.remarks == {
        "question of more than 80 tokens (data.max_source_tokens)": 3,
        "premise or hypothesis of more than 80 words: its end is not asked": 2,
        **{name: count for name, count in manifest.remarks.items() if "picture" in name},
    }


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
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 2, "tasks": [], "notes": [], "other": 2}',
        "[" * 100_000,
        '{"format": 2, "tasks": [], "x": ' + "[" * 900 + "]" * 900 + "}",
        *(
            json.dumps({**MANIFEST, **change})
            for change in (
                {"counts": None},
                {"counts": []},
                {"counts": 3},
                {"counts": {"caption": None}},
                {"counts": {"caption": {"train": None}}},
                {"counts": {"caption": {"train": {}}}},
                {"counts": {"caption": {"train": {"images": 1}}}},
                {"counts": {"caption": {"train": {"images": "1", "captions": 1}}}},
                {"counts": {"caption": {"train": {"images": -1, "captions": 1}}}},
                {"counts": {"caption": {"../entailment/test": {"images": 1, "captions": 1}}}},
                {"counts": {"poetry": {"train": {"images": 1, "captions": 1}}}},
                {"num_images": "3"},
                {"num_images": None},
                {"num_images": True},
                {"checksums": ["x"]},
                {"notes": "text"},
                {"name": None},
                {"text_only_accuracy": 7},
            )
        ),
    ],
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


def test_whole_manifest_of_these_tests_is_read(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert PreparedData.open(tmp_path).manifest.num_images == 1


def test_lost_and_changed_tables_are_told_apart(data):
    table = data.root / "caption" / "train" / "data.arrow"
    table.write_bytes(b"junk")
    with pytest.raises(DataError, match="its checksum differs"):
        data.examples(CAPTION, "train")
    table.unlink()
    with pytest.raises(MissingStepError, match="is missing"):
        data.examples(CAPTION, "train")


def rewritten(data, name, table):
    """Replace a table by another, as nobody but a damaged disk or a bold editor does."""
    path = data.root / name
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    checksums = {key: value for key, value in data.manifest.checksums.items() if key != name}
    return PreparedData(data.root, replace(data.manifest, checksums=checksums))


CAPTION_TABLE = {"image": [0, 1], "image_id": ["r", "g"], "captions": [["a", "b"], ["c"]]}
PAIR_TABLE = {
    "image": [0],
    "image_id": ["r"],
    "pair_id": ["p3"],
    "premise": pa.array([None], pa.string()),
    "hypothesis": ["It is old."],
    "label": ["neutral"],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": [0, 3]}, "`image` is out of range: the folder has 3 pictures"),
        ({"image": [-1, 0]}, "`image` is out of range"),
        ({"image": [0, None]}, "`image` is null in 1 rows"),
        ({"image": ["0", "1"]}, "has other columns than expected"),
        ({"image_id": [None, "g"]}, "`image_id` is null"),
        ({"captions": [["a", "b", "c"], []]}, "`captions` is empty or null"),
        ({"captions": [["a", None], ["c"]]}, "`captions` is empty or null"),
        ({"captions": [["a", "b", "c"], None]}, "`captions` is null"),
        ({"captions": ["a", "c"]}, "has other columns"),
        ({"captions": [["a"], ["c"]]}, "it holds 2 texts, the manifest counts 3"),
    ],
)
def test_captions_that_cannot_be_are_data_errors(data, change, message):
    table = pa.table({**CAPTION_TABLE, **change})
    changed = rewritten(data, "caption/train/data.arrow", table)
    with pytest.raises(DataError, match=message) as caught:
        changed.examples(CAPTION, "train")
    assert caught.value.hint == "run `mue prepare` again"


def test_whole_tables_of_these_tests_are_read(data):
    changed = rewritten(data, "caption/train/data.arrow", pa.table(CAPTION_TABLE))
    assert len(changed.examples(CAPTION, "train", per_caption=True)) == 3
    changed = rewritten(data, "entailment/test/data.arrow", pa.table(PAIR_TABLE))
    assert changed.examples(ENTAILMENT, "test")[0].target == "maybe"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ["perhaps"]}, "`label` is not always one of"),
        ({"label": pa.array([None], pa.string())}, "`label` is null"),
        ({"hypothesis": pa.array([None], pa.string())}, "`hypothesis` is null"),
    ],
)
def test_pairs_that_cannot_be_are_data_errors(data, change, message):
    changed = rewritten(data, "entailment/test/data.arrow", pa.table({**PAIR_TABLE, **change}))
    with pytest.raises(DataError, match=message):
        changed.examples(ENTAILMENT, "test")


def test_no_changed_byte_of_a_table_ends_the_process_or_gives_other_rows(data):
    """Each byte in turn; without the checksum, which would catch them all."""
    path = data.root / "caption" / "train" / "data.arrow"
    whole = path.read_bytes()
    manifest = replace(data.manifest, checksums={})
    refused = 0
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        try:
            for example in PreparedData(data.root, manifest).examples(CAPTION, "train"):
                assert example.references
        except (DataError, MissingStepError):
            refused += 1
    assert refused > 20


def test_fingerprint_names_the_contents_and_not_the_day(tmp_path):
    first, second = write(tmp_path / "one"), write(tmp_path / "two", notes=["another day"])
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 64
    other = write(tmp_path / "three", images={**PICTURES, "b": picture("black")})
    assert other.fingerprint != first.fingerprint


def test_folder_one_is_in_is_never_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", "x/..", "..", str(tmp_path)):
        with pytest.raises(DataError, match="is the folder you are in, or above it"):
            write(Path(name))
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone" / "deep")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("file/data", "nowhere", "circle", "x" * 300, "y" * 250, "file"):
        with pytest.raises(DataError) as caught:
            write(tmp_path / name)
        assert "\n" not in caught.value.message
        assert caught.value.hint


def test_many_images_are_found_by_their_row(tmp_path):
    """More than one Arrow batch."""
    images = {str(i): picture((i, 0, 255 - i)) for i in range(250)}
    rows = {"train": [CaptionRow(str(i), (f"number {i}",)) for i in reversed(range(250))]}
    write_prepared(tmp_path / "data", "test", Given(images), write_texts, rows)
    examples = PreparedData.open(tmp_path / "data").examples(CAPTION, "train")
    for index in np.linspace(0, 249, 20).astype(int).tolist():
        assert examples[index].image_id == str(249 - index)
        assert examples[index].image.getpixel((1, 1)) == (249 - index, 0, 6 + index)
