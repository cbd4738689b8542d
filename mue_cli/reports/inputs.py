"""The inputs of a measurement, as a record's settings and a kept file's `about` state them: the
prepared data and the weights by what they contain, and how a sample is made.
"""

from collections.abc import Iterator, Mapping

WEIGHTS, EXIT_HEAD = "weights_fingerprint", "exit_head_fingerprint"
DATA_INPUTS = ("data", "image_size", "prompt", "max_source_tokens")
"""data: fingerprint of the prepared data. The others: of the recipe."""
INPUTS = (*DATA_INPUTS, WEIGHTS)


def differs(one: Mapping[str, object], other: Mapping[str, object], name: str) -> bool:
    """Return whether two state something in other ways. Files from before say nothing of some
    things, which is no difference.
    """
    values = [each.get(name) for each in (one, other)]
    return None not in values and str(values[0]) != str(values[1])


def differing(
    one: Mapping[str, object], other: Mapping[str, object], names: tuple[str, ...] = INPUTS
) -> Iterator[str]:
    """Yield the names of what two state in other ways."""
    return (name for name in names if differs(one, other, name))


def same_setting(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Return whether the settings of two records are the same, as far as both state them."""
    bare = [{key: each[key] for key in each if key not in INPUTS} for each in (one, other)]
    return bare[0] == bare[1] and not any(differing(one, other))
