"""Words in a text: what is left when a task has cleaned it up."""

import string
import unicodedata

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def without_punctuation(text: str) -> str:
    """Return a text without ASCII punctuation."""
    return text.translate(_NO_PUNCTUATION)


def has_words(text: str) -> bool:
    """Tell whether a letter, a digit or a symbol (an emoji) is in a text, so that the tasks' own
    clean-up leaves something to be read.
    """
    return any(
        character.isalnum() or _is_symbol(character) for character in without_punctuation(text)
    )


def _is_symbol(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("S") and category != "Sk"  # Sk: an accent that stands alone
