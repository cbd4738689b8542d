"""`mue report`: a run or a study on one page."""

from pathlib import Path
from typing import Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.display import answer, answer_json

EXAMPLES = (
    "mue report",
    "mue report --run runs/longer --out report.html",
)

OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="The page, else report.html in the run folder."),
]


def report(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    split: options.Split = "test",
    out: OutOption = None,
    as_json: options.Json = False,
) -> None:
    """Write one self-contained page of a run or its study: results, figures, promises, examples.

    Reads records.jsonl, traces.jsonl, predictions.json, thresholds.yaml and saturation.npz, those
    that there are; of a study the records of all rows and seeds. The page loads nothing and needs
    no script.
    """
    here = options.opened(recipe, overrides, run)
    from mue_cli.reports.report_page import write_page
    from mue_cli.study.report import report as gathered

    path = out or here.run.folder / "report.html"
    write_page(gathered(here.run, split), path)
    if as_json:
        answer_json({"page": str(path)})
        return
    answer(str(path))
