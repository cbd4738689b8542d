"""`mue study`: what it prints, what stops it, and how it goes on."""

import json
import shlex
from pathlib import Path

import pytest
from small_study import evaluated, of_row, write_study

from mue_cli.commands import study as command
from mue_cli.commands.display import say
from mue_cli.errors import MueError
from mue_cli.experiment.run_folder import Run
from mue_cli.reports.record import read_records
from mue_cli.study import progress as steps_clock
from mue_cli.study.file import load
from mue_cli.study.plan import RowPlan, plan
from mue_cli.study.progress import Clock, carry_out, duration
from mue_cli.study.selection import wanted_rows, wanted_seeds
from mue_cli.study.steps import Step

SHORT = """
name: short
recipe: shapes-caption
seeds: [0]
folders:
  start: {settings: {training.layer_loss: last, model.decompose: false}}
  full: {start: start, settings: {training.layer_loss: last, model.decompose: false}}
rows:
  full: {folder: full, method: full}
"""


class FakeRunner:
    """Leaves behind what a line would; fails or is interrupted at a line that holds some words."""

    def __init__(self, stops_at: str | None = None, how: BaseException | None = None) -> None:
        self.stops_at, self.how, self.lines = stops_at, how or MueError("stopped"), list[str]()

    def __call__(self, step: Step) -> None:
        words = step.words
        line = shlex.join(words)
        self.lines.append(line)
        if self.stops_at and self.stops_at in line:
            raise self.how
        here, method = (
            Run(Path(words[words.index("--run") + 1])),
            words[words.index("--method") + 1],
        )
        here.folder.mkdir(parents=True, exist_ok=True)
        if words[0] == "finetune":
            (
                here.folder / "deebert.safetensors" if method == "deebert" else here.checkpoint
            ).touch()
        if words[0] == "evaluate":
            evaluated(
                Run(here.folder.parents[2]),
                int(here.folder.parent.name[5:]),
                here.folder.name,
                of_row(words[words.index("--row") + 1], method=method),
            )


@pytest.fixture
def plans(tmp_path: Path):
    """Return a function that plans what is left of the small study."""

    def left() -> list[RowPlan]:
        study = load(write_study(tmp_path))
        return plan(study, Run(tmp_path / "run"), study.seeds, tuple(study.rows))

    return left


def test_all_lines_run_in_order_and_nothing_is_left(plans) -> None:
    runner, planned = (
        FakeRunner(),
        [shlex.join(line.words) for row in plans() for line in row.tasks],
    )
    carry_out(plans(), runner, say)
    assert runner.lines == planned and len(planned) == 22
    assert [row.tasks for row in plans()] == [()] * 10


def test_first_failure_stops_the_study_and_names_the_row(
    plans, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = FakeRunner("calibrate --recipe shapes-caption --run")
    with pytest.raises(MueError, match="stopped"):
        carry_out(plans(), runner, say)
    assert len(runner.lines) == 6
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "the study stopped in row `deebert`, seed 0; the same command goes on there"


def test_same_command_goes_on_where_it_failed(plans) -> None:
    with pytest.raises(MueError):
        carry_out(plans(), FakeRunner("method mue"), say)
    runner = FakeRunner()
    carry_out(plans(), runner, say)
    assert "finetune" in runner.lines[0] and "--method mue" in runner.lines[0]
    assert len(runner.lines) == 22 - 7


def test_interruption_between_lines_names_the_row(plans) -> None:
    with pytest.raises(
        KeyboardInterrupt, match="in row `static`, seed 0; the same command goes on there"
    ):
        carry_out(plans(), FakeRunner("--method static", how=KeyboardInterrupt()), say)


def test_unexpected_error_comes_through_after_the_rows_name(
    plans, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZeroDivisionError):
        carry_out(plans(), FakeRunner("oracle", how=ZeroDivisionError()), say)
    assert "the study stopped in row `oracle`, seed 0" in capsys.readouterr().err


def test_progress_names_row_seed_and_time_left(
    plans, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 100_000, 150))  # every line takes two and a half minutes
    monkeypatch.setattr(steps_clock.time, "monotonic", lambda: next(ticks))
    carry_out(plans()[:1], FakeRunner(), say)
    carry_out(plans(), FakeRunner(), say)
    titles = [line for line in capsys.readouterr().err.splitlines() if line.startswith("row")]
    assert titles[:5] == [
        "row 1 of 1, seed 0: full",
        "row 1 of 5, seed 0: full, done before",
        "row 2 of 5, seed 0: static",
        "row 3 of 5, seed 0, about 45 min left: deebert",
        "row 4 of 5, seed 0, about 38 min left: mue",
    ]
    assert titles[-1] == "row 5 of 5, seed 1, about 2 min left: oracle"


def test_time_left_is_what_lines_of_the_same_command_took() -> None:
    clock = Clock()
    assert clock.left([["finetune"]]) is None
    clock.add(["finetune"], 100.0)
    clock.add(["finetune"], 300.0)
    clock.add(["evaluate"], 20.0)
    assert clock.left([["finetune"], ["evaluate"], ["evaluate"]]) == 240.0
    assert clock.left([["calibrate"]]) == 110.0, (
        "a command that has not run yet is taken for an average one"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "1 min"), (719, "12 min"), (7199, "120 min"), (9000, "2.5 h")]
)
def test_duration_is_said_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        (None, (7, 8)),
        ("3", (0, 1, 2)),
        ("0,1,2", (0, 1, 2)),
        ("4, 2", (4, 2)),
        ("5,", (5,)),
        ("0,", (0,)),
        ("1", (0,)),
    ],
)
def test_seeds_are_a_list_or_a_number_of_them(text: str | None, seeds: tuple[int, ...]) -> None:
    assert wanted_seeds(text, (7, 8)) == seeds


@pytest.mark.parametrize("text", ["x", "", ",", "1,,2", "-1", "1,1", "0", "1.5"])
def test_seeds_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(MueError) as caught:
        wanted_seeds(text, (0,))
    assert caught.value.message == f"cannot read `--seeds {text}`"
    assert (
        caught.value.hint
        == "write different seeds as 0,1,2, or how many from 0 on, as 3; seed 0 alone is 1 or 0,"
    )


def test_rows_keep_the_studys_order() -> None:
    assert wanted_rows("mue, full", ("full", "small", "mue")) == ("full", "mue")
    assert wanted_rows(None, ("full", "mue")) == ("full", "mue")


def test_unknown_row_has_a_suggestion() -> None:
    with pytest.raises(MueError) as caught:
        wanted_rows("full,mue-jiont", ("full", "mue", "mue-joint"))
    assert (caught.value.message, caught.value.hint) == (
        "the study has no row `mue-jiont`",
        "did you mean `mue-joint`?",
    )


def test_dry_run_prints_the_lines_and_does_nothing(
    mue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = mue("study", "--dry-run", "--only", "static", "--seeds", "1")
    assert answer.code == 0
    assert [line.split(" --set")[0] for line in answer.stdout.splitlines()] == [
        "mue finetune --recipe shapes-caption --run runs/shapes-caption/study/seed-0/start --seed 0 --method full",
        "mue finetune --recipe shapes-caption --run runs/shapes-caption/study/seed-0/full --seed 0 --method full"
        " --weights runs/shapes-caption/study/seed-0/start",
        "mue evaluate --recipe shapes-caption --run runs/shapes-caption/study/seed-0/full --method static --row static --split test --sweep",
    ]
    assert list(tmp_path.iterdir()) == []


def test_dry_run_as_json_is_one_document(mue, tmp_path: Path) -> None:
    document = json.loads(
        mue("study", write_study(tmp_path), "--dry-run", "--json", "--run", tmp_path / "run").stdout
    )
    assert len(document["lines"]) == 22


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ([], "no prepared data at data/shapes", "run: mue prepare shapes"),
        (["shapes-entailment"], "no prepared data at data/shapes", "run: mue prepare shapes"),
        (["shape-caption"], "no study named `shape-caption`", "did you mean `shapes-caption`?"),
        (["--only", "mue-lst"], "the study has no row `mue-lst`", "did you mean `mue-last`?"),
        (["--seeds", "a"], "cannot read `--seeds a`", "write different seeds"),
        (
            ["--set", "training.stps=3"],
            "unknown key `training.stps` in `--set training.stps=3`",
            "did you mean `steps`?",
        ),
    ],
)
def test_users_mistake_is_a_line_and_a_hint(
    mue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], error: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = mue("study", *words)
    assert (answer.code, answer.stdout) == (2, "")
    first, second = answer.stderr.splitlines()[:2]
    assert first.startswith(f"error: {error}") and second.startswith(f"hint: {hint}")
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> FakeRunner:
    """Let the command run lines by pretending, prepared data included."""
    runner = FakeRunner()
    monkeypatch.setattr(command, "run_step", runner)
    monkeypatch.setattr(steps_clock, "need_data", lambda study: None)
    return runner


def test_command_says_where_the_results_are(
    mue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pretended: FakeRunner
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = mue("study", write_study(tmp_path))
    assert answer.stdout.splitlines()[-1] == "runs/shapes-caption/study: 5 rows, 2 seeds"
    assert answer.stderr.splitlines()[-2:] == [
        "next: mue table 1 --recipe shapes-caption",
        "next: mue plot tradeoff --recipe shapes-caption",
    ]
    assert (tmp_path / "runs/shapes-caption/study/study.yaml").is_file()


def test_json_is_one_document_although_the_lines_answer_too(
    mue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pretended: FakeRunner
) -> None:
    def talkative(step: Step) -> None:
        print("an answer of the step")
        pretended(step)

    monkeypatch.setattr(command, "run_step", talkative)
    document = json.loads(
        mue(
            "study",
            write_study(tmp_path),
            "--run",
            tmp_path / "run",
            "--json",
            "--only",
            "full,mue",
        ).stdout
    )
    assert (document["study"], document["folder"]) == ("little", str(tmp_path / "run" / "study"))
    assert [(row["row"], row["seed"]) for row in document["rows"]] == [
        ("full", 0),
        ("mue", 0),
        ("full", 1),
        ("mue", 1),
    ]
    assert document["rows"][0]["record"]["scores"] == {"CIDEr": 100.0}


def test_seeds_of_two_calls_are_in_one_study(mue, tmp_path: Path, pretended: FakeRunner) -> None:
    words = ["study", write_study(tmp_path), "--run", tmp_path / "run", "--only", "full"]
    assert mue(*words, "--seeds", "4,").stdout.splitlines()[-1].endswith("1 rows, 1 seeds")
    assert mue(*words, "--seeds", "6,").stdout.splitlines()[-1].endswith("1 rows, 2 seeds")


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_other_overrides_than_before_are_refused(
    mue, tmp_path: Path, pretended: FakeRunner, words: list[str]
) -> None:
    study = [
        "study",
        write_study(tmp_path),
        "--run",
        tmp_path / "run",
        "--only",
        "full",
        "--seeds",
        "1",
    ]
    assert mue(*study, "--set", "evaluation.samples=4").code == 0
    refused = mue(*study, "--set", "evaluation.samples=9", *words)
    assert refused.code == 2
    found = f"error: `{tmp_path / 'run' / 'study'}` was made with --set evaluation.samples=4, now it is --set evaluation.samples=9\n"
    assert refused.stderr.startswith(found)
    assert len(pretended.lines) == 3


def test_study_runs_the_real_procedures_from_start_to_record(
    mue, tmp_path: Path, tiny_settings: list[str]
) -> None:
    """The lines that a study prints do the same: run by hand elsewhere, they give the same."""
    run = tmp_path / "run"
    words = ["study", write_study(tmp_path, SHORT), "--run", run, *tiny_settings]
    answer = mue(*words)
    assert answer.code == 0, answer.stderr
    lines = [line[2:] for line in answer.stdout.splitlines() if line.startswith("$ mue")]
    assert [line.split()[1] for line in lines] == ["finetune", "finetune", "evaluate"]
    again = mue(*words)
    assert "row 1 of 1, seed 0: full, done before" in again.stderr
    assert not [line for line in again.stdout.splitlines() if line.startswith("$ mue")]

    for line in lines:
        by_hand = mue(*shlex.split(line.replace(str(run), str(tmp_path / "by-hand")))[1:])
        assert by_hand.code == 0, by_hand.stderr
    ours, theirs = (folder / "study/seed-0/full" for folder in (run, tmp_path / "by-hand"))
    elsewhere = (theirs / "recipe.yaml").read_text().replace(str(tmp_path / "by-hand"), str(run))
    assert (ours / "recipe.yaml").read_text() == elsewhere
    (one,), (other,) = (read_records(folder / "records.jsonl") for folder in (ours, theirs))
    assert (one.scores, one.settings, one.row) == (other.scores, other.settings, "full")
    assert one.id != other.id

    others = ["--method", "full", "--set", "search.beam=1", "--run", ours]
    assert mue("evaluate", *others).code == 0
    (row,) = json.loads(mue(*words, "--json").stdout)["rows"]
    assert row["record"]["id"] == one.id
