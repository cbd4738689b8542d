"""`mue predict --out`: a file of answers that is gone on with, and `--compare`."""

import csv
import json
import os
import time
from pathlib import Path

import pytest
from prepared_data import picture

from mue_cli.errors import DataError, MueError
from mue_cli.experiment import answer_file, answers
from mue_cli.experiment.answer_file import AnswerFile, settings_path, writing
from mue_cli.experiment.beside import Beside, Savings
from mue_cli.experiment.predict import _sizes
from mue_cli.experiment.progress import Rate
from mue_cli.experiment.run_folder import Run

COLUMNS = ("image", "caption", "image layer", "decoder layer", "error")
ROWS = [
    {"image": "a.png", "caption": 'a "red" dot', "exit_layers": {"image": 2, "decoder": [1, 2]}},
    {"image": "b\n.png", "error": "not a plain file"},
    {"image": "=c.png", "caption": "", "exit_layers": {"image": 6, "decoder": [6]}},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of five pictures and one that is none."""
    for number, colour in enumerate(("red", "blue", "green", "white", "black")):
        (tmp_path / "album").mkdir(exist_ok=True)
        (tmp_path / "album" / f"{number}.png").write_bytes(picture(colour, (20 + number, 30)))
    (tmp_path / "album" / "5.png").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def ask(mue, tiny_run: Run, folder: Path):
    """Return the function that asks the tiny caption model about all of them."""
    return lambda *words: mue("predict", "--run", tiny_run.folder, folder / "album", *words)


def written(path: Path, rows: list[dict], **settings: object) -> AnswerFile:
    """Add rows to a file, and return it as it was opened."""
    with writing(path, COLUMNS, settings) as file:
        file.add(rows)
        return file


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_what_is_done_is_left_out_and_the_rest_is_added(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"answers{suffix}"
    written(path, ROWS[:2])
    with writing(path, COLUMNS, {}) as file:
        assert (file.num_done, file.failed, file.cut) == (2, 1, 0)
        assert file.left(["a.png", "a.png", "b\n.png", "=c.png"]) == ["a.png", "=c.png"]
        file.add(ROWS[2:])
    whole = written(tmp_path / f"whole{suffix}", []).path
    written(whole, ROWS)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_pictures_of_one_name_in_two_folders_are_two(
    tmp_path: Path, suffix: str, monkeypatch
) -> None:
    path = tmp_path / f"answers{suffix}"
    for name in ("wa", "wb"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with writing(path, COLUMNS, {}) as file:
            assert file.left(["a.png"]) == ["a.png"]
            file.add([{"image": "a.png", "caption": name}])
    for folder, names in ((".", ["wa/a.png", "wb/a.png"]), ("wb", ["a.png", "../wa/a.png"])):
        monkeypatch.chdir(tmp_path / folder)
        with writing(path, COLUMNS, {}) as file:
            assert file.left([*names, "a.png" if folder == "." else "b.png"]) == [
                "a.png" if folder == "." else "b.png"
            ]
    text = path.read_text(encoding="utf-8-sig")
    assert str(tmp_path / "wb" / "a.png") in text and str(tmp_path / "wa") not in text


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_paths_through_links_are_where_they_lead(tmp_path: Path, suffix: str, monkeypatch) -> None:
    """`link/../a.png` lies beside the folder that the link names, not beside the link."""
    path = tmp_path / f"answers{suffix}"
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    monkeypatch.chdir(tmp_path)
    written(path, [{"image": "a.png"}])
    with writing(path, COLUMNS, {}) as file:
        assert file.left(["link/../a.png"]) == ["link/../a.png"]
        assert file.left(["link/../../a.png", "./a.png"]) == ["./a.png"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_older_file_goes_on_where_its_paths_are_whole(tmp_path: Path, suffix: str) -> None:
    whole, part = tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    for path, name in ((whole, str(tmp_path / "a.png")), (part, "a.png")):
        written(path, [{"image": name}])
        settings_path(path).write_text('{"settings": {}}')
        with path.open("a") as file:
            file.write("half")
    with writing(whole, COLUMNS, {}) as held:
        assert held.left([str(tmp_path / "a.png"), "b.png"]) == ["b.png"]
    assert json.loads(settings_path(whole).read_text())["folder"] == str(Path.cwd())
    before = part.read_bytes()
    with pytest.raises(MueError, match=r"names pictures from a folder, and .+ does not say which"):
        written(part, [])
    assert part.read_bytes() == before
    settings_path(part).write_text(json.dumps({"settings": {}, "folder": str(tmp_path)}))
    with writing(part, COLUMNS, {}) as held:
        assert held.left([str(tmp_path / "a.png")]) == []


def test_older_table_without_remarks_goes_on_with_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    written(path, ROWS[:2])
    with writing(path, (*COLUMNS, answer_file.REMARK), {}) as file:
        assert (file.num_done, file.failed, file.columns) == (2, 1, list(COLUMNS))
        file.add([{**ROWS[2], "remark": "cut"}])
    assert path.read_bytes() == written_whole(tmp_path / "whole.csv")


def written_whole(path: Path) -> bytes:
    return written(path, ROWS).path.read_bytes()


def test_picture_that_changed_since_it_was_answered_is_named(tmp_path: Path) -> None:
    path, names = tmp_path / "answers.jsonl", [str(tmp_path / f"{each}.png") for each in "abc"]
    for name in names:
        Path(name).write_bytes(picture())
    written(path, [{"image": name} for name in names[:2]])
    os.utime(path, (time.time() + 5,) * 2)
    with writing(path, COLUMNS, {}) as file:
        assert file.changed(names) == []
    os.utime(names[0], (time.time() + 9,) * 2)
    with writing(path, COLUMNS, {}) as file:
        assert file.changed(names) == names[:1]
    note = answers.changed_note(path, ["a.png"])
    assert note.startswith("note: 1 of these changed") and "(a.png)" in note


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("lost", [1, 5])
def test_a_line_that_was_cut_short_is_done_anew(tmp_path: Path, suffix: str, lost: int) -> None:
    path = tmp_path / f"answers{suffix}"
    written(path, ROWS)
    whole = path.read_bytes()
    os.truncate(path, len(whole) - lost)
    with writing(path, COLUMNS, {}) as file:
        assert file.cut == len(whole.splitlines(keepends=True)[-1]) - lost
        assert file.left(["a.png", "b\n.png", "=c.png"]) == ["=c.png"]
        file.add(ROWS[2:])
    assert path.read_bytes() == whole


def test_a_half_line_longer_than_a_block_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    written(path, ROWS[:1])
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 200_000)
    assert written(path, []).cut == 200_000 and path.read_bytes() == whole


def test_batch_that_the_disk_does_not_take_leaves_no_part(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "answers.jsonl"
    before = written(path, ROWS[:1]).path.read_bytes()
    with writing(path, COLUMNS, {}) as file:
        monkeypatch.setattr(AnswerFile, "_line", lambda self, row: (_ for _ in ()).throw(OSError))
        with pytest.raises(OSError):
            file.add(ROWS)
    assert path.read_bytes() == before


def test_csv_is_what_a_spreadsheet_reads_and_runs_nothing(tmp_path: Path) -> None:
    written(tmp_path / "answers.csv", ROWS)
    assert (tmp_path / "answers.csv").read_bytes().startswith(b"\xef\xbb\xbfimage,")
    with (tmp_path / "answers.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    assert table == [
        list(COLUMNS),
        ["a.png", 'a "red" dot', "2", "1.50", ""],
        ["b\\n.png", "", "", "", "not a plain file"],
        ["./=c.png", "", "6", "6.00", ""],
    ]


def test_cells_are_words_and_rounded_numbers() -> None:
    assert [answer_file.cell(value) for value in (None, True, False, 1.005, 3, "a\tb")] == [
        "",
        "yes",
        "no",
        "1.00",
        "3",
        "a\\tb",
    ]
    assert answer_file.cell("caf\udce9") == "caf\\udce9"


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    written(path, ROWS[:1], method="mue", thresholds={"image": 0.9})
    with pytest.raises(MueError, match='was written with method "mue", now it is "full"') as error:
        written(path, ROWS[1:], method="full", thresholds={"image": 0.9})
    assert error.value.hint == "name another file with --out, or remove this one to begin anew"
    with pytest.raises(MueError, match="thresholds"):
        written(path, [], method="mue", thresholds={"image": 0.8})
    with pytest.raises(MueError, match="with beam null, now it is 5"):
        written(path, [], method="mue", thresholds={"image": 0.9}, beam=5)
    path.unlink()
    assert written(path, ROWS, method="full").num_done == 0


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text("mine\n")
    with pytest.raises(MueError, match="is there, and nothing says what wrote it"):
        written(path, ROWS)
    assert path.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", "no json\n", "line 1 of `.+` is not JSON"),
        ("a.jsonl", '{"caption": "x"}\n', "line 1 of `.+` names no image"),
        ("a.csv", "image,caption\n", "has other columns than image, caption, image layer"),
        ("a.csv", ",".join(COLUMNS) + "\na.png,x\n", "line 2 of `.+` has 2 cells, expected 5"),
    ],
)
def test_a_file_that_was_edited_into_nonsense_is_named(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    written(tmp_path / name, ROWS)
    (tmp_path / name).write_text(text)
    with pytest.raises((MueError, DataError), match=message):
        written(tmp_path / name, [])


def test_two_commands_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with (
        writing(path, COLUMNS, {}),
        pytest.raises(MueError, match="is being written by another command"),
    ):
        written(path, ROWS)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "answers.jsonl",
        "answers.jsonl.settings.json",
    ]


def test_batches_begin_small_and_go_on_where_they_would_have_been() -> None:
    def first(count: int, begun: int) -> list[int]:
        sizes = _sizes(4, begun, singly=False)
        return [next(sizes) for _ in range(count)]

    assert first(5, begun=0) == [1, 2, 4, 4, 4]
    assert first(3, begun=3) == [4, 4, 4]
    assert first(3, begun=5) == [2, 4, 4]
    assert next(_sizes(4, 9, singly=True)) == 1


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_command_goes_on_and_gives_the_same_file(ask, folder: Path, suffix: str) -> None:
    path, whole = folder / f"part{suffix}", folder / f"whole{suffix}"
    answer = ask("--out", whole)
    assert (answer.code, answer.stdout) == (1, f"{whole}\n")
    assert f"1 of 6 pictures could not be read\nhint: each is named in `{whole}`" in answer.stderr
    ask("--out", path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) - 3]) + b"half")
    again = ask("--out", path)
    assert "the last line of" in again.stderr and "has 3 pictures; 3 are left" in again.stderr
    assert path.read_bytes() == whole.read_bytes()
    assert ask("--out", path).code == 1 and path.read_bytes() == whole.read_bytes()


def test_command_refuses_other_thresholds_for_the_same_file(ask, folder: Path) -> None:
    ask("--out", folder / "a.jsonl")
    before = (folder / "a.jsonl").read_bytes()
    answer = ask("--out", folder / "a.jsonl", "--set", "exits.decoder=0.5")
    assert answer.code == 2 and "was written with thresholds" in answer.stderr
    assert (folder / "a.jsonl").read_bytes() == before


def test_interruption_says_what_the_file_has(ask, folder: Path, monkeypatch) -> None:
    real = answer_file.append
    calls: list[str] = []

    def stop_at_the_third(path: Path, text: str) -> None:
        calls.append(text)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(path, text)

    monkeypatch.setattr(answer_file, "append", stop_at_the_third)
    answer = ask("--out", folder / "a.jsonl")
    assert answer.code == 130
    assert "has 3 of 6 pictures; the same command goes on from there" in answer.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "a.txt"], "ends in neither .jsonl nor .csv"),
        (["--out", "a.csv", "--json"], "--json prints, --out writes: one at a time"),
        (["--compare", "--method", "full"], "--compare times a method with early exits"),
        (["--compare", "--explain"], "leave out --method full, --explain and --html"),
    ],
)
def test_what_does_not_go_together_is_said(ask, folder, monkeypatch, words, message) -> None:
    monkeypatch.chdir(folder)
    answer = ask(*words)
    assert answer.code == 2 and message in answer.stderr


def test_compare_shows_both_answers_with_their_times_and_what_they_come_to(ask) -> None:
    answer = ask("--compare")
    assert answer.stdout.count("  full  ") == answer.stdout.count("  early  ") == 5
    assert answer.stdout.count(" time, the same)") + answer.stdout.count("not the same)") == 5
    assert "of 5 answers are the same" in answer.stdout.splitlines()[-1]


def test_compare_in_json_and_csv_has_both_answers(ask, folder: Path) -> None:
    first = json.loads(ask("--compare", "--json").stdout.splitlines()[0])
    assert first["ms"] > 0 and first["full ms"] > 0
    assert first["same"] == (first["caption"] == first["full caption"])
    ask("--compare", "--out", folder / "a.csv")
    with (folder / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["full caption"] == first["full caption"]
    assert {row["same"] for row in rows[:5]} <= {"yes", "no"} and rows[5]["error"]


def test_savings_are_those_of_the_medians() -> None:
    savings = Savings()
    for ms, text in ((10.0, "a"), (20.0, "b"), (900.0, "a")):
        savings.add(text, Beside("a", ms, 40.0))
    assert savings.in_words("mue") == (
        "mue 20.0 ms a picture, full 40.0 ms: 50.0% less; 2 of 3 answers are the same"
    )
    assert "25% more time, not the same" in Beside("a", 50.0, 40.0).lines("b")


def test_rate_counts_from_the_beginning() -> None:
    seconds = iter([10.0, 10.0, 12.0])
    rate = Rate("pictures", lambda: next(seconds))
    assert (rate.note(0), rate.note(5)) == ("", "2.5 pictures/s")


def test_settings_lie_beside_the_file() -> None:
    assert settings_path(Path("x/a.csv")) == Path("x/a.csv.settings.json")
