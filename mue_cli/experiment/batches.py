"""Batches of a split that can be walked again and again, made ahead of the model each time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from mue_cli.data.batches import Batch, Example, Tokenizer, evaluation_batches
from mue_cli.data.store.prepared import Examples
from mue_cli.training.processes import Processes

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment

T = TypeVar("T")


@dataclass(frozen=True)
class Batches(Iterable[Batch]):
    """Some examples as batches, those of like text length together, so that little is padding."""

    examples: Examples
    tokenizer: Tokenizer
    collate: Callable[[Sequence[Example]], Batch]
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        return evaluation_batches(self.examples, self.collate, self.batch_size, self._order)

    @cached_property
    def _lengths(self) -> list[int]:
        return [
            len(self.tokenizer.encode(self.examples.source(row)))
            for row in range(len(self.examples))
        ]

    @cached_property
    def _order(self) -> list[int]:
        return sorted(range(len(self._lengths)), key=self._lengths.__getitem__)

    def num_longer(self, limit: int) -> int:
        """Return how many questions have more tokens than `limit`."""
        return sum(length > limit for length in self._lengths)

    def with_shuffled_pictures(self, seed: int) -> "Batches":
        """Return the same examples, each with another's picture. Raises DataError when all show
        one.
        """
        return replace(self, examples=self.examples.with_shuffled_pictures(seed))

    def share(self, processes: Processes) -> "Batches":
        """Return the part of the examples that one process works on; together all, each once."""
        if processes.count == 1:
            return self
        return replace(self, examples=self.examples[processes.rank :: processes.count])

    def in_order(self, results: Sequence[T]) -> list[T]:
        """Return what was computed batch by batch in the examples' own order."""
        placed = sorted(zip(self._order, results, strict=True), key=lambda pair: pair[0])
        return [result for _, result in placed]


def tell_cut(experiment: "Experiment", batches: Batches) -> None:
    """Say how many of these questions are asked without their end, where some are."""
    limit = experiment.recipe.data.max_source_tokens
    cut, total = batches.num_longer(limit), len(batches.examples)
    if cut and experiment.processes.writes:
        what = f"{cut:,} of {total:,} questions are longer than {limit} tokens and lose their end"
        experiment.progress("questions", 0, 0, f"note: {what}: raise data.max_source_tokens")
