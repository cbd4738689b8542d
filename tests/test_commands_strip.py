"""The heat strip: a cell for every layer, in the room there is."""

import pytest

from mue_cli.commands import strip
from mue_cli.reports.exit_strip import ExitStrip, LayerScores

EXPLANATION = ExitStrip(
    "mue",
    {
        "image": LayerScores((-0.12345, 0.99996), 4, 0.999),
        "text": LayerScores((0.5, 0.6, 0.7, 1.0), 4, None),
    },
    (" cat", "</s>"),
    (LayerScores((0.25,), 6, 0.2), LayerScores((0.1,) * 6, 6, None)),
    0.4,
)


def lines(room: int | None) -> list[str]:
    return [line.plain for line in strip._lines(EXPLANATION, room)]


def test_cells_hold_similarities_the_exit_and_what_was_skipped() -> None:
    assert lines(None) == [
        "             1      2      3      4      5      6  exit  threshold",
        "  image -.123  .9999<     -      -                    2     0.9990",
        "  text  .5000  .6000  .7000  1.000                    4          -",
        "  cat   .2500<     -      -      -      -      -      1     0.2000",
        "  </s>  .1000  .1000  .1000  .1000  .1000  .1000      6          -",
    ]


@pytest.mark.parametrize(
    ("room", "cell"), [(80, ".5000"), (67, ".5000"), (64, ".500"), (56, ".50"), (10, ".50")]
)
def test_digits_are_as_many_as_the_terminal_has_room_for(room: int, cell: str) -> None:
    assert lines(room)[2].split()[1] == cell
    assert max(map(len, lines(room))) <= max(room, 54)


def test_a_similarity_below_one_is_never_shown_as_one() -> None:
    assert [strip._number(value, 4) for value in (1.0, 0.99999, 0.9999)] == [
        "1.000",
        ".9999",
        ".9999",
    ]
