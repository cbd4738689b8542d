"""`mue table`: the paper's tables with rows of your own runs."""

from typing import Annotated, Literal

import typer

from mue_cli.commands import options
from mue_cli.commands.display import answer, answer_json, say
from mue_cli.errors import MueError

EXAMPLES = (
    "mue table 1",
    "mue table 3 --recipe shapes-entailment --split val",
    "mue table 4 --format latex > ablation.tex",
    "mue table 2 --run runs/longer --json",
)

NumberArgument = Annotated[
    int,
    typer.Argument(metavar="1|2|3|4", help="Number of the table in the paper."),
]
TableSplitOption = Annotated[
    str | None,
    typer.Option("--split", metavar="NAME", help="train, val or test, else test."),
]
FormatOption = Annotated[
    Literal["text", "markdown", "csv", "latex"],
    typer.Option("--format", metavar="NAME", help="text, markdown, csv or latex."),
]


def table(
    number: NumberArgument,
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    split: TableSplitOption = None,
    form: FormatOption = "text",
    as_json: options.Json = False,
) -> None:
    """Print a table of the paper, your rows beside its numbers: 1 the models, 2 the layers of each
    stream, 3 the trade-off, 4 the ablation.

    Reads what `mue evaluate` and `mue study` recorded; for 2 modality.npz, which `mue plot
    modality` writes, of the split it was measured on. Over several seeds a cell is the mean ± the
    sample standard deviation.
    """
    from mue_cli.reports.paper_tables import SUBJECTS
    from mue_cli.reports.table_forms import FORMS, to_document
    from mue_cli.study.tables import paper_tables, remedy

    if number not in SUBJECTS:
        choices = ", ".join(f"{known} ({subject})" for known, subject in SUBJECTS.items())
        raise MueError(f"the paper has no Table {number} to print", f"choose one of {choices}")
    here = options.opened(recipe, overrides, run)
    tables, missing = paper_tables(here, number, split)
    if as_json:
        documents = [to_document(table) for table in tables]
        answer_json({"table": number, "tables": documents, "not_run_yet": missing})
    else:
        answer("\n".join(map(FORMS[form], tables)).rstrip("\n"))
    if missing:
        say(f"not run yet: {', '.join(missing)}; {remedy(here, missing)}")
