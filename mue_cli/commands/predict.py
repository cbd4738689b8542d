"""`mue predict`: what the model says to a user's own pictures, and how deep it looked."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from mue_cli.commands import options
from mue_cli.commands.display import answer, keeping, progress, say, show_error
from mue_cli.commands.strip import KEY, strip
from mue_cli.errors import MueError
from mue_cli.experiment.choices import Question, RunnableName
from mue_cli.experiment.pictures import Unreadable, named_pictures, page_path, read_pictures

if TYPE_CHECKING:
    from mue_cli.experiment.predict import PicturePrediction, PictureStream
    from mue_cli.reports.explain_page import Explained

EXAMPLES = options.examples(
    "mue predict photo.jpg",
    "mue predict photos 'more/*.jpg' --json > captions.jsonl",
    "find photos -name '*.jpg' | mue predict - --method full",
    "mue predict photo.jpg --explain --html photo.html",
    'mue predict photo.jpg --recipe shapes-entailment --hypothesis "a circle is in the picture"',
)

MANY = 20
"""More pictures than this are worth a progress bar."""
MAX_SECTIONS = 100
"""Pictures on one page; each takes some 40 KB."""
WIDEST_PATH = 60
"""Longer paths push their own caption to the right, not everybody's."""

ImagesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        show_default=False,
        help="Files, folders, quoted patterns, or - for a list of paths on stdin.",
    ),
]
HypothesisOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        show_default=False,
        help="For an entailment model: does the picture support this sentence?",
    ),
]
PremiseOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        show_default=False,
        help="What is known beside the picture; goes with --hypothesis.",
    ),
]
ExplainOption = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Show the similarity after every layer and where each left; write a page.",
    ),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default="explain.html in the run folder",
        help="Where the page is written; alone: the page only.",
    ),
]
LinesOption = Annotated[
    bool,
    typer.Option("--json", help="Print a JSON object per picture, one a line, instead of text."),
]


def predict(
    images: ImagesArgument,
    hypothesis: HypothesisOption = None,
    premise: PremiseOption = None,
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    weights: options.Weights = None,
    method: Annotated[
        RunnableName | None,
        typer.Option(help="Who may stop early.", show_default="the recipe's exits.method"),
    ] = None,
    device: options.Device = "auto",
    explain: ExplainOption = False,
    html: HtmlOption = None,
    as_json: LinesOption = False,
) -> None:
    """Caption your own pictures or, with --hypothesis, tell whether they support a sentence (yes,
    no, maybe).

    Folders are searched with their subfolders. A picture that cannot be read does not stop the
    others; the exit code is then 1. Reads checkpoint.safetensors and what `mue calibrate` found for
    the method, no prepared data. Writes nothing but, with --explain or --html, one self-contained
    page of the first 100 pictures.
    """
    here = options.opened(recipe, overrides, run, device, weights)
    question = Question(hypothesis, premise)
    question.check(here.task, here.recipe.name)
    page = page_path(html or here.run.explain_page) if explain or html else None
    paths = named_pictures(images)
    # Below the input, because torch takes seconds to import and a typo should not.
    from mue_cli.experiment.predict import PictureStream, json_line

    stream = PictureStream.of(here, method, question, explains=page is not None)
    notes = [
        f"{name}: {text}"
        for name, text in (("premise", premise), ("hypothesis", hypothesis))
        if text is not None
    ]
    tally = _Tally(len(paths))
    show = json_line if as_json else _text_lines(paths, strips=explain)
    if explain and not as_json:
        say(KEY)
    with (
        keeping(lambda: f"{tally.done} of {tally.total} pictures were done"),
        _page(page, stream, [*notes, _coverage(len(paths))]) as sections,
        progress("predict") if tally.total > MANY else nullcontext(_silent) as report,
    ):
        for result in stream.results(
            read_pictures(paths, here.recipe.data.image_size, MAX_SECTIONS if page else 0)
        ):
            if line := show(result):
                answer(line)
            if isinstance(result, Unreadable):
                say(f"{_shown(result.path)}: {result.reason}")
            elif result.thumbnail is not None:
                sections.append(_section(result))
            tally.add(result)
            report(tally.done, tally.total)
    if tally.failed:
        failed = f"{tally.failed} of {tally.total} pictures could not be read"
        show_error(MueError(failed, "each is named above, with the reason"))
        raise typer.Exit(1)


@dataclass
class _Tally:
    """How far the pictures are."""

    total: int
    done: int = 0
    failed: int = 0

    def add(self, result: "PicturePrediction | Unreadable") -> None:
        self.done += 1
        self.failed += isinstance(result, Unreadable)


def _text_lines(
    paths: Sequence[str | Unreadable], strips: bool
) -> "Callable[[PicturePrediction | Unreadable], str]":
    """Return the function that writes path and text, the texts below each other, and the heat strip
    where one is wanted.
    """
    widths = [cell_len(_shown(path)) for path in paths if isinstance(path, str)]
    column = max((width for width in widths if width <= WIDEST_PATH), default=0)

    def lines(result: "PicturePrediction | Unreadable") -> str:
        if isinstance(result, Unreadable):
            return ""
        path = _shown(result.path)
        line = f"{path}{' ' * (column - cell_len(path))}  {_shown(result.text)}"
        return f"{line}\n{strip(result.explanation)}\n" if strips and result.explanation else line

    return lines


def _silent(done: int, total: int) -> None:
    """Report nothing: a few pictures need no bar."""


def _shown(text: str) -> str:
    from mue_cli.reports.exit_strip import printable

    return printable(text)


@contextmanager
def _page(
    path: Path | None, stream: "PictureStream", notes: Sequence[str]
) -> "Iterator[list[Explained]]":
    """Yield the list of what is on the page, and write it at the end, an early end included."""
    sections: list[Explained] = []
    try:
        yield sections
    finally:
        if path and sections:
            from mue_cli.reports.explain_page import write_page

            write_page(path, stream.title, notes, sections)
            say(f"page: {path}")


def _coverage(total: int) -> str:
    if total == 1:
        return "one picture"
    return (
        f"{total} pictures"
        if total <= MAX_SECTIONS
        else f"the first {MAX_SECTIONS} of {total} pictures"
    )


def _section(result: "PicturePrediction") -> "Explained":
    from mue_cli.reports.explain_page import Explained

    assert result.thumbnail is not None and result.explanation is not None  # a page was asked for
    return Explained(result.path, result.text, result.thumbnail, result.explanation)
