"""The heat strip of `--explain`: a line per stream and token, a cell per layer, for a terminal or
plain text.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    from mue_cli.reports.exit_strip import ExitStrip, LayerScores

INDENT = "  "
LEFT = "<"
"""Marks the layer after which a stream or token left."""
DIGITS = (4, 3, 2)
"""Of a similarity; as many as the terminal has room for."""

KEY = f"similarity of a layer's output to its input; {LEFT} left after it, - skipped"


def strip(exits: "ExitStrip") -> str:
    """Return the lines, with colour when stdout is a terminal that has it."""
    console = Console()
    room = console.width if console.is_terminal else None
    with console.capture() as captured:
        for line in _lines(exits, room):
            console.print(line, soft_wrap=True, highlight=False)
    return captured.get().rstrip("\n")


def _lines(exits: "ExitStrip", room: int | None) -> Iterator[Text]:
    lines = [
        *exits.encoder.items(),
        *zip(exits.labels(), exits.decoder, strict=True),
    ]
    names = max(len(name) for name, _ in lines)
    layers = max(stream.num_layers for _, stream in lines)
    digits = next(
        (d for d in DIGITS if room is None or _width(names, layers, d) <= room), DIGITS[-1]
    )
    yield Text(
        INDENT
        + " " * names
        + "".join(f"{layer:>{digits + 3}}" for layer in range(1, layers + 1))
        + "  exit  threshold",
        "dim",
    )
    for name, stream in lines:
        yield _line(name.ljust(names), stream, layers, digits)


def _line(name: str, stream: "LayerScores", layers: int, digits: int) -> Text:
    line = Text(INDENT + name)
    for layer in range(1, layers + 1):
        line.append(" ").append_text(_cell(stream, layer, digits))
    threshold = "-" if stream.threshold is None else f"{stream.threshold:.{digits}f}"
    return line.append(f"  {stream.exit_layer:>4}  {threshold:>9}")


def _cell(stream: "LayerScores", layer: int, digits: int) -> Text:
    from mue_cli.reports import heat

    width = digits + 1
    if layer > stream.num_layers:
        return Text(" " * (width + 1))
    if layer > stream.exit_layer:
        return Text("-".rjust(width) + " ", "dim")
    score = stream.scores[layer - 1]
    mark = LEFT if layer == stream.exit_layer and stream.left_early else " "
    background = heat.colour(score)
    style = Style(
        color=heat.css(heat.ink(background)), bgcolor=heat.css(background), bold=mark == LEFT
    )
    return Text(_number(score, digits).rjust(width) + mark, style)


def _number(value: float, digits: int) -> str:
    """Return .987, or 1.00 and -.12 in the same width; never rounded up to 1."""
    shown = f"{value:.{digits}f}"
    if float(shown) == 1.0 and value < 1.0:
        shown = f"{1 - 10**-digits:.{digits}f}"
    return shown.replace("0.", ".", 1)[: digits + 1]


def _width(names: int, layers: int, digits: int) -> int:
    return len(INDENT) + names + layers * (digits + 3) + len("  exit  threshold")
