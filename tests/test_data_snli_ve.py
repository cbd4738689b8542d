"""SNLI-VE: jsonl lines and photographs found by their leading digits."""

import json

import pytest
from prepared_data import (
    fill_folder,
    picture,
    problem_lines,
    problems_in,
    write_tar,
    write_texts,
)

from mue_cli.data.sources.snli_ve import photograph_ids, prepare_snli_ve
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import ENTAILMENT
from mue_cli.errors import DataError, MueError


def pair(
    photograph="11",
    label="entailment",
    pair_id="11.jpg#0r1e",
    premise="A man.",
    hypothesis="A person.",
):
    return {
        "Flickr30K_ID": photograph,
        "pairID": pair_id,
        "sentence1": premise,
        "sentence2": hypothesis,
        "gold_label": label,
    }


def write_pairs(path, pairs):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in pairs)
    )


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "snli"
    write_pairs(folder / "snli_ve_train.jsonl", [pair(), pair("22", "neutral", "b")])
    write_pairs(folder / "snli_ve_dev.jsonl", [pair("33", "contradiction", "c", premise=None)])
    write_pairs(folder / "snli_ve_test.jsonl", [pair("11", pair_id="d")])
    return folder


PHOTOGRAPHS = {
    "11_abc.jpg": picture(form="JPEG"),
    "22.jpg": picture(form="JPEG"),
    "33_def.jpg": picture(form="JPEG"),
}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("2181846120_3744ca3942.jpg", ["2181846120_3744ca3942", "2181846120"]),
        ("4705552913.jpg", ["4705552913"]),
        ("x1.JPG", ["x1"]),
        ("12ab.jpg", ["12ab"]),
    ],
)
def test_photograph_is_known_by_its_name_or_leading_number(name, ids):
    assert list(photograph_ids(name)) == ids


def test_pairs_keep_labels_premises_and_splits(source, tmp_path):
    fill_folder(source / "flickr30k-images", PHOTOGRAPHS)
    manifest = prepare_snli_ve(source, tmp_path / "out", write_texts)
    assert manifest.counts["entailment"] == {
        "train": {"images": 2, "pairs": 2},
        "val": {"images": 1, "pairs": 1},
        "test": {"images": 1, "pairs": 1},
    }
    assert manifest.images_in_several_splits == 1
    assert manifest.notes == ()
    data = PreparedData.open(tmp_path / "out")
    first = data.examples(ENTAILMENT, "train")[0]
    assert first.source == ' can image and text1 " a man. " imply text2 " a person. "?'
    assert (first.sample_id, first.image_id, first.target) == ("11.jpg#0r1e", "11", "yes")
    assert data.examples(ENTAILMENT, "val")[0].source == ' does the image describe " a person. "?'


@pytest.mark.parametrize("layout", ["tar", "folder", "folder with a tar"])
def test_photographs_may_lie_elsewhere(source, tmp_path, layout):
    if layout == "tar":
        images = write_tar(tmp_path / "flickr8k.tar", PHOTOGRAPHS)
    elif layout == "folder":
        images = fill_folder(tmp_path / "photographs", PHOTOGRAPHS)
    else:
        images = tmp_path / "flickr8k"
        images.mkdir()
        write_tar(images / "images.tar", PHOTOGRAPHS)
    assert prepare_snli_ve(source, tmp_path / "out", write_texts, images=images).num_images == 3


def test_missing_split_is_noted(source, tmp_path):
    (source / "snli_ve_test.jsonl").unlink()
    fill_folder(source / "images", PHOTOGRAPHS)
    assert prepare_snli_ve(source, tmp_path / "out", write_texts).notes == (
        "no snli_ve_test.jsonl: no test split",
    )


def test_lines_that_cannot_be_used_are_listed(source, tmp_path):
    lines = [
        pair(),
        "not json\n",
        "\n",
        "[1]\n",
        pair(label="-"),
        pair(label="maybe"),
        pair(photograph="unknown"),
        pair(hypothesis=" "),
        pair(hypothesis=None),
        pair(photograph="99", pair_id="lost"),
        pair(label=["entailment"]),
        pair(hypothesis="\ud83d"),
        pair(pair_id="\ud83d"),
    ]
    write_pairs(source / "snli_ve_train.jsonl", lines)
    fill_folder(source / "images", PHOTOGRAPHS)
    manifest = prepare_snli_ve(source, tmp_path / "out", write_texts)
    assert manifest.counts["entailment"]["train"] == {"images": 1, "pairs": 1}
    assert problems_in(tmp_path / "out") == [
        ("line 2", "malformed field"),
        ("line 4", "malformed field"),
        ("line 5", "no gold label"),
        ("line 6", "other label"),
        ("line 8", "no word in the text"),
        ("line 9", "malformed field"),
        ("line 11", "malformed field"),
        ("line 12", "malformed field"),
        ("line 13", "malformed field"),
        ("11.jpg#0r1e-snli_ve_train-7", "no such file"),
        ("lost", "no such file"),
    ]
    values = [line.get("value") for line in problem_lines(tmp_path / "out")][:9]
    assert values == [
        "line: not json",
        "entry: [1]",
        "-",
        "maybe",
        "sentence2",
        "sentence2: None",
        "gold_label: ['entailment']",
        "sentence2: \\ud83d",
        "pairID: \\ud83d",
    ]


def test_absent_and_repeated_pair_ids_are_made_unique(source, tmp_path):
    write_pairs(
        source / "snli_ve_train.jsonl",
        [pair(pair_id=None), pair(pair_id="same"), pair(pair_id="same")],
    )
    fill_folder(source / "images", PHOTOGRAPHS)
    prepare_snli_ve(source, tmp_path / "out", write_texts)
    examples = PreparedData.open(tmp_path / "out").examples(ENTAILMENT, "train")
    assert [example.sample_id for example in examples] == [
        "snli_ve_train-1",
        "same",
        "same-snli_ve_train-3",
    ]


def test_without_files_the_error_says_what_to_download(tmp_path, source):
    with pytest.raises(DataError, match=r"none of snli_ve_train\.jsonl") as caught:
        prepare_snli_ve(tmp_path, tmp_path / "out", write_texts)
    assert "https://github.com/necla-ml/SNLI-VE" in caught.value.hint
    with pytest.raises(DataError, match="no images found"):
        prepare_snli_ve(source, tmp_path / "out", write_texts)
    with pytest.raises(DataError, match="neither a folder nor an archive"):
        prepare_snli_ve(source, tmp_path / "out", write_texts, images=tmp_path / "nowhere")


def test_mark_at_the_start_and_utf_16_are_read(source, tmp_path):
    fill_folder(source / "images", PHOTOGRAPHS)
    for name, encoding in (("train", "utf-8-sig"), ("dev", "utf-16")):
        path = source / f"snli_ve_{name}.jsonl"
        path.write_text(path.read_text(), encoding=encoding)
    manifest = prepare_snli_ve(source, tmp_path / "out", write_texts)
    assert manifest.counts["entailment"]["train"]["pairs"] == 2
    assert manifest.counts["entailment"]["val"]["pairs"] == 1
    assert manifest.problems == {}


def test_bytes_that_are_no_text_are_refused_with_their_line(source, tmp_path):
    fill_folder(source / "images", PHOTOGRAPHS)
    path = source / "snli_ve_train.jsonl"
    path.write_bytes(path.read_bytes() + b'{"x": "\xe4"}\n')
    with pytest.raises(MueError, match=r"it is not UTF-8 text \(byte 0xe4 in line 3\)"):
        prepare_snli_ve(source, tmp_path / "out", write_texts)


def test_split_names_that_people_use_are_known_and_others_are_named(source, tmp_path):
    (source / "snli_ve_dev.jsonl").rename(source / "snli_ve_Validation.jsonl")
    (source / "snli_ve_test.jsonl").rename(source / "snli_ve_holdout.jsonl")
    fill_folder(source / "images", PHOTOGRAPHS)
    manifest = prepare_snli_ve(source, tmp_path / "out", write_texts)
    assert set(manifest.counts["entailment"]) == {"train", "val"}
    assert manifest.notes[:2] == (
        "no snli_ve_test.jsonl: no test split",
        "snli_ve_holdout.jsonl is not read: 'holdout' is no split that is known",
    )
    write_pairs(source / "snli_ve_dev.jsonl", [pair()])
    with pytest.raises(DataError, match="are the val split"):
        prepare_snli_ve(source, tmp_path / "again", write_texts)


def test_ids_that_are_names_and_ids_with_leading_zeros_are_kept_apart(source, tmp_path):
    photographs = {"007.png": picture("red"), "7.png": picture("blue"), "own.webp": picture("lime")}
    write_pairs(
        source / "snli_ve_train.jsonl",
        [pair("007", pair_id="a"), pair("7", pair_id="b"), pair("own.webp", pair_id="c")],
    )
    images = fill_folder(tmp_path / "mine", photographs)
    prepare_snli_ve(source, tmp_path / "out", write_texts, images=images)
    rows = PreparedData.open(tmp_path / "out").examples(ENTAILMENT, "train")
    assert [(row.image_id, row.image.getpixel((0, 0))) for row in rows] == [
        ("007", (255, 0, 0)),
        ("7", (0, 0, 255)),
        ("own.webp", (0, 255, 0)),
    ]


def test_two_photographs_with_one_number_are_a_problem_not_a_guess(source, tmp_path):
    fill_folder(source / "images", {**PHOTOGRAPHS, "11_other.jpg": picture(form="JPEG")})
    prepare_snli_ve(source, tmp_path / "out", write_texts)
    assert ("11.jpg#0r1e", "several files") in problems_in(tmp_path / "out")


def test_pairs_without_a_word_or_with_a_control_character_are_left_out(source, tmp_path):
    wordless = ["...", "-", "!!!", "\u200b", "“”"]
    pairs = [pair(pair_id=str(number), hypothesis=text) for number, text in enumerate(wordless)]
    pairs += [
        pair(premise="?"),
        pair(hypothesis="a\0dog"),
        pair(premise="a\x1bdog"),
        pair("1\x001"),
        '{"gold_label": "neutral", "gold_label": "entailment"}\n',
        pair(pair_id="kept", hypothesis="A\tdog\u2028sits 🐕"),
    ]
    write_pairs(source / "snli_ve_train.jsonl", pairs)
    fill_folder(source / "images", PHOTOGRAPHS)
    prepare_snli_ve(source, tmp_path / "out", write_texts)
    rows = PreparedData.open(tmp_path / "out").examples(ENTAILMENT, "train")
    assert [row.sample_id for row in rows] == ["kept"]
    lines = [line for line in problem_lines(tmp_path / "out") if not line.get("kept")]
    assert [(line["reason"], line["value"]) for line in lines] == [
        *(("no word in the text", f"sentence2: {text}") for text in wordless[:3]),
        ("no word in the text", "sentence2: \\u200b"),
        ("no word in the text", "sentence2: “”"),
        ("no word in the text", "sentence1: ?"),
        ("malformed field", "sentence2: a\\x00dog"),
        ("malformed field", "sentence1: a\\x1bdog"),
        ("malformed field", "Flickr30K_ID: 1\\x001"),
        ("malformed field", "entry: `gold_label` twice"),
    ]
