"""docs/study.md says what the records in docs/study/ say."""

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_study import FULL, evaluated, of_row, record, write_study

from mue_cli.experiment.run_folder import Run
from mue_cli.reports.depth_scores import DepthScores
from mue_cli.reports.record import append_record
from mue_cli.reports.saturation import Saturation
from mue_cli.study.file import keep, load

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("write_study", DOCS / "write_study.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)  # as `python docs/write_study.py` has it
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Return a docs folder with the page and no records."""
    (tmp_path / "docs").mkdir()
    shutil.copyfile(DOCS / "study.md", tmp_path / "docs" / "study.md")
    return tmp_path / "docs"


def part(docs: Path, mark: str) -> str:
    text = (docs / "study.md").read_text(encoding="utf-8")
    return text.split(f"<!-- {mark} -->\n")[1].split("<!-- end -->")[0]


def test_page_is_what_the_records_say(script, tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    script.write(tmp_path / "docs")
    assert (tmp_path / "docs" / "study.md").read_bytes() == (DOCS / "study.md").read_bytes()


def test_what_one_model_showed_is_written_from_its_own_files(
    script, docs: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "runs" / "flickr8k-mue")
    run.folder.mkdir(parents=True)
    (run.folder / "checkpoint.safetensors").touch()
    interval = {"CIDEr": (60.0, 120.0)}
    for each in (FULL, record("mue", 90.0, costs={"expected": 0.25, "flops": 0.125})):
        append_record(run.records, dataclasses.replace(each, confidence=interval))
    DepthScores(
        {"decoder": np.array([20.0, 44.0, 45.0])},
        {"decoder": np.array([[-25.0, -30.0, -20.0], [-1.0, -2.0, 0.5], [0.0] * 3])},
        "CIDEr",
        500,
        {},
    ).save(run.depth)
    Saturation({"decoder": np.tile([0.1, 0.5, 0.9], (5, 1))}, {}).save(run.saturation)
    answers = [
        {"image_id": f"p{n}", "caption": f"short {n}", "full": f"long {n}"} for n in range(12)
    ]
    run.predictions.write_text(json.dumps(answers), encoding="utf-8")
    target = script.take(run.folder, docs)
    script.write(docs)
    listed = part(docs, "examples flickr8k-mue")
    assert "| p9 | long 9 | short 9 |" in listed and "p10" not in listed
    assert "| decoder | 20.0 (-25.0\\*) | 44.0 (-1.0) | 45.0 |" in part(docs, "depth flickr8k-mue")
    assert "Own share: decoder 0%." in part(docs, "saturation flickr8k-mue")
    assert "| MuE | 25.0% | 12.5% | 75.0% | 50.0% to 100.0% |" in part(docs, "curves flickr8k-mue")
    assert "Not measured yet" in part(docs, "targets flickr8k-mue")
    drawn = {path.name for path in target.iterdir()} - {"records.jsonl", "predictions.json"}
    names = {"depth", "saturation"}
    assert drawn == {f"{name}.{end}" for name in names for end in ("npz", "png", "svg")} | {
        "tradeoff.png",
        "tradeoff.svg",
    }


def test_records_that_are_taken_over_fill_tables_and_figures(
    script, docs: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "runs" / "flickr8k-caption")
    keep(run, load(write_study(tmp_path)))
    for seed in (0, 1):
        evaluated(run, seed, "full", of_row("full", 100.0), of_row("deebert", 70.0 + seed))
        costs = {"expected": 0.4, "flops": 0.3}
        evaluated(run, seed, "mue", of_row("mue", 95.0 - 2 * seed, costs=costs))
        (run.study / f"seed-{seed}" / "mue" / "checkpoint.safetensors").touch()
    target = script.take(run.folder, docs)
    assert not list(target.rglob("checkpoint.safetensors"))
    script.write(docs)
    rows = [line.split("|")[1:] for line in part(docs, "claims flickr8k-caption").splitlines()]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows if row}
    assert cells["MuE"][:4] == ["94.0%", "93.0%", "95.0%", "40.0%"]
    assert cells["MuE"][4:6] == ["93.4%", "40.2%"]
    assert cells["DeeBERT"][6] == "lower in every seed"
    assert "| MuE |" in part(docs, "table1 flickr8k-caption")
    assert "study/flickr8k-caption/tradeoff.png" in part(docs, "figures flickr8k-caption")
    assert (target / "tradeoff.png").is_file() and (target / "reductions.svg").is_file()
    assert "Not measured yet" in part(docs, "claims flickr8k-entailment")
    assert part(docs, "depth flickr8k-caption").startswith("Not measured yet: ")
    once = (docs / "study.md").read_bytes()
    script.write(docs)
    assert (docs / "study.md").read_bytes() == once


@pytest.fixture
def taken(script, docs: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return a run's folder and what was taken from it."""
    run = Run(tmp_path / "runs" / "mine")
    append_record(run.records, FULL)
    return run.folder, script.take(run.folder, docs)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_records_taken_before_go_when_the_new_ones_are_whole(script, docs, taken) -> None:
    run, target = taken
    before = files(target.parent)
    (run / "predictions.json").write_text("[")
    with pytest.raises(ValueError):
        script.take(run, docs)
    assert files(target) == before
    (run / "predictions.json").write_text("[]")
    (target / "drawn.png").touch()
    script.take(run, docs)
    assert files(target.parent).keys() == {"records.jsonl", "predictions.json"}
    assert [path.name for path in target.parent.iterdir()] == ["mine"]


def test_a_run_without_records_takes_nothing_away(script, docs, taken) -> None:
    run, target = taken
    before = files(target)
    (run / "records.jsonl").unlink()
    with pytest.raises(script.MissingStepError, match="nothing to take"):
        script.take(run, docs)
    assert files(target) == before


def test_records_are_taken_over_from_their_own_place_too(script, docs, taken, monkeypatch) -> None:
    target = taken[1]
    before = files(target)
    monkeypatch.chdir(target)
    assert script.take(Path(), docs) == target
    assert files(target.parent) == before


def test_control_stands_beside_the_score(script, tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "flickr8k-caption")
    keep(run, load(write_study(tmp_path)))
    name = "CIDEr with shuffled pictures"
    full = of_row("full", 40.0)
    evaluated(
        run,
        0,
        "full",
        dataclasses.replace(
            full,
            scores={"CIDEr": 40.0, name: 9.0},
            confidence={"CIDEr": (36.0, 44.0), name: (8.0, 10.5)},
            difference={name: (-33.0, -29.5)},
        ),
    )
    evaluated(run, 0, "mue", of_row("mue", 39.0))
    rows = script.control(script.entries(run, "test"), run).splitlines()
    assert "| full | 0 | 40.0 | 9.0 | -31.0 (-33.0 to -29.5) |" in rows
    assert not any(row.startswith("| MuE") for row in rows), "its control was not run"


def test_control_that_was_not_run_names_its_command(script, tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "flickr8k-caption")
    keep(run, load(write_study(tmp_path)))
    evaluated(run, 0, "full", of_row("full", 40.0))
    with pytest.raises(script.MissingStepError, match="no control was run"):
        script.control(script.entries(run, "test"), run)
