"""Visual entailment: does the picture support a sentence? OFA's question, and the columns of a
prepared table.
"""

import re
from functools import partial
from typing import TYPE_CHECKING

from mue_cli.data.tasks.task import Question, Task, TextRow, TextRows

if TYPE_CHECKING:
    import pyarrow

MAX_QUESTION_WORDS = 80
ENTAILED, CONTRADICTED, NEUTRAL = "entailment", "contradiction", "neutral"
LABELS = {CONTRADICTED: "no", ENTAILED: "yes", NEUTRAL: "maybe"}
ANSWERS = ("no", "yes", "maybe")

_DASHES = str.maketrans("-/", "  ")


def entailment_source(premise: str | None, hypothesis: str, bare: bool = False) -> str:
    """Return OFA's question about a hypothesis, beside a text premise where there is one.

    bare: the texts alone, without OFA's words.
    """
    if bare:
        texts = (text for text in (premise, hypothesis) if text is not None)
        return "".join(f" {_question_text(text)}" for text in texts)
    if premise is None:
        return f' does the image describe " {_question_text(hypothesis)} "?'
    first, second = _question_text(premise), _question_text(hypothesis)
    return f' can image and text1 " {first} " imply text2 " {second} "?'


def is_cut(premise: str | None, hypothesis: str) -> bool:
    """Tell whether a question loses the end of one of its texts."""
    return any(len(_words(text)) > MAX_QUESTION_WORDS for text in (premise or "", hypothesis))


def _question_text(text: str) -> str:
    return " ".join(_words(text)[:MAX_QUESTION_WORDS])


def _words(text: str) -> list[str]:
    return re.split(r"\s+", text.lower().lstrip(",.!?*#:;~").translate(_DASHES).strip())


def _rows(table: "pyarrow.Table", per_text: bool, bare: bool) -> TextRows:
    """Read a table of `image`, `image_id`, `pair_id`, `premise`, `hypothesis` and `label`."""
    return TextRows(len(table), partial(_row, table, bare))


def _row(table: "pyarrow.Table", bare: bool, number: int) -> TextRow:
    row = {name: table[name][number].as_py() for name in table.column_names}
    answer = LABELS[row["label"]]
    source = entailment_source(row["premise"], row["hypothesis"], bare)
    return TextRow(row["image"], row["pair_id"], row["image_id"], source, answer, (answer,))


def _source(question: Question, bare: bool) -> str:
    return entailment_source(question.premise, question.hypothesis or "", bare)


def _cut(question: Question) -> str | None:
    """Return which text of a question loses its end, and how many words it has."""
    texts = {"premise": question.premise, "hypothesis": question.hypothesis}
    counts = {name: len(_words(text)) for name, text in texts.items() if text is not None}
    cut = [
        f"the {name} has {count}" for name, count in counts.items() if count > MAX_QUESTION_WORDS
    ]
    return f"{' and '.join(cut)} words, the first {MAX_QUESTION_WORDS} are asked" if cut else None


ENTAILMENT = Task(
    name="entailment",
    metric="accuracy",
    result="answer",
    datasets=("shapes", "snli-ve"),
    demo="shapes-entailment",
    rows=_rows,
    source=_source,
    answers=ANSWERS,
    judges=True,
    cut=_cut,
)
