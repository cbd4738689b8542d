"""What a task is: what it reads of prepared data, what it asks, how its answers are scored.

A task with `answers` chooses among them in one pass and is scored by accuracy; one without writes
text by beam search and is scored by caption metrics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mue_cli.data.tasks.words import has_words
from mue_cli.errors import MueError
from mue_cli.schema.schema import show

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class TextRow:
    """An example but for its picture.

    image: the picture's row. source: the encoder's text, prompt and leading space included. target:
    what the decoder should say, without a leading space. references: what it is scored against.
    """

    image: int
    sample_id: str
    image_id: str
    source: str
    target: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class TextRows:
    """Rows of one split, made when they are read. read: the row of a number below `count`."""

    count: int
    read: Callable[[int], TextRow]


@dataclass(frozen=True)
class Question:
    """What a user asks about a picture of their own: a statement, and what is known beside it."""

    hypothesis: str | None = None
    premise: str | None = None

    def check(self, task: "Task", recipe: str) -> None:
        """Raise MueError when the question is empty or does not fit the task of a recipe."""
        if self.premise is not None and self.hypothesis is None:
            raise MueError(
                "--premise stands alone, expected --hypothesis beside it",
                "what should follow from picture and premise?",
            )
        for name, text in (("hypothesis", self.hypothesis), ("premise", self.premise)):
            if text is not None and not text.strip():
                raise MueError(f"--{name} is empty, expected a sentence", "put it in quotes")
            if text is not None and not _is_unicode(text):
                raise MueError(
                    f"--{name} is no text that can be read", "is the terminal's encoding UTF-8?"
                )
            if text is not None and not has_words(text):
                raise MueError(
                    f"--{name} is {show(text)}, which has no word, expected a sentence",
                    'for example "a dog is on the beach"',
                )
        if task.judges and self.hypothesis is None:
            raise MueError(
                f"the recipe `{recipe}` judges sentences, and none was given",
                'add --hypothesis "..."',
            )
        if not task.judges and self.hypothesis is not None:
            raise MueError(
                f"the recipe `{recipe}` writes captions and cannot judge a hypothesis",
                "name an entailment model with --recipe or --run, or leave out --hypothesis",
            )


@dataclass(frozen=True)
class Task:
    """One task.

    name: as recipes name it, and the folder of its tables. metric: the score it is judged by.
    answers: the closed set of answers, one token each; empty where text is generated.
    result: what `mue predict` and predictions.json call what comes out.
    datasets: that serve it, the first being drawn scenes. demo: the recipe of `mue demo`.
    rows: reads a prepared table; per_text: every text of an example is a row of its own; bare: ask
        without OFA's words around the sentence.
    source: the encoder's text for a question that fits. judges: whether it needs one from the user.
    cut: in words, what the source leaves out of a question, None where it has all of it.
    """

    name: str
    metric: str
    result: str
    datasets: Sequence[str]
    demo: str
    rows: Callable[["pyarrow.Table", bool, bool], TextRows]
    source: Callable[[Question, bool], str]
    answers: tuple[str, ...] = ()
    judges: bool = False
    cut: Callable[[Question], str | None] = lambda question: None

    @property
    def generates(self) -> bool:
        """Whether text is written word by word, rather than chosen from a closed set."""
        return not self.answers

    def answer_ids(self, encode: Callable[[str], list[int]]) -> list[int]:
        """Return the tokens of the answers. Raises MueError when one is no single token: its first
        piece is not the answer.
        """
        ids = [encode(f" {answer}") for answer in self.answers]
        for answer, tokens in zip(self.answers, ids, strict=True):
            if len(tokens) != 1:
                raise MueError(
                    f"the model's vocabulary has no token for the answer `{answer}`",
                    "it was not made for this task: train one that was",
                )
        return [tokens[0] for tokens in ids]


def _is_unicode(text: str) -> bool:
    """Return whether a word of the command line is text: its bytes may be of another encoding."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
