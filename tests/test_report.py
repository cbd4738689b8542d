"""`mue report`: one page that loads nothing, of a run and of a study, whatever is missing."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops
from small_study import evaluated, of_row, record, write_study

from mue_cli.errors import DataError
from mue_cli.experiment.demo import NO_RESULT
from mue_cli.experiment.run_folder import Run, read_traces, records
from mue_cli.reports.record import append_record
from mue_cli.reports.report_page import Report, Sample, page
from mue_cli.reports.saturation import Saturation
from mue_cli.reports.tables import Column, Table
from mue_cli.study.file import keep, load
from mue_cli.study.report import report


class Page(HTMLParser):
    """Collects what a page loads, its ids and its text; every tag must be closed in order."""

    VOID = ("meta", "img", "br", "path", "use", "rect")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.loads += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "img", "br"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""


@pytest.fixture
def studied(tmp_path: Path) -> Run:
    """Return a run with an evaluated study and nothing else."""
    run = Run(tmp_path / "run")
    keep(run, load(write_study(tmp_path)))
    for seed in (0, 1):
        evaluated(run, seed, "full", of_row("full", 120.0), of_row("deebert", 90.0))
        costs = {"expected": 0.4, "flops": 0.3, "measured": 0.25, "latency_ms": 90.0}
        costs |= {"full_latency_ms": 120.0}
        evaluated(run, seed, "mue", of_row("mue", 114.0, costs=costs))
    return run


def test_page_of_a_run_shows_results_figures_promises_and_examples(
    mue, tiny_run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    answer = mue("report", "--run", tiny_run.folder, "--out", path)
    assert answer.code == 0, answer.stderr
    text = path.read_text(encoding="utf-8")
    shown = Page(text)
    assert [address for address in shown.loads if not address.startswith("#")] == []
    assert len(set(shown.ids)) == len(shown.ids)
    assert {name.split("-")[0] for name in shown.ids if name.startswith("figure")} >= {
        "figure0",
        "figure1",
        "figure2",
    }
    for heading in ("Results", "What layers, FLOPs", "How alike", "Where samples and words leave"):
        assert heading in shown.text
    traces = read_traces(tiny_run).traces
    assert text.count('<ol class="tokens">') == len(traces) == 4
    assert text.count("<dt>full depth</dt>") == 4
    measured = next(each for each in records(tiny_run) if each.method == "mue").costs
    assert f"{measured['measured']:.1%} less" in shown.text
    assert "expected reduction" in shown.text  # of the thresholds


def test_page_of_a_study_says_what_every_row_keeps_and_what_is_missing(studied: Run) -> None:
    gathered = report(studied, "test")
    shown = Page(page(gathered))
    assert [drawing.title for drawing in gathered.drawings] == [
        "Score against reduction",
        "What layers, FLOPs and the clock say",
    ]
    assert "MuE keeps 95.0% at 40.0%" in gathered.drawings[0].text
    assert dict(gathered.facts)["seeds"] == "0, 1"
    assert "MuE: 90 ms a sample instead of 120 ms" in gathered.savings[0]
    assert "25.0% less" in gathered.savings[0]
    assert "a study's folders have reports of their own" in shown.text
    assert "there are no exit scores" in shown.text


def test_medians_that_older_records_kept_are_called_so(tmp_path: Path) -> None:
    """1 - 90 / 120 is 25 %, not what was measured."""
    costs = {"expected": 0.4, "flops": 0.3, "measured": 0.3}
    costs |= {"latency_ms": 90.0, "full_latency_ms": 120.0}
    for each in (record("full", 120.0), record("mue", 114.0, costs=costs)):
        append_record(Run(tmp_path).records, each)
    (said,) = report(Run(tmp_path), "test").savings
    assert said.startswith("MuE: 90 ms a sample (median) instead of 120 ms")


def test_names_and_captions_are_nothing_but_text() -> None:
    evil = '"><script>alert(1)</script>'
    sample = Sample(evil, evil, evil, [evil], {"image": 1}, (1, 2), 6)
    table = Table((Column(evil), Column("score", ".1f")), ((evil, 1.0),), (evil,))
    text = page(Report(evil, [("data", evil)], [("Results", table)], samples=[sample]))
    assert "<script" not in text and Page(text).text.count("<script>alert(1)</script>") >= 7


def test_tokens_stand_above_the_layer_they_left_after() -> None:
    sample = Sample("a", "a cat", None, [" a", " cat", "</s>"], {}, (1, 6, 3), 6)
    assert sample.strip() == [("a", 1, 1 / 6), ("cat", 6, 1.0), ("end", 3, 0.5)]


def test_predictions_of_another_evaluation_are_not_shown(tiny_run: Run, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.folder, tmp_path / "copy")
    run = Run(tmp_path / "copy")
    text = run.predictions.read_text(encoding="utf-8")
    run.predictions.write_text(
        re.sub(r'"evaluation": "\w+"', '"evaluation": "0"', text), encoding="utf-8"
    )
    gathered = report(run, "test")
    assert gathered.samples == []
    assert any("is of another evaluation" in sentence for sentence in gathered.missing)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("traces.jsonl", None, "traces are there, of 4 samples"),
        ("predictions.json", None, "predictions are there, of 4 samples"),
        ("predictions.json", "[{", "is not JSON"),
        ("predictions.json", "{}", "predictions.json"),
        ("thresholds.yaml", "nonsense: 1", "Promises of MuE: "),
    ],
)
def test_what_cannot_be_read_is_said_and_the_rest_is_shown(
    copied_run: Run, name: str, text: str | None, said: str
) -> None:
    """None: one of the file's samples is gone."""
    path = copied_run.folder / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    elif name == "predictions.json":
        path.write_text(json.dumps(json.loads(path.read_text())[1:]), encoding="utf-8")
    else:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]), encoding="utf-8")
    gathered = report(copied_run, "test")
    assert [sentence for sentence in gathered.missing if said in sentence]
    assert gathered.tables and gathered.drawings and page(gathered)
    assert bool(gathered.samples) == (name == "thresholds.yaml")
    assert bool(gathered.promises) == (name != "thresholds.yaml")


def test_metric_that_the_paper_does_not_have_has_a_table_of_ours_alone(tmp_path: Path) -> None:
    run = Run(tmp_path)
    each = replace(record("full", 70.0), metric="exact match", scores={"exact match": 70.0})
    append_record(run.records, each)
    (_, table), *_ = report(run, "test").tables
    assert [column.name for column in table.columns][:4] == [
        "method",
        "data",
        "samples",
        "exact match",
    ]


def test_run_without_an_evaluation_names_the_command(mue, tmp_path: Path) -> None:
    answer = mue("report", "--run", tmp_path)
    assert answer.code == 2 and "hint: run: mue evaluate" in answer.stderr


def test_interval_stands_beside_the_score_of_a_single_seed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    intervals = {"CIDEr": (60.0, 80.0)}
    append_record(run.records, replace(record("full", 70.0), confidence=intervals))
    (_, table), *_ = report(run, "test").tables
    place = [column.name for column in table.columns].index("CIDEr, 95 %")
    assert [row[place] for row in table.rows] == ["60.0 to 80.0"]


def test_page_of_a_quick_demo_says_first_that_it_is_no_result(copied_run: Run) -> None:
    text = copied_run.records.read_text(encoding="utf-8")
    named = text.replace('"recipe": "shapes-caption"', '"recipe": "shapes-caption-quick"')
    assert NO_RESULT not in page(report(copied_run, "test")) and named != text
    copied_run.records.write_text(named, encoding="utf-8")
    assert f"</h1>\n<p><strong>{NO_RESULT}" in page(report(copied_run, "test"))


def test_style_has_a_dark_page_a_narrow_one_and_paper(studied: Run) -> None:
    text = page(report(studied, "test"))
    for wanted in ("prefers-color-scheme: dark", "max-width: 44rem", "@media print"):
        assert wanted in text
    for name in ("Results", "Score against reduction"):  # what scrolls is reached by the keyboard
        assert f'tabindex="0" role="region" aria-label="{name}"' in text


def test_page_looks_the_same_with_scripts_and_without(studied: Run, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium here")
    whole = page(report(studied, "test"))
    refused = "<head>\n<meta http-equiv='Content-Security-Policy' content=\"script-src 'none'\">"
    shots = []
    for name, text in (("with", whole), ("without", whole.replace("<head>", refused, 1))):
        shot, path = tmp_path / f"{name}.png", tmp_path / f"{name}.html"
        path.write_text(text, encoding="utf-8")
        words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=500,900"]
        words += [f"--user-data-dir={tmp_path / name}", f"--screenshot={shot}", path.as_uri()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode or not shot.exists():
            pytest.skip(f"chromium does not run here: {done.stderr[-200:]}")
        shots.append(Image.open(shot).convert("RGB"))
    # Scrollbars and the foot of the window come and go from one headless start to the next.
    first, second = (shot.crop((0, 0, 480, 300)) for shot in shots)
    assert refused in path.read_text(encoding="utf-8")
    assert all(len(shot.getcolors(maxcolors=1 << 20)) > 20 for shot in shots)  # none is blank
    # A shade of anti-aliasing differs now and then; a script's work would be words or lines.
    assert all(most <= 8 for _, most in ImageChops.difference(first, second).getextrema())


def test_saturation_of_other_samples_than_the_evaluation_is_left_out_and_said(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path)
    append_record(run.records, record("full", 120.0, image_size=64))
    for size, said in (("64", False), ("32", True)):
        Saturation({"image": np.ones((2, 3))}, {"image_size": size}).save(run.saturation)
        message = "was measured with image_size 32, the evaluation with image_size 64"
        assert any(message in each for each in report(run, "test").missing) is said
    append_record(run.records, record("full", 110.0, id="1", image_size=32))
    with pytest.raises(DataError, match="differ in image_size cannot share a report: 32, 64"):
        report(run, "test")
