"""What the package says of itself, and what it carries."""

import re
import tomllib
from pathlib import Path

import yaml

from mue_cli import __version__

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LICENCES = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")


def test_version_is_the_same_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["project"]["version"] == cited["version"] == __version__
    assert cited["license"] == PROJECT["project"]["license"]


def test_citation_has_what_its_format_demands() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    (paper,) = cited["references"]
    assert len(paper["authors"]) == 9 and paper["year"] == 2023


def test_wheel_carries_the_package_and_the_recipes_alone() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["mue_cli"]
    assert wheel["force-include"] == {"recipes": "mue_cli/recipes"}
    assert (ROOT / "mue_cli" / "py.typed").exists()
    others = {path.suffix for path in (ROOT / "mue_cli").rglob("*.*") if path.is_file()}
    assert others - {".pyc"} <= {".py", ".html", ".css", ".typed"}


def test_every_dependency_has_a_lower_bound_and_a_line_in_the_licences() -> None:
    for each in PROJECT["project"]["dependencies"]:
        name = re.match(r"([\w-]+)>=\d", each)
        assert name, f"{each} has no lower bound"
        assert f"| **{name[1].lower().replace('_', '-')}** |" in LICENCES
