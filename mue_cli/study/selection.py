"""What `mue study` runs of a study: some of its seeds, some of its rows."""

from collections.abc import Sequence

from mue_cli.errors import MueError
from mue_cli.schema.schema import did_you_mean

MOST_SEEDS = 1000
"""Seeds that one number can ask for."""


def wanted_seeds(text: str | None, known: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds that `--seeds` means. Raises MueError for anything but whole numbers, each
    once.
    """
    if text is None:
        return tuple(known)
    words = [word.strip() for word in text.removesuffix(",").split(",")]
    if (
        not all(word.isdecimal() and len(word) < 19 for word in words)
        or len({int(word) for word in words}) < len(words)
        or text.strip() == "0"
        or ("," not in text and int(words[0]) > MOST_SEEDS)
    ):
        raise MueError(
            f"cannot read `--seeds {text[:60]}`",
            "write different seeds as 0,1,2, or how many from 0 on, as 3; seed 0 alone is 1 or 0,",
        )
    numbers = tuple(int(word) for word in words)
    return numbers if "," in text else tuple(range(numbers[0]))


def wanted_rows(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the rows that `--only` names, in the study's order. Raises MueError for one that the
    study does not have.
    """
    names = known if text is None else tuple(word.strip() for word in text.split(","))
    for name in names:
        if name not in known:
            raise MueError(f"the study has no row `{name}`", did_you_mean(name, known, "rows"))
    return tuple(name for name in known if name in names)
