"""The page of `mue predict --explain`: whole numbers of cells, inert text, colours that can be
read.
"""

from html.parser import HTMLParser

import pytest

from mue_cli.reports import heat
from mue_cli.reports.exit_strip import ExitStrip, LayerScores
from mue_cli.reports.explain_page import Explained, page
from mue_cli.reports.pages import POLICY

STRIP = ExitStrip(
    "mue",
    {
        "image": LayerScores((0.3, 0.75, 0.9823), 4, 0.98),
        "text": LayerScores((-0.2, 0.5, 0.6, 0.7), 4, None),
    },
    (" a", "</s>"),
    (
        LayerScores((0.25,), 3, 0.2),
        LayerScores((0.1, 0.2, 0.3), 3, 0.19),
        LayerScores((0.5, 0.9), 3, 0.18),
    ),
    0.4321,
)


class Table(HTMLParser):
    """Collects tags with their attributes, and the text of every table row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        self.in_cell |= tag in ("td", "th")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag) -> None:
        self.in_cell &= tag not in ("td", "th")

    def handle_data(self, data) -> None:
        if self.in_cell:
            self.rows[-1][-1] += data


def one(name: str = "a.png", text: str = "a cat") -> str:
    return page("title", ["note"], [Explained(name, text, b"jpeg", STRIP)])


def test_every_layer_has_a_row_and_skipped_ones_have_no_number() -> None:
    rows = Table(one()).rows
    assert rows[:4] == [
        ["layer 1", "", "0.3000"],
        ["layer 2", "", "0.7500"],
        ["layer 3, exit", "", "0.9823"],
        ["layer 4", "skipped", ""],
    ]
    assert rows[4:8] == [
        ["layer 1", "", "-0.2000"],
        ["layer 2", "", "0.5000"],
        ["layer 3", "", "0.6000"],
        ["layer 4", "", "0.7000"],
    ]


def test_every_token_has_a_row_of_layers_with_its_exit_and_threshold() -> None:
    head, *steps = Table(one()).rows[8:]
    assert head == ["", "exit", "threshold", "layer 1", "layer 2", "layer 3"]
    assert steps == [
        ["a", "1", "0.2000", "0.2500", "-", "-"],
        ["</s>", "3", "0.1900", "0.1000", "0.2000", "0.3000"],
        ["(beam)", "2", "0.1800", "0.5000", "0.9000", "-"],
    ]


def test_streams_are_told_in_words() -> None:
    text = one()
    assert "left after layer 3 of 4, threshold 0.9800" in text
    assert "ran all 4 layers, no threshold" in text
    assert "43.2% of the layers left out" in text


def test_the_exit_is_marked_where_a_sample_left_and_not_after_the_last_layer() -> None:
    marked = [attrs for tag, attrs in Table(one()).found if attrs.get("class") == "exit"]
    assert len(marked) == 3  # the image stream, the first and the third step


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onload='alert(1)",
        "&lt;script&gt;",
    ],
)
def test_names_captions_and_notes_are_nothing_but_text(evil: str) -> None:
    plain = [tag for tag, _ in Table(one()).found]
    text = page(evil, [evil], [Explained(evil, evil, b"jpeg", STRIP)])
    parsed = Table(text)
    assert [tag for tag, _ in parsed.found] == plain
    assert not any(name.startswith("on") for _, attrs in parsed.found for name in attrs)
    assert next(attrs["alt"] for tag, attrs in parsed.found if tag == "img") == evil


def test_page_forbids_scripts_and_loading() -> None:
    policies = [
        attrs["content"]
        for tag, attrs in Table(one()).found
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [POLICY] and "script" not in POLICY and "default-src 'none'" in POLICY


def test_a_name_that_is_no_utf8_can_be_written() -> None:
    assert "caf\\udce9.png" in one("caf\udce9.png").encode("utf-8").decode("utf-8")


def test_an_answer_without_words_has_a_heading_all_the_same() -> None:
    assert "<h2>(no words)</h2>" in one(text="")


def test_scale_is_by_angle() -> None:
    assert [heat.place(cosine) for cosine in (1.0, 0.5, 0.0, -0.3)] == pytest.approx(
        [1.0, 1 / 3, 0.0, 0.0]
    )
    assert heat.colour(1.0) == (254, 232, 56) and heat.colour(-1.0) == (0, 34, 78)


def test_numbers_can_be_read_on_every_colour() -> None:
    """WCAG asks for a contrast of 4.5; the best of black and white gives 4.58 at worst."""
    for step in range(101):
        background = heat.colour(step / 100)
        light, dark = sorted(
            (heat._luminance(background), heat._luminance(heat.ink(background))), reverse=True
        )
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_colours_grow_lighter_with_similarity() -> None:
    lightness = [heat._luminance(heat.colour(step / 100)) for step in range(101)]
    assert lightness == sorted(lightness)
