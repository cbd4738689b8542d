"""The two tasks: prompts, answers and text clean-up, as OFA has them. Texts given to the tokenizer
start with a space.
"""

import re
import string
from dataclasses import dataclass

CAPTION_PROMPT = " what does the image describe?"
MAX_CAPTION_WORDS = 20
MAX_QUESTION_WORDS = 80
LABELS = {"contradiction": "no", "entailment": "yes", "neutral": "maybe"}
ANSWERS = ("no", "yes", "maybe")

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DASHES = str.maketrans("-/", "  ")


@dataclass(frozen=True)
class Task:
    """metric: the score it is judged by. answers: the closed set of answers, empty where captions
    are generated.
    """

    name: str
    metric: str
    answers: tuple[str, ...] = ()


CAPTION = Task("caption", metric="CIDEr")
ENTAILMENT = Task("entailment", metric="accuracy", answers=ANSWERS)
TASKS = {task.name: task for task in (CAPTION, ENTAILMENT)}
WHOLE_WORDS = tuple(f" {answer}" for answer in ANSWERS)


def caption_target(caption: str) -> str:
    """Return a caption as the decoder learns it: no punctuation, first 20 words. Here lower case
    too, since the metrics ignore case.
    """
    return " ".join(caption.lower().translate(_NO_PUNCTUATION).split()[:MAX_CAPTION_WORDS])


def clean_generated(text: str) -> str:
    """Return a generated caption as it is scored: ASCII punctuation deleted, white space collapsed."""
    return " ".join(text.translate(_NO_PUNCTUATION).split())


def entailment_source(premise: str | None, hypothesis: str, bare: bool = False) -> str:
    """Return OFA's question about a hypothesis, beside a text premise where there is one. bare: the
    texts alone, without OFA's words.
    """
    if bare:
        return "".join(
            f" {_question_text(text)}" for text in (premise, hypothesis) if text is not None
        )
    if premise is None:
        return f' does the image describe " {_question_text(hypothesis)} "?'
    return f' can image and text1 " {_question_text(premise)} " imply text2 " {_question_text(hypothesis)} "?'


def _question_text(text: str) -> str:
    words = re.split(r"\s+", text.lower().lstrip(",.!?*#:;~").translate(_DASHES).strip())
    return " ".join(words[:MAX_QUESTION_WORDS])
