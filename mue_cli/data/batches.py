"""Examples, the batches made of them, and the order in which batches come.

Shape letters: B rows, L source tokens, T target positions, I image side in pixels.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mue_cli.data.ahead import ahead
from mue_cli.data.images import preprocess
from mue_cli.data.tasks import Task


class Tokenizer(Protocol):
    """What batching needs of a tokenizer; mue_cli.model.tokenizer has the real one."""

    bos_id: int
    pad_id: int
    eos_id: int

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


@dataclass(frozen=True)
class Example:
    """One row of a task. `references` are the captions it is scored against, or the one right
    answer.

    source: the encoder's text, prompt and leading space included. target: what the decoder should
    say, without a leading space. image: RGB, decoded when read; or its features (h, w, C).
    """

    sample_id: str
    image_id: str
    image: Image.Image | Tensor
    source: str
    target: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """images: (B, 3, I, I) float32, (x - 0.5) / 0.5; or a frozen trunk's features (B, C, h, w).
    source_tokens: (B, L) int64, bos + text + eos, right-padded with pad_id.
    decoder_tokens: (B, T) int64, the decoder's input: bos + caption, or bos + prompt for
    entailment; right-padded. target_tokens: (B, T) int64, what position t should predict; pad_id
    where nothing is asked. A caption's is shifted by one and ends in eos; entailment asks only at
    the last position of each row's prompt, for the answer's token. In training a picture may
    have several captions: then B is that many times larger for the last two, captions of a picture
    side by side.
    """

    sample_ids: tuple[str, ...]
    image_ids: tuple[str, ...]
    images: Tensor
    source_tokens: Tensor
    decoder_tokens: Tensor
    target_tokens: Tensor
    references: tuple[tuple[str, ...], ...]
    num_cut: int = 0
    """How many captions, or questions, were longer than the limit and lost their end."""


@dataclass(frozen=True)
class CaptionGroups:
    """Which examples are captions of one picture. ends: per picture, where its captions end.
    per_picture: how many of them come at a time.
    """

    ends: Sequence[int]
    per_picture: int

    def pick(self, picture: int, epoch: int, seed: int) -> list[int]:
        """Return per_picture captions, others in the next epoch until all came; where a picture has
        fewer, some come twice.
        """
        start = int(self.ends[picture - 1]) if picture else 0
        count = int(self.ends[picture]) - start
        order = np.random.default_rng([seed, picture]).permutation(count)
        first = epoch * self.per_picture
        return [start + int(order[(first + i) % count]) for i in range(self.per_picture)]


@dataclass(frozen=True)
class Part:
    """The share of one of several processes: every count-th row of a batch, from `rank` on."""

    rank: int
    count: int


BATCHES_AHEAD = 2
"""Batches that are made while the model works on one."""

MakeBatch = Callable[[Sequence[Example]], Batch]


def collate(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    image_size: int,
    task: Task,
    max_source_tokens: int = 80,
    max_target_tokens: int = 20,
    per_picture: int = 1,
) -> Batch:
    """Return the batch of these examples.

    max_source_tokens counts the source's text, max_target_tokens a caption's; bos and eos come on
    top. Images are resized to a square of image_size. per_picture: so many neighbours are captions
    of one picture, which is in the batch once. Raises ValueError when there is no example,
    or an answer is not one token.
    """
    if not examples:
        raise ValueError("a batch needs at least one example")
    bos, eos = tokenizer.bos_id, tokenizer.eos_id
    pictures = examples[::per_picture]
    questions = [tokenizer.encode(example.source) for example in pictures]
    sources = [each[:max_source_tokens] for each in questions]
    whole = [tokenizer.encode(f" {example.target}") for example in examples]
    targets = (
        whole if task.answers else [_cut(each, max_target_tokens, tokenizer) for each in whole]
    )
    cut, learned = (sources, questions) if task.answers else (targets, whole)
    if task.answers:
        decoded = [
            _prompt_and_answer(source, target, tokenizer)
            for source, target in zip(sources, targets, strict=True)
        ]
    else:
        decoded = [([bos, *target], [*target, eos]) for target in targets]
    return Batch(
        sample_ids=tuple(example.sample_id for example in examples),
        image_ids=tuple(example.image_id for example in pictures),
        images=_images([example.image for example in pictures], image_size),
        source_tokens=_padded([[bos, *source, eos] for source in sources], tokenizer.pad_id),
        decoder_tokens=_padded([row for row, _ in decoded], tokenizer.pad_id),
        target_tokens=_padded([target for _, target in decoded], tokenizer.pad_id),
        references=tuple(example.references for example in pictures),
        num_cut=sum(len(each) < len(all_of) for each, all_of in zip(cut, learned, strict=True)),
    )


def _cut(tokens: list[int], limit: int, tokenizer: Tokenizer) -> list[int]:
    """Return at most `limit` tokens of a text, and never a part of a character."""
    if len(tokens) <= limit:
        return tokens
    kept = tokens[:limit]
    while kept and tokenizer.decode(kept).endswith("\N{REPLACEMENT CHARACTER}"):
        kept = kept[:-1]
    return kept


def _images(images: Sequence[Image.Image | Tensor], size: int) -> Tensor:
    if isinstance(images[0], Tensor):
        features = torch.stack([image for image in images if isinstance(image, Tensor)])
        return features.permute(0, 3, 1, 2)  # (B, h, w, C) -> (B, C, h, w)
    return preprocess([image for image in images if isinstance(image, Image.Image)], size)


def training_batches(
    examples: Sequence[Example],
    make_batch: MakeBatch,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    groups: "CaptionGroups | None" = None,
    part: "Part | None" = None,
) -> Iterator[Batch]:
    """Yield batches without end: every example once per epoch, in an order drawn from (seed,
    epoch).

    A batch may reach over the end of an epoch, so all have batch_size rows. With start_step = n the
    first n batches are left out, at no cost, and the rest are the same. groups: a row is a picture,
    and brings several of its captions. part: of each batch, only this process's share.
    """
    count = len(examples) if groups is None else len(groups.ends)
    drawn = _shuffled_rows(count, seed, start=start_step * batch_size)
    rows = ([row] if groups is None else groups.pick(row, epoch, seed) for row, epoch in drawn)
    whole = (list(islice(rows, batch_size)) for _ in itertools.count())
    own = whole if part is None else (batch[part.rank :: part.count] for batch in whole)
    batches = (list(itertools.chain.from_iterable(batch)) for batch in own)
    return ahead(lambda batch: make_batch([examples[row] for row in batch]), batches, BATCHES_AHEAD)


def evaluation_batches(
    examples: Sequence[Example],
    make_batch: MakeBatch,
    batch_size: int,
    order: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Yield every example once, in order or in another `order` of their numbers; the last batch may
    be smaller.
    """
    rows = range(len(examples)) if order is None else order
    batches = (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    return ahead(lambda batch: make_batch([examples[row] for row in batch]), batches, BATCHES_AHEAD)


def _prompt_and_answer(
    prompt: list[int], answer: list[int], tokenizer: Tokenizer
) -> tuple[list[int], list[int]]:
    """The decoder reads the prompt too (OFA's prev_output) and is asked after its last token."""
    if len(answer) != 1:
        raise ValueError(
            f"the answer {tokenizer.decode(answer)!r} has {len(answer)} tokens; "
            "answers must have one"
        )
    return [tokenizer.bos_id, *prompt], [tokenizer.pad_id] * len(prompt) + answer


def _padded(rows: list[list[int]], pad_id: int) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad_id)


def _shuffled_rows(count: int, seed: int, start: int) -> Iterator[tuple[int, int]]:
    """Yield row and epoch without end."""
    first_epoch, offset = divmod(start, count)
    for epoch in itertools.count(first_epoch):
        order = np.random.default_rng([seed, epoch]).permutation(count)[offset:].tolist()
        yield from ((row, epoch) for row in order)
        offset = 0
