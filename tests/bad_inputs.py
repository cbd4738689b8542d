"""Bad inputs over all commands."""

from bad_earlier import what_is_there
from bad_files import (
    kept_states,
    missing_files,
    odd_places,
    pictures,
    places,
    stored_files,
    stored_values,
)
from bad_lines import overrides, recipes, words_of_the_command_line
from bad_sources import sources_to_prepare
from bad_world import Bad


def all_bad() -> list[Bad]:
    """Return every bad input, in the order of the docs."""
    makers = (
        words_of_the_command_line,
        recipes,
        overrides,
        places,
        pictures,
        missing_files,
        stored_files,
        stored_values,
        kept_states,
        odd_places,
        sources_to_prepare,
        what_is_there,
    )
    return [bad for make in makers for bad in make()]
