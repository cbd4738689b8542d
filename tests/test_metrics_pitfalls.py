"""What captions and machines do to METEOR and the PTB tokeniser: the pitfalls that users of
coco-caption have reported.
"""

import gzip
import os
import sys
import time
from pathlib import Path

import pytest
from coco_captions import leave_one_out

from mue_cli.errors import MueError
from mue_cli.metrics import java, meteor, programs
from mue_cli.metrics.captioning import score_captions
from mue_cli.metrics.programs import caption_tokenizer
from mue_cli.metrics.tokens import Tokenizer, plain_tokenize

needs_java = pytest.mark.skipif(
    java.find_java() is None, reason="needs Java: METEOR and the PTB tokeniser are Java programs"
)

METEOR = programs.pycocoevalcap_folder() / "meteor"

# Answers like METEOR, after more complaints than a pipe holds.
TALKATIVE = """
sys.stderr.write("a warning\\n" * 100_000)
for line in sys.stdin:
    fields = line.rstrip("\\n").split(" ||| ")
    answers = ["1 2 3"] if fields[0] == "SCORE" else ["0.5"] * len(fields)
    print("\\n".join(answers), flush=True)
"""


@pytest.fixture
def program(tmp_path):
    """Return a function that writes a program in the place of Java."""

    def write(script: str) -> str:
        path = tmp_path / "java"
        path.write_text(
            f"#!{sys.executable}\nimport os, signal, sys, time\n{script}\n", encoding="utf-8"
        )
        path.chmod(0o755)
        return str(path)

    return write


@needs_java
@pytest.mark.parametrize(
    "mark", ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"]
)
def test_a_line_break_inside_a_caption_does_not_shift_captions_to_other_images(mark):
    assert caption_tokenizer()([f"a dog{mark}runs.", f"{mark}a cat", "the end"]) == [
        "a dog runs",
        "a cat",
        "the end",
    ]


@needs_java
def test_signs_that_ptb_knows_and_signs_that_it_does_not():
    captions = [
        "",
        "The cat's hat",
        "l'été 🐶 (big)",
        "a ||| b",
        "犬 runs",
        "\u201cso\u201d \u2013 it\u2019s",
        "broken \ud800 text",
    ]
    expected = [
        "",
        "the cat 's hat",
        "l'été -lrb- big -rrb-",
        "a | | | b",
        "犬 runs",
        "so it 's",
        "broken text",
    ]
    assert caption_tokenizer()(captions) == expected


@needs_java
def test_tokens_do_not_depend_on_the_locale_of_the_shell(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("LANG", "C")
    assert caption_tokenizer()(["l'été à Zürich"]) == ["l'été à zürich"]


@needs_java
def test_meteor_of_hostile_captions_under_options_that_beat_the_command_line(monkeypatch, tmp_path):
    """One start of METEOR for: decimal comma, line breaks, `|||`, empty captions, letters that
    ASCII lacks. Its table of paraphrases, which takes seconds to read, has no part in them.
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "paraphrase-en.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "meteor-1.5.jar").symlink_to(METEOR / "meteor-1.5.jar")
    monkeypatch.setenv(
        "_JAVA_OPTIONS",
        "-Duser.language=it -Duser.country=IT -Duser.language.format=it -Dfile.encoding=ASCII",
    )
    references = [["a dog runs"], ["a dog runs"], ["a dog runs"], ["a cat"], ["été à zürich"]]
    total, each = meteor.meteor(
        tmp_path,
        java.need_java(),
        references,
        ["a dog runs", "a dog\nruns\r\n", "a ||| dog runs", "", "été à zürich"],
    )
    assert each[0] == pytest.approx(1.0, abs=0.01)
    assert each[:3] == [each[0]] * 3
    assert each[3] == 0.0
    assert each[4] == pytest.approx(1.0, abs=0.02)
    assert 0.5 < total < 1.0


def test_captions_without_a_word_score_zero_and_are_counted(monkeypatch):
    monkeypatch.setattr(
        programs, "choose_tokenizer", lambda jar: Tokenizer("plain", plain_tokenize)
    )
    results = score_captions(
        {"1": " ", "2": "a dog runs far"},
        {"1": ["a cat"], "2": ["a dog runs far", "!"]},
        ("BLEU", "ROUGE-L", "CIDEr"),
    )
    assert {
        metric: each["1"] for metric, each in results.per_image.items() if "BLEU" not in metric
    } == {"ROUGE-L": 0.0, "CIDEr": 0.0}
    assert results.per_image["BLEU-1"]["1"] == pytest.approx(0.0, abs=1e-3)
    assert any(note.startswith("1 of 2 captions have no word") for note in results.notes)
    assert "1 reference captions have no word" in results.notes


def test_cider_of_a_single_image_is_zero_and_said_to_be_so(monkeypatch):
    monkeypatch.setattr(java, "find_java", lambda: None)
    results = score_captions({"1": "a dog"}, {"1": ["a dog"]}, ("CIDEr",))
    assert results.scores["CIDEr"] == 0.0
    assert any("single image" in note for note in results.notes)


def test_order_of_the_predictions_does_not_matter(monkeypatch):
    monkeypatch.setattr(java, "find_java", lambda: None)
    predictions, references = leave_one_out(20)
    turned = dict(reversed(predictions.items()))
    metrics = ("BLEU", "ROUGE-L", "CIDEr")
    assert (
        score_captions(turned, references, metrics).per_image
        == score_captions(predictions, references, metrics).per_image
    )


def test_mue_java_that_is_no_program_is_an_error(monkeypatch):
    monkeypatch.setenv("MUE_JAVA", "/no/such/java")
    with pytest.raises(MueError, match="MUE_JAVA is '/no/such/java'"):
        java.find_java()


def test_java_that_fails_is_told_with_its_own_words(program, monkeypatch):
    monkeypatch.setenv("MUE_JAVA", program("sys.exit('Error: no room for the heap')"))
    results = score_captions({"1": "a dog"}, {"1": ["a dog"]}, ("METEOR", "ROUGE-L"))
    assert "the PTB tokeniser failed: Error: no room for the heap" in results.left_out["METEOR"]
    assert results.scores["ROUGE-L"] == 100.0


def test_java_of_another_machine_is_told(tmp_path):
    (tmp_path / "java").write_bytes(b"\x00\x01")
    (tmp_path / "java").chmod(0o755)
    with pytest.raises(java.UnavailableError, match="METEOR cannot be run: Exec format error"):
        meteor.meteor(METEOR, str(tmp_path / "java"), [["a dog"]], ["a dog"])


def test_meteor_that_hangs_is_stopped(program, monkeypatch):
    monkeypatch.setattr(meteor, "_SECONDS_TO_START", 0.3)
    with pytest.raises(java.UnavailableError, match="METEOR gave no answer within 0 s"):
        meteor.meteor(METEOR, program("time.sleep(60)"), [["a dog"]], ["a dog"])


def test_meteor_that_dies_says_why(program):
    dying = program(
        "sys.exit('Exception: paraphrase-en.gz not found\\n  at Meteor.main\\n\\t... 3 more')"
    )
    with pytest.raises(
        java.UnavailableError, match=r"METEOR failed: Exception: paraphrase-en\.gz not found$"
    ):
        meteor.meteor(METEOR, dying, [["a dog"]], ["a dog"])


def test_meteor_that_is_killed_says_that_memory_may_be_short(program):
    with pytest.raises(
        java.UnavailableError,
        match="METEOR failed: it was killed, which happens when memory runs out",
    ):
        meteor.meteor(
            METEOR, program("os.kill(os.getpid(), signal.SIGKILL)"), [["a dog"]], ["a dog"]
        )


@pytest.mark.parametrize(
    "answers",
    [
        "print('1 2', flush=True); print('0,5')",
        "print('1 2', flush=True); print('\\n')",
        "print(flush=True)",
    ],
)
def test_meteor_that_answers_nonsense_is_left_out_and_gone(program, answers):
    with pytest.raises(java.UnavailableError, match="METEOR failed"):
        meteor.meteor(
            METEOR, program(f"{answers}\nfor line in sys.stdin: pass"), [["a dog"]], ["a dog"]
        )


def test_meteor_with_many_complaints_does_not_block(program):
    assert meteor.meteor(METEOR, program(TALKATIVE), [["a dog"], ["a cat"]], ["a dog", "cats"]) == (
        0.5,
        [0.5, 0.5],
    )


def test_tokeniser_with_many_complaints_does_not_block(program, monkeypatch):
    monkeypatch.setenv(
        "MUE_JAVA",
        program(
            "sys.stderr.write('a warning\\n' * 100_000)\nfor line in sys.stdin: print(line, end='')"
        ),
    )
    tokenizer = caption_tokenizer()
    assert tokenizer.name == "PTB"
    assert tokenizer(["a dog"] * 20_000) == ["a dog"] * 20_000


def test_ctrl_c_stops_meteor_and_comes_through(program, tmp_path, monkeypatch):
    """pycocoevalcap's wrapper waits for its own lock for ever."""
    java_program = program(
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )

    def interrupt(process):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(meteor, "_hear", interrupt)
    with pytest.raises(KeyboardInterrupt):
        meteor.meteor(METEOR, java_program, [["a dog"]], ["a dog"])
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_package_without_its_files_says_how_to_get_them(tmp_path):
    with pytest.raises(java.UnavailableError) as error:
        meteor.meteor(tmp_path, "java", [["a dog"]], ["a dog"])
    assert error.value.reason == f"{tmp_path / 'meteor-1.5.jar'} is missing"
    assert error.value.fix == "run: pip install --force-reinstall --no-deps pycocoevalcap"


def test_path_that_java_would_cut_in_two_is_explained():
    with pytest.raises(java.UnavailableError, match=f"its path holds '{os.pathsep}'"):
        java.java_command("java", [Path(f"/a{os.pathsep}b/c.jar")], "Main")


@pytest.mark.parametrize(
    ("complaints", "said"),
    [
        (
            "Exception in thread main\n\tat A.b\nCaused by: C\n\tat D.e\n\t... 12 more\n",
            "Caused by: C",
        ),
        (
            "Unrecognized option: --x\nError: Could not create the Java Virtual Machine.\n",
            "Unrecognized option: --x",
        ),
        ("Picked up JAVA_TOOL_OPTIONS: -Dx=y\n", "it said nothing"),
        ("boom\n[main] INFO edu.stanford.nlp.Pipeline - loading\n", "boom"),
        ("", "it said nothing"),
    ],
)
def test_last_line_is_the_one_that_says_what_happened(complaints, said):
    assert java.last_line(complaints.encode()) == said


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', (17, "17.0.15")),
        ('java version "1.8.0_402"', (8, "1.8.0_402")),
        ('x version "25"', (25, "25")),
    ],
)
def test_versions_of_java(program, says, version):
    assert java.java_version(program(f"sys.stderr.write({says!r})")) == version


def test_java_that_is_only_a_name_is_told(program):
    """macOS has a java that only says where to get one."""
    with pytest.raises(
        java.UnavailableError, match="does not say its version: Unable to locate a Java Runtime"
    ) as error:
        java.java_version(program("sys.exit('Unable to locate a Java Runtime.')"))
    assert "apt install default-jre-headless" in str(error.value.fix)


def test_memory_for_java_is_bounded():
    assert 1024 <= int(java.heap(4).removesuffix("M")) <= 4096
    assert java.heap(0) == "1024M"
