"""How far a task can be solved without looking: a linear classifier over the words and word pairs
of the text.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mue_cli.data.rows import EntailmentRow

EPOCHS = 5
BATCH_SIZE = 256
MAX_TRAINING_PAIRS = 50_000


def text_only_accuracy(
    train: Sequence[EntailmentRow], test: Sequence[EntailmentRow], seed: int = 0
) -> float:
    """Train on hypotheses and labels alone and return the fraction of `test` labels it gets right.

    Multinomial logistic regression over the presence of words and neighbouring words. Both parts
    must hold at least one pair.
    """
    generator = torch.Generator().manual_seed(seed)
    train = [
        train[i]
        for i in torch.randperm(len(train), generator=generator)[:MAX_TRAINING_PAIRS].tolist()
    ]
    vocabulary: dict[str, int] = {}
    bags = [
        [vocabulary.setdefault(feature, len(vocabulary)) for feature in _features(row.hypothesis)]
        for row in train
    ]
    labels = sorted({row.label for row in train})
    weights = nn.EmbeddingBag(
        len(vocabulary) + 1, len(labels), mode="sum", padding_idx=len(vocabulary)
    )
    nn.init.zeros_(weights.weight)
    with _one_thread():
        _fit(weights, bags, torch.tensor([labels.index(row.label) for row in train]), generator)
    test_bags = [
        [vocabulary[feature] for feature in _features(row.hypothesis) if feature in vocabulary]
        for row in test
    ]
    with torch.no_grad():
        predicted = weights(_padded(test_bags, len(vocabulary))).argmax(dim=1).tolist()
    return sum(
        labels[guess] == row.label for guess, row in zip(predicted, test, strict=True)
    ) / len(test)


def _fit(
    weights: nn.EmbeddingBag, bags: list[list[int]], labels: Tensor, generator: torch.Generator
) -> None:
    padding = weights.num_embeddings - 1
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.02)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(bags), generator=generator).split(BATCH_SIZE):
            logits = weights(_padded([bags[i] for i in rows.tolist()], padding))
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[rows]).backward()
            optimizer.step()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums this small take many times longer when threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _features(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return sorted({*words, *(f"{left} {right}" for left, right in pairwise(words))})


def _padded(bags: list[list[int]], padding: int) -> Tensor:
    """Bags of one length; the padding row adds nothing."""
    longest = max([1, *(len(bag) for bag in bags)])
    return torch.tensor([bag + [padding] * (longest - len(bag)) for bag in bags])
