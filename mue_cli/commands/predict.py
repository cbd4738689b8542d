"""`mue predict`: what the model says to a user's own pictures, and how deep it looked."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from mue_cli.commands import options
from mue_cli.commands.display import answer, keeping, progress, say, show_error
from mue_cli.commands.strip import KEY, strip
from mue_cli.errors import MueError
from mue_cli.experiment.choices import Question, RunnableName
from mue_cli.experiment.pictures import (
    Unreadable,
    answers_path,
    named_pictures,
    page_path,
    printable,
)

if TYPE_CHECKING:
    from mue_cli.experiment.answers import Answers
    from mue_cli.experiment.predict import PicturePrediction

EXAMPLES = (
    "mue predict photo.jpg",
    "mue predict photos 'more/*.jpg' --out captions.jsonl",
    "mue predict photo.jpg --compare",
    "mue predict photo.jpg --explain --html photo.html",
    "find photos -name '*.jpg' | mue predict - --json",
    'mue predict photo.jpg -r shapes-entailment --hypothesis "a circle is there"',
)

MANY = 20
"""More pictures than this are worth a progress bar."""
WIDEST_PATH = 60
"""Longer paths push their own caption to the right, not everybody's."""

ImagesArgument = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="Files, folders, patterns, or - for stdin."),
]
HypothesisOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Does the picture support this sentence?")
]
PremiseOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What is known beside the picture.")
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Who left where, and why; a page, too.")
]
HtmlOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="That page alone, under this name.")
]
CompareOption = Annotated[
    bool, typer.Option("--compare", help="The full model's answer beside, and times.")
]
AnswersOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="A .jsonl or .csv file; it is gone on with."),
]
LinesOption = Annotated[bool, typer.Option("--json", help="A JSON object per picture.")]
MethodOption = Annotated[RunnableName | None, options.method(RunnableName)]


def predict(
    images: ImagesArgument,
    hypothesis: HypothesisOption = None,
    premise: PremiseOption = None,
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    weights: options.Weights = None,
    method: MethodOption = None,
    device: options.Device = "auto",
    out: AnswersOption = None,
    compare: CompareOption = False,
    explain: ExplainOption = False,
    html: HtmlOption = None,
    as_json: LinesOption = False,
) -> None:
    """Caption your own pictures or, with --hypothesis, tell whether they support a sentence.

    Folders are searched with their subfolders. A picture that cannot be read does not stop the
    others; the exit code is then 1. --hypothesis and --premise are for an entailment model. Reads
    checkpoint.safetensors and what `mue calibrate` found for the method. Writes the file of --out,
    and with --explain or --html a page of the first 100 pictures.
    """
    here = options.opened(recipe, overrides, run, device, weights)
    question = Question(hypothesis, premise)
    question.check(here.task, here.recipe.name)
    page = page_path(html or here.run.explain_page) if explain or html else None
    if out and as_json:
        raise MueError("--json prints, --out writes: one at a time", "leave out --json")
    named = named_pictures(images)
    paths = named.paths
    file = answers_path(out) if out else None
    # Below the input, because torch takes seconds to import and a typo should not.
    from mue_cli.experiment.answers import answering
    from mue_cli.experiment.predict import PictureStream, json_line

    stream = PictureStream.of(here, method, question, page is not None, compare)
    show = json_line if as_json else _text_lines(paths, strips=explain)
    if explain and not (as_json or file):
        say(KEY)
    question_parts = {"premise": premise, "hypothesis": hypothesis}
    with (
        answering(stream, paths, file, page, question_parts) as answers,
        keeping(answers.kept),
        progress("predict") if answers.total > MANY else nullcontext(_silent) as report,
    ):
        for remark in (named.remark(), *answers.remarks()):
            if remark:
                say(remark)
        for result in answers:
            if not file and (line := show(result)):
                answer(line)
            if isinstance(result, Unreadable):
                say(f"{printable(result.path)}: {result.reason}")
            elif result.remark:
                say(f"{printable(result.path)}: {result.remark}")
            report(answers.done + 1, answers.total, answers.note())
    _tell_end(answers, file, page, as_json)


def _tell_end(answers: "Answers", file: Path | None, page: Path | None, as_json: bool) -> None:
    """Say what came of all, and where it is; the exit code is 1 where a picture has no answer."""
    if answers.savings.sides:
        (say if as_json else answer)(answers.savings.in_words(answers.stream.method.name))
    if page and page.exists():
        say(f"page: {page}")
    if file:
        answer(str(file))
    if failure := answers.failure():
        show_error(failure)
        raise typer.Exit(1)


def _text_lines(
    paths: Sequence[str | Unreadable], strips: bool
) -> "Callable[[PicturePrediction | Unreadable], str]":
    """Return the function that writes path and text, the texts below each other, and below them the
    heat strip, or the full model's answer, where one is wanted.
    """
    widths = [cell_len(printable(path)) for path in paths if isinstance(path, str)]
    column = max((width for width in widths if width <= WIDEST_PATH), default=0)

    def lines(result: "PicturePrediction | Unreadable") -> str:
        if isinstance(result, Unreadable):
            return ""
        path = printable(result.path)
        if result.beside:
            return f"{path}\n{result.beside.lines(result.text)}"
        line = f"{path}{' ' * (column - cell_len(path))}  {printable(result.text)}"
        return f"{line}\n{strip(result.explanation)}\n" if strips and result.explanation else line

    return lines


def _silent(done: int, total: int, note: str = "") -> None:
    """Report nothing: a few pictures need no bar."""
