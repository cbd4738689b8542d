"""`mue predict` on a tiny model: what goes in by which door, what comes out, and what one bad
picture does.
"""

import base64
import io
import json
import os
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from forked import Forked
from PIL import Image
from prepared_data import picture
from typer.testing import CliRunner

from mue_cli.__main__ import main
from mue_cli.commands import predict
from mue_cli.commands.app import app
from mue_cli.data import pictures, tasks
from mue_cli.experiment import picture_page
from mue_cli.experiment.predict import PictureStream
from mue_cli.experiment.run_folder import Run

COLOURS = ("red", "blue", "green", "white", "black", "yellow")


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of six pictures, one of them in a subfolder, and things that are no pictures."""
    folder = tmp_path_factory.mktemp("album")
    for number, colour in enumerate(COLOURS[:5]):
        (folder / f"{number}.png").write_bytes(picture(colour, (20 + number, 30)))
    (folder / "more").mkdir()
    (folder / "more" / "5.JPG").write_bytes(picture(COLOURS[5], form="JPEG"))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(picture())
    return folder


@pytest.fixture
def ask(mue, tiny_run: Run):
    """Return the function that asks the tiny caption model."""
    return lambda *words: mue("predict", "--run", tiny_run.folder, *words)


@pytest.fixture
def judge(mue, tiny_demo, tmp_path: Path):
    """Return the function that asks the tiny entailment model."""
    folder = next(path.parent for path in tiny_demo[1].rglob("checkpoint.safetensors"))
    return lambda *words: mue("predict", "--run", folder, *words)


def lines(answer) -> list[dict]:
    """Parse JSON lines."""
    return [json.loads(line) for line in answer.stdout.splitlines()]


def names(answer) -> list[str]:
    return [Path(line["image"]).name for line in lines(answer)]


def test_a_picture_gives_its_path_and_a_caption_and_nothing_else(ask, album: Path) -> None:
    answer = ask(album / "0.png")
    assert answer.code == 0
    assert answer.stdout.startswith(f"{album / '0.png'}  ") and answer.stdout.count("\n") == 1
    assert answer.stderr == ""


def test_captions_stand_below_each_other(ask, album: Path) -> None:
    first, second = ask(album / "0.png", album / "more" / "5.JPG").stdout.splitlines()
    column = len(str(album / "more" / "5.JPG")) + 2
    assert (
        first[column - 1] == second[column - 1] == " "
        and first[column] != " "
        and second[column] != " "
    )


def test_a_folder_is_searched_with_its_subfolders_for_pictures_alone(ask, album: Path) -> None:
    answer = ask(album, "--json")
    assert names(answer) == ["0.png", "1.png", "2.png", "3.png", "4.png", "5.JPG"]
    assert answer.stderr == "1 file passed over, not named like pictures (notes.txt)\n"


def test_a_quoted_pattern_is_expanded(ask, album: Path) -> None:
    assert names(ask(f"{album}/[12].png", "--json")) == ["1.png", "2.png"]
    assert names(ask(f"{album}/**/*.JPG", "--json")) == ["5.JPG"]


def test_a_pattern_that_names_a_folder_and_its_files_gives_each_once(album: Path) -> None:
    found = pictures.find_pictures([f"{album}/more**"])
    assert found == [str(album / "more" / "5.JPG")]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(ask, tmp_path: Path) -> None:
    (tmp_path / "a[1].png").write_bytes(picture())
    (tmp_path / "a1.png").write_bytes(picture())
    assert names(ask(tmp_path / "a[1].png", "--json")) == ["a[1].png"]


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_a_dash_reads_paths_from_stdin(tiny_run: Run, album: Path, separator: str) -> None:
    listed = separator.join([str(album / "3.png"), "", str(album / "more"), ""])
    result = CliRunner().invoke(
        app, ["predict", "-", "--run", str(tiny_run.folder), "--json"], input=listed
    )
    assert [Path(json.loads(line)["image"]).name for line in result.stdout.splitlines()] == [
        "3.png",
        "5.JPG",
    ]


def test_order_is_that_of_the_command_line(ask, album: Path) -> None:
    assert names(
        ask(album / "4.png", album / "0.png", album / "2.png", album / "0.png", "--json")
    ) == ["4.png", "0.png", "2.png", "0.png"]


def test_a_batch_changes_no_caption_and_no_exit(ask, album: Path) -> None:
    one, many = (
        lines(ask(album, "--json", "--set", f"evaluation.batch_size={size}")) for size in (1, 4)
    )
    assert one == many


def test_exit_layers_of_a_line_are_one_per_stream_and_token(ask, album: Path) -> None:
    (line,) = lines(
        ask(
            album / "0.png",
            "--json",
            "--set",
            "exits.image=0.1",
            "--set",
            "exits.decoder=-1",
            "--set",
            "exits.text=2",
        )
    )
    assert (line["exit_layers"]["image"], line["exit_layers"]["text"]) == (1, 4)
    assert len(line["exit_layers"]["decoder"]) >= 1


def test_one_unreadable_picture_does_not_stop_the_others(ask, album: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    answer = ask(
        album / "0.png", tmp_path / "bad.png", tmp_path / "absent.png", album / "1.png", "--json"
    )
    assert answer.code == 1
    good, bad, absent, last = lines(answer)
    assert "caption" in good and "caption" in last
    assert set(bad) == set(absent) == {"image", "error"}
    assert absent["error"] == "no such file or directory"
    assert f"{tmp_path / 'bad.png'}: {bad['error']}" in answer.stderr
    assert "2 of 4 pictures could not be read" in answer.stderr


def test_text_has_no_line_for_an_unreadable_picture(ask, album: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    answer = ask(tmp_path / "bad.png", album / "0.png")
    assert (answer.code, answer.stdout.count("\n")) == (1, 1)


def test_pictures_that_exist_and_cannot_be_read_at_all_exit_with_1(ask, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    answer = ask(tmp_path / "bad.png", "--json")
    assert answer.code == 1 and "error" in lines(answer)[0]


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert list(pictures.read_pictures([str(tmp_path / "pipe.png")], 32)) == [
        pictures.Unreadable(str(tmp_path / "pipe.png"), "not a plain file")
    ]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2**30)
    (unreadable,) = pictures.read_pictures([str(tmp_path / "large.png")], 32)
    assert unreadable.reason == "larger than 256 MiB"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["absent.png"],
            "error: no pictures: `absent.png`: no such file or directory\nhint: name files, folders or patterns",
        ),
        (["*.nothing"], "error: no pictures: `*.nothing`: no file matches this pattern"),
        (["empty"], "error: no pictures: `empty`: no pictures in this folder"),
        (
            ["empty", "absent.png"],
            "error: no pictures: `empty`: no pictures in this folder (and 1 more like this)",
        ),
        (["x" * 5000], "file name too long"),
        (["-"], "error: no pictures: the list on stdin is empty\nhint: expected one path per line"),
        (
            ["0.png", "--premise", "x"],
            "error: --premise stands alone, expected --hypothesis beside it",
        ),
        (["0.png", "--hypothesis", " "], "error: --hypothesis is empty, expected a sentence"),
        (["0.png", "--hypothesis", "..."], 'error: --hypothesis is "...", which has no word'),
        (["0.png", "--hypothesis", "a", "--premise", "?!"], "error: --premise is "),
        (
            ["0.png", "--hypothesis", "x"],
            "writes captions and cannot judge a hypothesis\nhint: name an entailment model with --recipe",
        ),
        (["0.png", "--html", "0.png"], "error: `--html 0.png` does not end in .html"),
        (
            ["0.png", "--html", "page.html"],
            "error: cannot write `page.html`\nhint: name another file with --html",
        ),
        (
            ["0.png", "--html", "0.png/page.html"],
            "error: cannot make the folder `0.png`: File exists",
        ),
    ],
)
def test_users_mistake_is_said_before_the_model_is_loaded(
    ask, tmp_path: Path, monkeypatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PictureStream, "of", lambda *_, **__: pytest.fail("the model was loaded"))
    (tmp_path / "0.png").write_bytes(picture())
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.html").mkdir()
    answer = ask(*words)
    assert (answer.code, answer.stdout) == (2, "")
    assert message in answer.stderr


def test_without_thresholds_the_two_ways_out_are_named(
    mue, tiny_run: Run, album: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    (tmp_path / "run" / "thresholds.yaml").unlink()
    answer = mue("predict", album / "0.png", "--run", tmp_path / "run")
    assert answer.code == 2
    assert (
        f"hint: run: mue calibrate --run {tmp_path / 'run'}, or use --method full" in answer.stderr
    )
    assert mue("predict", album / "0.png", "--run", tmp_path / "run", "--method", "full").code == 0


def test_without_a_checkpoint_the_command_that_makes_one_is_named(
    mue, album: Path, tmp_path: Path
) -> None:
    answer = mue("predict", album / "0.png", "--run", tmp_path / "none")
    assert answer.code == 2 and "hint: run: mue finetune" in answer.stderr


def test_prepared_data_is_not_needed(mue, tiny_run: Run, album: Path) -> None:
    assert (
        mue(
            "predict",
            album / "0.png",
            "--run",
            tiny_run.folder,
            "--set",
            "data.root=/no/such/folder",
        ).code
        == 0
    )


def test_a_hypothesis_is_judged(judge, album: Path) -> None:
    answer = judge(album, "--hypothesis", "there is a red circle", "--json")
    assert answer.code == 0
    assert {line["answer"] for line in lines(answer)} <= {"yes", "no", "maybe"} and len(
        lines(answer)
    ) == 6


def test_a_question_that_is_cut_is_said(judge, album: Path) -> None:
    long = ("--hypothesis", "a " * 80 + "red circle")
    full = ("--method", "full")  # thresholds hold for the limit that they were searched with
    answer = judge(album, *long, "--json", *full, "--set", "data.max_source_tokens=128")
    said = "the hypothesis has 82 words, the first 80 are asked"
    assert answer.stderr.count(said) == 1
    assert {line["remark"] for line in lines(answer)} == {said}
    short = judge(album / "0.png", "--hypothesis", "a red circle", "--json")
    assert short.stderr == "" and "remark" not in lines(short)[0]
    limit = ("--set", "data.max_source_tokens=2")
    words = ("--hypothesis", "a red circle", "--json", *full, *limit)
    (line,) = lines(judge(album / "0.png", *words))
    assert "tokens, the first 2 are read: shorten it" in line["remark"]


def test_a_picture_that_ends_early_is_answered_and_remarked(
    ask, album: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 4])
    page, table = tmp_path / "page.html", tmp_path / "a.csv"
    answer = ask(tmp_path / "cut.jpg", album / "0.png", "--json", "--html", page)
    cut, whole = lines(answer)
    assert "ends too early" in cut["remark"] and "remark" not in whole and "caption" in cut
    assert f"{tmp_path / 'cut.jpg'}: {cut['remark']}\n" in answer.stderr and answer.code == 0
    assert cut["remark"] in read(page).text
    assert ask(tmp_path / "cut.jpg", "--out", table).code == 0
    assert table.read_text(encoding="utf-8-sig").splitlines()[1].endswith(f",,{cut['remark']}")


def test_a_premise_goes_with_the_hypothesis(judge, album: Path, monkeypatch) -> None:
    asked: list[str] = []
    real = tasks.ENTAILMENT.source

    def source(question, bare):
        asked.append(real(question, bare))
        return asked[-1]

    monkeypatch.setitem(tasks.TASKS, "entailment", replace(tasks.ENTAILMENT, source=source))
    assert (
        judge(album / "0.png", "--premise", "A dog-like cat", "--hypothesis", "An animal").code == 0
    )
    assert asked == [" a dog like cat an animal"]


def test_an_answer_is_explained_in_one_step(judge, album: Path, tmp_path: Path) -> None:
    (line,) = lines(
        judge(
            album / "0.png",
            "--hypothesis",
            "a red circle",
            "--json",
            "--explain",
            "--html",
            tmp_path / "page.html",
        )
    )
    (step,) = line["explain"]["steps"]
    assert step["token"] == f" {line['answer']}"
    assert [step["exit_layer"]] == line["exit_layers"]["decoder"]
    assert "hypothesis: a red circle" in read(tmp_path / "page.html").text


def test_an_entailment_model_asks_for_a_sentence(judge, album: Path) -> None:
    answer = judge(album / "0.png")
    assert answer.code == 2
    assert 'judges sentences, and none was given\nhint: add --hypothesis "..."' in answer.stderr


def test_explain_prints_a_line_per_stream_and_token_with_the_exit_marked(
    ask, album: Path, tmp_path: Path
) -> None:
    words = ("--set", "exits.image=-1", "--set", "exits.text=2", "--set", "exits.decoder=2")
    answer = ask(album / "0.png", "--explain", "--html", tmp_path / "page.html", *words)
    _, head, image, text, *steps = answer.stdout.rstrip("\n").split("\n")
    assert head.split() == ["1", "2", "3", "4", "exit", "threshold"]
    assert (
        image.split()[0] == "image"
        and image.split()[1].endswith("<")
        and image.split()[2:] == ["-"] * 3 + ["1", "-1.0000"]
    )
    assert text.split()[0] == "text" and "<" not in text and text.split()[-2:] == ["4", "-"]
    assert len(steps) >= 1 and all(step.split()[-2:] == ["4", "-"] for step in steps)
    assert "similarity of a layer's output to its input" in answer.stderr
    assert f"page: {tmp_path / 'page.html'}" in answer.stderr


def test_strip_is_coloured_on_a_terminal_only(
    ask, album: Path, tmp_path: Path, monkeypatch
) -> None:
    assert "\x1b" not in ask(album / "0.png", "--explain", "--html", tmp_path / "page.html").stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert "\x1b[" in ask(album / "0.png", "--explain", "--html", tmp_path / "page.html").stdout


def test_explain_in_json_says_what_the_trace_says(ask, album: Path, tmp_path: Path) -> None:
    for line in lines(ask(album, "--explain", "--json", "--html", tmp_path / "page.html")):
        streams, steps = line["explain"]["streams"], line["explain"]["steps"]
        for name in ("image", "text"):
            assert (
                streams[name]["exit_layer"]
                == len(streams[name]["exit_scores"])
                == line["exit_layers"][name]
            )
        spoken = [step for step in steps if step["token"] is not None]
        assert [step["exit_layer"] for step in spoken] == line["exit_layers"]["decoder"]
        assert spoken[-1]["token"] == "</s>"
        assert (
            "".join(step["token"] for step in spoken[:-1]).split() == line["caption"].split()
            or line["caption"] == ""
        )


def test_json_has_no_infinity_for_a_threshold_that_never_fires(
    ask, album: Path, tmp_path: Path
) -> None:
    words = (
        "--set",
        "exits.text=2",
        "--set",
        "exits.full_depth_steps=2",
        "--set",
        "exits.image=0.9",
        "--set",
        "exits.decoder=0.9",
    )
    (line,) = lines(
        ask(album / "0.png", "--explain", "--json", "--html", tmp_path / "page.html", *words)
    )
    assert line["explain"]["streams"]["text"]["threshold"] is None
    assert [step["threshold"] for step in line["explain"]["steps"]][:2] == [None, None]


def test_page_goes_to_the_run_folder_when_no_other_place_is_named(
    mue, tiny_run: Run, album: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    assert mue("predict", album / "0.png", "--run", tmp_path / "run", "--explain").code == 0
    assert (tmp_path / "run" / "explain.html").is_file()


def test_page_alone_prints_no_strip(ask, album: Path, tmp_path: Path) -> None:
    assert ask(album / "0.png", "--html", tmp_path / "page.html").stdout.count("\n") == 1


class Reader(HTMLParser):
    """Collects tags and the sources of images."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_page_embeds_every_picture_and_loads_nothing(ask, album: Path, tmp_path: Path) -> None:
    ask(album, "--html", tmp_path / "page.html")
    page = read(tmp_path / "page.html")
    assert page.tags.count("section") == page.tags.count("img") == 6
    assert len(page.sources) == 6 and all(
        source.startswith("data:image/jpeg;base64,/9j/") for source in page.sources
    )
    assert "http" not in (tmp_path / "page.html").read_text(encoding="utf-8").replace(
        "http-equiv", ""
    )


def test_picture_on_the_page_is_the_one_that_was_asked_about(
    ask, album: Path, tmp_path: Path
) -> None:
    ask(album / "1.png", "--html", tmp_path / "page.html")
    page = read(tmp_path / "page.html")
    assert "one picture" in page.text
    (source,) = page.sources
    shown = Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))))
    assert shown.size == (21, 30)
    assert np.allclose(shown.getpixel((10, 10)), (0, 0, 255), atol=4)


def test_a_script_in_a_file_name_is_text_on_the_page(ask, tmp_path: Path) -> None:
    name = "<script>alert(1)<"
    (tmp_path / f"{name}.png").write_bytes(picture())
    ask(tmp_path / f"{name}.png", "--html", tmp_path / "page.html")
    page = read(tmp_path / "page.html")
    assert "script" not in page.tags and "<script>alert(1)" in page.text


def test_page_stops_at_a_hundred_pictures_and_says_so(
    ask, tmp_path: Path, album: Path, monkeypatch
) -> None:
    monkeypatch.setattr(picture_page, "MAX_SECTIONS", 2)
    answer = ask(album, "--html", tmp_path / "page.html")
    page = read(tmp_path / "page.html")
    assert (page.tags.count("section"), answer.stdout.count("\n")) == (2, 6)
    assert "the first 2 of 6 pictures" in page.text


def test_many_pictures_have_progress_and_few_have_none(ask, album: Path, monkeypatch) -> None:
    assert "predict" not in ask(album).stderr
    monkeypatch.setattr(predict, "MANY", 5)
    assert "predict  6/6" in ask(album).stderr


def test_interruption_says_how_many_were_done_and_keeps_the_page(
    ask, album: Path, tmp_path: Path, monkeypatch
) -> None:
    def stop_at(line: str) -> None:
        if "2.png" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr(predict, "answer", stop_at)
    answer = ask(album, "--html", tmp_path / "page.html")
    assert answer.code == 130
    assert "stopped: 2 of 6 pictures were done" in answer.stderr
    assert read(tmp_path / "page.html").tags.count("section") == 2


def test_terminal_commands_in_a_file_name_are_not_passed_on(ask, tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m\n.png").write_bytes(picture())
    answer = ask(tmp_path / "a\x1b[31m\n.png")
    assert (
        "a\\x1b[31m\\n.png" in answer.stdout
        and "\x1b" not in answer.stdout
        and answer.stdout.count("\n") == 1
    )


def test_a_file_name_that_is_no_utf8_survives_json_and_text(ask, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Path(name).write_bytes(picture())
    assert json.loads(ask(name, "--json").stdout)["image"] == name
    assert "caf\\udce9.png" in ask(name, "--html", tmp_path / "page.html").stdout


def test_a_reader_that_goes_away_is_no_traceback(tiny_run: Run, album: Path) -> None:
    words = ["predict", *[album] * 3, "--run", tiny_run.folder, "--set", "evaluation.batch_size=1"]

    def work() -> None:
        os.close(reader)
        sys.argv[1:] = map(str, words)
        main()

    reader, writer = os.pipe()
    process = Forked(work, stdout=writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as answer:  # noqa: PTH123
        answer.readline()
    ended = process.ended()
    assert ended.code in (0, 1)  # 0 where all was said before the reader left
    assert "Traceback" not in ended.stderr and "BrokenPipe" not in ended.stderr


def test_thumbnails_are_small_and_carry_nothing_of_the_file_but_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.new("RGB", (2000, 1000), "red").save(tmp_path / "a.jpg", exif=exif)
    first, second = pictures.read_pictures([str(tmp_path / "a.jpg")] * 2, 32, num_thumbnails=1)
    assert second.thumbnail is None and first.image.size == (32, 32)
    assert b"taken at home" not in first.thumbnail
    assert Image.open(io.BytesIO(first.thumbnail)).size == (480, 240)
