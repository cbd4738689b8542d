"""HTML pages: one file each that loads nothing. The templates lie in `templates/`.

Everything that comes from files or from the model is escaped; a page forbids itself scripts and
loading, whatever it holds.
"""

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mue_cli.reports import heat
from mue_cli.reports.exit_strip import BEAM, printable

MARKS = (0.0, 0.5, 0.9, 0.99, 0.999)
"""Exit scores in the key of colours."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: object) -> str:
    """Return a page: a template of `templates/` with its values filled in."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "base64": lambda data: base64.b64encode(data).decode("ascii"),
        "heat": _heat,
        "printable": printable,
        "share": lambda score: f"{heat.place(score):.1%}",
    }
    css = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    environment.globals |= {"policy": POLICY, "css": css, "marks": MARKS, "beam": BEAM}
    return environment


def _heat(score: float) -> str:
    """Return the style of a cell: the colour of a score and an ink that can be read on it."""
    background = heat.colour(score)
    return f"background:{heat.css(background)};color:{heat.css(heat.ink(background))}"
