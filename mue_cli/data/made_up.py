"""Made-up pictures with the task's question, to time a model where nothing is prepared. Of a
photograph's size; nothing is in them.
"""

import io
from collections.abc import Sequence
from typing import overload

import numpy as np
from PIL import Image

from mue_cli.data.batches import Example
from mue_cli.data.images import decode_image
from mue_cli.data.tasks import CAPTION_PROMPT, WHOLE_WORDS, Task
from mue_cli.data.tasks.task import Question

WIDTH, HEIGHT = 640, 480
QUALITY = 90
HYPOTHESIS = "two people are standing outside"
WORDS = tuple(
    f" {word}"
    for word in (
        *CAPTION_PROMPT.rstrip("?").split(),
        *HYPOTHESIS.split(),
        *map(str.strip, WHOLE_WORDS),
    )
)
"""Words of the questions and answers: one token each in a vocabulary that is made up as well, as in
OFA's.
"""


class MadeUpExamples(Sequence[Example]):
    """Examples without references, decoded from JPEG when asked for."""

    def __init__(self, task: Task, count: int, bare: bool = False) -> None:
        question = Question(HYPOTHESIS if task.judges else None)
        self._source = task.source(question, bare)
        self._target = task.answers[0] if task.answers else ""
        self._pictures = [_picture(number) for number in range(count)]

    def __len__(self) -> int:
        return len(self._pictures)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        name = f"made-up-{index}"
        return Example(
            name, name, decode_image(self._pictures[index]), self._source, self._target, ()
        )


def _picture(number: int) -> bytes:
    """Return a JPEG of clouds: enough detail that decoding takes as long as a photograph's."""
    noise = np.random.default_rng(number).integers(
        0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8
    )
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(
        buffer, format="JPEG", quality=QUALITY
    )
    return buffer.getvalue()
