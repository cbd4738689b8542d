"""Examples and the batches made of them.

Shape letters: B rows, L source tokens, T target positions, I image side in pixels.
"""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image
from torch import Tensor


class Tokenizer(Protocol):
    """What batching needs of a tokenizer; mue_cli.model.tokenizer has the real one."""

    bos_id: int
    pad_id: int
    eos_id: int

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


@dataclass(frozen=True)
class Example:
    """One row of a task. `references` are the captions it is scored against, or the one right answer.

    source: the encoder's text, prompt included. target: what the decoder should say. image: RGB, decoded when read.
    """

    sample_id: str
    image_id: str
    image: Image.Image
    source: str
    target: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """images: (B, 3, I, I) float32, (x - 0.5) / 0.5.
    source_tokens: (B, L) int64, bos + text + eos, right-padded with pad_id.
    decoder_tokens: (B, T) int64, the decoder's input: bos + caption, or bos + prompt for entailment; right-padded.
    target_tokens: (B, T) int64, what position t should predict; pad_id where nothing is asked. A caption's is shifted
        by one and ends in eos; entailment asks only at the last position of each row's prompt, for the answer's token.
    """

    sample_ids: tuple[str, ...]
    image_ids: tuple[str, ...]
    images: Tensor
    source_tokens: Tensor
    decoder_tokens: Tensor
    target_tokens: Tensor
    references: tuple[tuple[str, ...], ...]
