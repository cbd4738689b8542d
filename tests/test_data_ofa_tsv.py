"""OFA's own tab-separated files."""

import base64
import tracemalloc

import pytest
from prepared_data import picture, problems_in, write_texts

from mue_cli.data.problems import Problems
from mue_cli.data.sources import ofa_tsv
from mue_cli.data.sources.coco import prepare_coco
from mue_cli.data.sources.ofa_tsv import read_captions, read_pairs
from mue_cli.data.sources.snli_ve import prepare_snli_ve
from mue_cli.data.sources.tsv_files import CAPTION_FILE, PAIR_FILE, TsvFiles, find_files
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import CAPTION, ENTAILMENT
from mue_cli.errors import DataError


def encoded(content, url_safe=False):
    return (base64.urlsafe_b64encode if url_safe else base64.b64encode)(content).decode()


RED, BLUE = encoded(picture("red")), encoded(picture("blue"), url_safe=True)


def write_lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    return path


def caption(image_id, text, image=RED, number="0"):
    return (number, image_id, text, "sky&&water", image)


def pair(image_id, hypothesis, label="entailment", pair_id="1", premise="A premise.", image=RED):
    return (pair_id, image_id, image, hypothesis, premise, label)


def listed(problems):
    return [(problem.source, problem.item, problem.reason) for problem in problems.listed]


def test_stage_1_has_a_caption_a_line_and_each_picture_is_stored_once(tmp_path):
    source = tmp_path / "caption_data"
    lines = [caption("7", "One."), caption("9", "Another.", BLUE), caption("7", "Two.")]
    write_lines(source / "caption_stage1_train.tsv", *lines)
    write_lines(source / "caption_val.tsv", caption("12", "Three.&&Four.", BLUE))
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    data = PreparedData.open(tmp_path / "out")
    assert [(row.image_id, row.references) for row in data.examples(CAPTION, "train")] == [
        ("7", ("One.", "Two.")),
        ("9", ("Another.",)),
    ]
    assert [row.references for row in data.examples(CAPTION, "val")] == [("Three.", "Four.")]
    assert [row.image.getpixel((0, 0)) for row in data.examples(CAPTION, "train")] == [
        (255, 0, 0),
        (0, 0, 255),
    ]
    assert manifest.num_images == 3
    assert manifest.problems == {}
    assert manifest.notes == ("OFA's own files",)
    assert [file["path"] for file in manifest.sources["tsv"]] == [
        str(source / f"caption_{part}.tsv") for part in ("stage1_train", "val")
    ]


def test_stage_2_goes_before_stage_1(tmp_path):
    for name in ("caption_stage1_train.tsv", "caption_stage2_train.tsv", "caption_test.tsv"):
        (tmp_path / name).touch()
    files = find_files(tmp_path, CAPTION_FILE)
    assert {split: path.name for split, path in files.of_split.items()} == {
        "train": "caption_stage2_train.tsv",
        "test": "caption_test.tsv",
    }
    assert files.notes == ("caption_stage1_train.tsv is not read beside caption_stage2_train.tsv",)


@pytest.mark.parametrize("stages", [("", "stage1_"), ("stage2_", ""), ("", "stage1_", "stage2_")])
def test_a_file_without_a_stage_beside_one_with_a_stage_is_refused(tmp_path, stages):
    for stage in stages:
        (tmp_path / f"caption_{stage}train.tsv").touch()
    with pytest.raises(DataError, match=r"^both .*caption_train.tsv.* are the train split"):
        find_files(tmp_path, CAPTION_FILE)


def test_pairs_in_two_forms_are_refused(tmp_path):
    for name in ("snli_ve_dev.tsv", "snli_ve_train.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="in two forms: OFA's snli_ve_dev"):
        prepare_snli_ve(tmp_path, tmp_path / "out", write_texts)


def test_files_that_are_not_read_are_named(tmp_path):
    write_lines(tmp_path / "snli_ve_dev.tsv", pair("6", "Who knows."))
    manifest = prepare_snli_ve(tmp_path, tmp_path / "out", write_texts, images=tmp_path / "mine")
    assert f"{tmp_path / 'mine'} is not read: OFA's files hold their pictures" in manifest.notes


def test_split_names_that_people_use_are_known_and_others_are_named(tmp_path):
    for name in ("snli_ve_training.tsv", "snli_ve_Validation.TSV", "snli_ve_holdout.tsv"):
        (tmp_path / name).touch()
    files = find_files(tmp_path, PAIR_FILE)
    assert {split: path.name for split, path in files.of_split.items()} == {
        "train": "snli_ve_training.tsv",
        "val": "snli_ve_Validation.TSV",
    }
    assert files.notes == ("snli_ve_holdout.tsv is not read: 'holdout' is no split that is known",)
    (tmp_path / "snli_ve_dev.tsv").touch()
    with pytest.raises(DataError, match=r"both .* are the val split"):
        find_files(tmp_path, PAIR_FILE)


def test_snli_ve_lines_become_pairs(tmp_path):
    source = tmp_path / "snli_ve_data"
    write_lines(
        source / "snli_ve_train.tsv",
        pair("5", "It is red.", pair_id="5.jpg#1r1n"),
        pair("5", "It is blue.", "contradiction", "b"),
    )
    write_lines(
        source / "snli_ve_dev.tsv", pair("6", "Who knows.", "neutral", premise="", image=BLUE)
    )
    prepare_snli_ve(source, tmp_path / "out", write_texts)
    data = PreparedData.open(tmp_path / "out")
    assert [(row.sample_id, row.target) for row in data.examples(ENTAILMENT, "train")] == [
        ("5.jpg#1r1n", "yes"),
        ("b", "no"),
    ]
    assert [row.source for row in data.examples(ENTAILMENT, "val")] == [
        ' does the image describe " who knows. "?'
    ]
    assert "a premise." in data.examples(ENTAILMENT, "train")[0].source


@pytest.mark.parametrize(
    "text",
    [
        encoded(b"\xfb\xff\xfe?"),
        encoded(b"\xfb\xff\xfe?", url_safe=True),
        encoded(b"\xfb\xff\xfe?").rstrip("="),
    ],
)
def test_base64_is_read_in_both_alphabets_with_and_without_padding(tmp_path, text):
    problems = Problems()
    path = write_lines(tmp_path / "x.tsv", caption("1", "Text.", text))
    data = read_captions(TsvFiles({"val": path}), problems)
    assert list(data.read(())) == [("1", b"\xfb\xff\xfe?")]


def test_lines_that_cannot_be_used_are_problems(tmp_path):
    path = write_lines(
        tmp_path / "x.tsv",
        caption("1", "Fine."),
        ("two", "columns"),
        caption(" ", "No image."),
        ("",),
        caption("2", " . "),
        caption("1", "Another picture.", BLUE),
    )
    with path.open("ab") as file:
        file.write(
            b"0\t3\t\xff\xfe\t-\t"
            + RED.encode()
            + b"\r\n"
            + "\t".join(caption("4", "Windows.")).encode()
            + b"\r\n"
        )
        file.write("\t".join(caption("5", "No line end.")).encode())
    problems = Problems()
    data = read_captions(TsvFiles({"val": path}), problems)
    assert [(row.image_id, row.captions) for row in data.captions["val"]] == [
        ("1", ("Fine.",)),
        ("4", ("Windows.",)),
        ("5", ("No line end.",)),
    ]
    assert listed(problems) == [
        ("x.tsv", "line 2", "malformed field"),
        ("x.tsv", "line 3", "malformed field"),
        ("x.tsv", "line 5", "no word in the text"),
        ("x.tsv", "line 6", "several pictures under one id"),
        ("x.tsv", "line 7", "malformed field"),
    ]
    assert [problem.value for problem in problems.listed] == [
        "columns: 2, expected 5",
        "image-id: absent",
        ".",
        "1",
        "no UTF-8: b'\\xff\\xfe'",
    ]
    assert [image_id for image_id, _ in data.read(())] == ["1", "4", "5"]


def test_pairs_that_cannot_be_used_are_problems_and_ids_are_unique(tmp_path):
    rows = [
        pair("1", "A.", pair_id="p"),
        pair("1", "B.", pair_id="p"),
        pair("1", "C.", pair_id=""),
        pair("1", ""),
        pair("1", "D.", "yes"),
    ]
    problems = Problems()
    data = read_pairs(TsvFiles({"test": write_lines(tmp_path / "x.tsv", *rows)}), problems)
    assert [row.pair_id for row in data.pairs["test"]] == ["p", "p-x-2", "x-3"]
    assert listed(problems) == [
        ("x.tsv", "line 4", "no word in the text"),
        ("x.tsv", "line 5", "other label"),
    ]


def test_texts_without_a_word_or_with_a_control_character_are_problems(tmp_path):
    problems = Problems()
    rows = [
        pair("1", "...", pair_id="a"),
        pair("1", "A dog.", pair_id="b", premise="“”"),
        pair("1", "A\0dog.", pair_id="c"),
        pair("1\0", "A dog.", pair_id="d"),
        pair("1", "A dog.", pair_id="e\0"),
        pair("1", "A dog.", pair_id="kept"),
    ]
    read = read_pairs(TsvFiles({"test": write_lines(tmp_path / "x.tsv", *rows)}), problems)
    assert [row.pair_id for row in read.pairs["test"]] == ["kept"]
    lines = [caption("1", "A dog&&…&&a\0cat"), caption("2\0", "A cat.", BLUE)]
    read = read_captions(TsvFiles({"val": write_lines(tmp_path / "y.tsv", *lines)}), problems)
    assert [(row.image_id, row.captions) for row in read.captions["val"]] == [("1", ("A dog",))]
    assert [(problem.reason, problem.value) for problem in problems.listed] == [
        ("no word in the text", "hypothesis: ..."),
        ("no word in the text", "premise: “”"),
        ("malformed field", "hypothesis: A\\x00dog."),
        ("malformed field", "image-id: 1\\x00"),
        ("malformed field", "pair_id: e\\x00"),
        ("no word in the text", "…"),
        ("malformed field", "caption: a\\x00cat"),
        ("malformed field", "image-id: 2\\x00"),
    ]


def test_pictures_that_are_none_are_problems_and_their_rows_are_left_out(tmp_path):
    source = tmp_path / "data"
    rows = [
        caption("1", "Fine."),
        caption("2", "No base64.", "***"),
        caption("3", "No picture.", encoded(b"junk")),
    ]
    write_lines(source / "caption_val.tsv", *rows)
    manifest = prepare_coco(source, tmp_path / "out", write_texts)
    assert manifest.num_images == 1
    assert problems_in(tmp_path / "out") == [
        ("2", "broken picture"),
        ("3", "not a picture"),
    ]


def test_lines_too_long_are_refused_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(ofa_tsv, "MAX_LINE_BYTES", 2000)
    rows = [
        caption("1", "Fine."),
        caption("2", "Long.", "A" * 10_000),
        caption("3", "Fine too.", BLUE),
    ]
    problems = Problems()
    data = read_captions(TsvFiles({"val": write_lines(tmp_path / "x.tsv", *rows)}), problems)
    assert listed(problems) == [("x.tsv", "line 2", "too large")]
    assert list(data.read(())) == [
        ("1", picture("red")),
        ("3", picture("blue")),
    ]


def test_nothing_usable_is_an_error(tmp_path):
    write_lines(tmp_path / "caption_val.tsv", ("nothing",))
    with pytest.raises(DataError, match=r"nothing is left of coco \(malformed field: 1\)"):
        prepare_coco(tmp_path, tmp_path / "out", write_texts)


def test_pictures_are_never_all_in_memory(tmp_path):
    image = encoded(bytes(300_000))
    path = write_lines(
        tmp_path / "x.tsv", *(caption(str(number), "Text.", image) for number in range(60))
    )
    problems = Problems()
    tracemalloc.start()
    data = read_captions(TsvFiles({"train": path}), problems)
    assert sum(1 for _ in data.read(())) == 60
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * len(image)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_files_with_a_byte_order_mark_are_read(tmp_path, encoding):
    mark = "\ufeff" if encoding.endswith("-le") else ""
    lines = ("\t".join(caption(str(number), f"Größe {number}.")) for number in (1, 2))
    path = tmp_path / "caption_val.tsv"
    path.write_text(mark + "\r\n".join(lines), encoding=encoding, newline="")
    manifest = prepare_coco(tmp_path, tmp_path / "out", write_texts)
    assert manifest.problems == {}
    rows = PreparedData.open(tmp_path / "out").examples(CAPTION, "val")
    assert [(row.image_id, row.references) for row in rows] == [
        ("1", ("Größe 1.",)),
        ("2", ("Größe 2.",)),
    ]


def test_files_that_number_their_pictures_each_from_one_keep_them_apart(tmp_path):
    write_lines(tmp_path / "caption_stage1_train.tsv", caption("1", "Red."))
    write_lines(tmp_path / "caption_val.tsv", caption("1", "Blue.", BLUE))
    prepare_coco(tmp_path, tmp_path / "out", write_texts)
    data = PreparedData.open(tmp_path / "out")
    rows = [data.examples(CAPTION, split)[0] for split in ("train", "val")]
    assert [(row.image_id, row.image.getpixel((0, 0))) for row in rows] == [
        ("1", (255, 0, 0)),
        ("1", (0, 0, 255)),
    ]
