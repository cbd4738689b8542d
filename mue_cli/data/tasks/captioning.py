"""Image captioning: OFA's prompt, caption clean-up, and the columns of a prepared table."""

from functools import partial
from typing import TYPE_CHECKING, Any

from mue_cli.data.tasks.task import Question, Task, TextRow, TextRows
from mue_cli.data.tasks.words import without_punctuation

if TYPE_CHECKING:
    import pyarrow

COCO_CAPTION = "caption"
"""COCO's key of a caption, in annotations and in results."""
CAPTION_PROMPT = " what does the image describe?"


def caption_target(caption: str) -> str:
    """Return a caption as the decoder learns it: no punctuation, white space collapsed.

    OFA: also the first 20 words alone. Here lower case too, since the metrics ignore case, and
    data.max_target_tokens is the one limit of length: a batch says how many it cut.
    """
    return " ".join(without_punctuation(caption.lower()).split())


def clean_generated(text: str) -> str:
    """Return a generated caption as it is scored: ASCII punctuation deleted, white space
    collapsed.
    """
    return " ".join(without_punctuation(text).split())


def _rows(table: "pyarrow.Table", per_text: bool, bare: bool) -> TextRows:
    """Read a table of `image`, `image_id` and `captions`: one row per picture, or per caption."""
    if not per_text:
        return TextRows(len(table), partial(_row, table, None))
    import numpy as np
    import pyarrow.compute as pc

    last = np.cumsum(pc.list_value_length(table["captions"]).to_numpy())
    return TextRows(int(last[-1]), partial(_row, table, last))


def _row(table: "pyarrow.Table", last: Any, number: int) -> TextRow:
    """Return row `number` of the table or, given where each row's captions end, of its captions
    counted through.
    """
    row = number if last is None else int(last.searchsorted(number, side="right"))
    captions = tuple(table["captions"][row].as_py())
    chosen = 0 if last is None else number - int(last[row]) + len(captions)
    image_id = table["image_id"][row].as_py()
    return TextRow(
        image=table["image"][row].as_py(),
        sample_id=image_id if last is None else f"{image_id}#{chosen}",
        image_id=image_id,
        source=CAPTION_PROMPT,
        target=caption_target(captions[chosen]),
        references=captions,
    )


def _source(question: Question, bare: bool) -> str:
    return CAPTION_PROMPT


CAPTION = Task(
    name="caption",
    metric="CIDEr",
    result=COCO_CAPTION,
    datasets=("shapes", "coco", "flickr8k"),
    demo="shapes-caption",
    rows=_rows,
    source=_source,
)
