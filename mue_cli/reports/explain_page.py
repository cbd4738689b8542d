"""A page that shows pictures with what the model said, and how deep it looked: one HTML file that
loads nothing.

Everything that comes from files or from the model is escaped; the page forbids itself scripts and
loading, whatever it holds.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mue_cli.reports import heat
from mue_cli.reports.explanation import BEAM, Explanation, Passage, printable

MARKS = (0.0, 0.5, 0.9, 0.99, 0.999)
"""Similarities in the key of colours."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Explained:
    """One picture. name: of its file. text: what the model said. thumbnail: JPEG."""

    name: str
    text: str
    thumbnail: bytes
    explanation: Explanation


def page(title: str, notes: Sequence[str], pictures: Sequence[Explained]) -> str:
    """Return the whole page. notes: lines under the title."""
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{_text(title)}</title><style>{style}</style>'
    lines = "".join(f'<p class="quiet">{_text(note)}</p>' for note in notes)
    sections = "\n".join(_section(picture) for picture in pictures)
    body = f"<h1>{_text(title)}</h1>{lines}\n{_key()}\n{sections}"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}\n</body></html>\n'


def _key() -> str:
    scale = "".join(f'<span style="{_heat(mark)}">{mark:g}</span>' for mark in MARKS)
    measure = "cosine of a layer's output and its input, drawn by the angle between them"
    explained = (
        "bold with a frame: left after this layer",
        "hatched: skipped, has no value",
        "dashed line: threshold",
        f"{BEAM}: the search went on for other hypotheses",
    )
    return (
        f'<div class="key"><span>Similarity: {measure}</span><span class="scale">{scale}</span>'
        + "".join(f"<span>{text}</span>" for text in explained)
        + "</div>"
    )


def _section(picture: Explained) -> str:
    explanation = picture.explanation
    data = base64.b64encode(picture.thumbnail).decode("ascii")
    streams = "".join(_stream(name, passage) for name, passage in explanation.encoder.items())
    saved = f"{explanation.reduction:.1%} of the layers left out (Eq. 14)"
    return (
        f'<section><h2>{_text(picture.text) or "(no words)"}</h2><p class="quiet">{_text(picture.name)} · {saved}</p>'
        f'<div class="look"><img alt="{_text(picture.text)}" src="data:image/jpeg;base64,{data}"><div>{streams}</div></div>'
        f"{_decoder(explanation)}</section>"
    )


def _stream(name: str, passage: Passage) -> str:
    rows = "".join(_bar(passage, layer) for layer in range(1, passage.num_layers + 1))
    told = f"{_verdict(passage)}, {_told(passage.threshold)}"
    return f'<table class="stream"><caption>{_text(name)} <span class="quiet">{told}</span></caption>{rows}</table>'


def _bar(passage: Passage, layer: int) -> str:
    if layer > passage.exit_layer:
        return f'<tr><th scope="row">layer {layer}</th><td class="track skipped">skipped</td><td></td></tr>'
    seen = passage.similarities[layer - 1]
    tick = (
        ""
        if passage.threshold is None
        else f'<span class="tick" style="left:{_percent(passage.threshold)}"></span>'
    )
    bar = f'<div><span class="bar" style="width:{_percent(seen)}"></span>{tick}</div>'
    left, exits = (' class="exit"', ", exit") if _leaves(passage, layer) else ("", "")
    return f'<tr{left}><th scope="row">layer {layer}{exits}</th><td class="track">{bar}</td><td>{seen:.4f}</td></tr>'


def _decoder(explanation: Explanation) -> str:
    layers = range(1, max(passage.num_layers for passage in explanation.decoder) + 1)
    head = "".join(f'<th scope="col">layer {layer}</th>' for layer in layers)
    rows = "".join(
        _step(label, passage)
        for label, passage in zip(explanation.labels(), explanation.decoder, strict=True)
    )
    told = "a row for every token; the hypotheses of a beam leave together"
    return (
        f'<h3>decoder <span class="quiet">{told}</span></h3><div class="wide"><table class="heat">'
        f'<tr><td class="plain"></td><th scope="col">exit</th><th scope="col">threshold</th>{head}</tr>{rows}</table></div>'
    )


def _step(label: str, passage: Passage) -> str:
    name = f'<tr><th scope="row">{_text(label)}</th>'
    cells = "".join(_cell(passage, layer) for layer in range(1, passage.num_layers + 1))
    threshold = "-" if passage.threshold is None else f"{passage.threshold:.4f}"
    return f'{name}<td class="plain">{passage.exit_layer}</td><td class="plain">{threshold}</td>{cells}</tr>'


def _cell(passage: Passage, layer: int) -> str:
    if layer > passage.exit_layer:
        return '<td class="skipped" title="skipped">-</td>'
    seen = passage.similarities[layer - 1]
    left = ' class="exit"' if _leaves(passage, layer) else ""
    return f'<td{left} style="{_heat(seen)}">{seen:.4f}</td>'


def _leaves(passage: Passage, layer: int) -> bool:
    return passage.left_early and layer == passage.exit_layer


def _verdict(passage: Passage) -> str:
    if passage.left_early:
        return f"left after layer {passage.exit_layer} of {passage.num_layers}"
    return f"ran all {passage.num_layers} layers"


def _told(threshold: float | None) -> str:
    return "no threshold" if threshold is None else f"threshold {threshold:.4f}"


def _heat(similarity: float) -> str:
    background = heat.colour(similarity)
    return f"background:{heat.css(background)};color:{heat.css(heat.ink(background))}"


def _percent(similarity: float) -> str:
    return f"{heat.place(similarity):.1%}"


def _text(text: str) -> str:
    """Return text that is nothing but text in HTML, in an attribute too."""
    return escape(printable(text), quote=True)
