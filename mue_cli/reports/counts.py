"""Counts of samples in words, as captions say them."""

from collections.abc import Iterable


def samples_in_words(counts: Iterable[int]) -> str:
    """Return the least and the largest count: "1 sample", "400 samples", "10 to 400 samples"."""
    known = sorted(set(counts))
    numbers = " to ".join(f"{count:,}" for count in (known[0], known[-1])[: len(known)])
    return f"{numbers} sample{'' if known == [1] else 's'}"
