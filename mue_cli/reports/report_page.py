"""The page of `mue report`: a run or a study on one page that loads nothing and needs no script."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markupsafe import Markup

from mue_cli.files import write_text
from mue_cli.reports.exit_strip import END, printable
from mue_cli.reports.pages import render
from mue_cli.reports.table_forms import to_cells
from mue_cli.reports.tables import Table


@dataclass(frozen=True)
class Drawing:
    """A figure. title: its message. text: for those who do not see it."""

    title: str
    text: str
    svg: str


@dataclass(frozen=True)
class Sample:
    """One evaluated sample. text: with exits. full: what the full model says, None where that was
    not kept. tokens: of the text. exit_layers: of the encoder, by stream. token_layers: exit layer
    of every token. num_layers: of the decoder.
    """

    name: str
    text: str
    full: str | None
    tokens: Sequence[str]
    exit_layers: Mapping[str, int]
    token_layers: Sequence[int]
    num_layers: int

    def strip(self) -> list[tuple[str, int, float]]:
        """Return every token with its exit layer and that layer's share of all."""
        names = [_visible(token) for token in self.tokens]
        names += [""] * (len(self.token_layers) - len(names))
        return [
            (name, layer, layer / self.num_layers)
            for name, layer in zip(names, self.token_layers, strict=False)
        ]


@dataclass(frozen=True)
class Report:
    """All that the page shows. facts: what was run, name and value. promises: what was calibrated,
    a heading and its sentences. savings: sentences. missing: what the page could show, and the
    command that makes it. note: what is to be known before anything else.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    tables: Sequence[tuple[str, Table]]
    drawings: Sequence[Drawing] = ()
    promises: Sequence[tuple[str, Sequence[str]]] = ()
    savings: Sequence[str] = ()
    samples: Sequence[Sample] = ()
    missing: Sequence[str] = ()
    note: str = ""


def page(report: Report) -> str:
    """Return the whole page."""
    tables = [(heading, to_cells(table), table.caption) for heading, table in report.tables]
    drawings = [
        (drawing, _inline(drawing, f"figure{place}-"))
        for place, drawing in enumerate(report.drawings)
    ]
    return render("report.html", title=report.title, report=report, tables=tables, figures=drawings)


def write_page(report: Report, path: Path) -> None:
    """Write the page to a file."""
    write_text(path, page(report))


def _visible(token: str) -> str:
    return "end" if token == END else printable(token).strip() or "\u2423"


def _inline(drawing: Drawing, prefix: str) -> Markup:
    """Return our own SVG as an element of the page. prefix: of its names, which would clash with
    another figure's.
    """
    svg = drawing.svg[drawing.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", svg)
    about = f'<svg class="figure" role="img" aria-label="{escape(drawing.text, quote=True)}"'
    return Markup(svg.replace("<svg", about, 1))
