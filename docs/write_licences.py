"""Write licences.md: every package that the program brings along, with version and licence.

`python docs/write_licences.py` reads the metadata of the packages that are installed beside it.
"""

import re
from importlib import metadata
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "licences.md"
CLASSIFIER = "License :: OSI Approved :: "
OPENING = """# Versions and licences

`mue` is Apache-2.0. It brings these packages along, here in the versions that were installed when
this page was written, with the licence that each states in its metadata. **Direct** ones are named
in `pyproject.toml` with their lowest version. `python docs/write_licences.py` writes the page anew.

| package | version | licence |
| --- | --- | --- |
"""


def name_of(requirement: str) -> str:
    """Return the name at the start of a requirement, as metadata spell it."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def wanted(package: str) -> set[str]:
    """Return what a package needs without extras, of what is installed here."""
    needed = metadata.distribution(package).requires or []
    return {name_of(each) for each in needed if "extra ==" not in each and is_here(name_of(each))}


def is_here(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def closure(package: str) -> set[str]:
    """Return what a package needs, what that needs, and so on."""
    found: set[str] = set()
    waiting = wanted(package)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= wanted(name)
    return found


def licence(package: str) -> str:
    """Return the licence that metadata state: the expression, else the classifiers, else a word."""
    about = metadata.metadata(package)
    stated = about.get("License-Expression")
    classes = [
        each.removeprefix(CLASSIFIER)
        for each in about.get_all("Classifier") or []
        if each.startswith(CLASSIFIER)
    ]
    text = stated or ", ".join(classes) or about.get("License") or "UNKNOWN"
    first = text.strip().splitlines()[0]
    return "not stated" if first == "UNKNOWN" else first.replace("|", "/")


def row(package: str, direct: set[str]) -> str:
    shown = f"**{package}**" if package in direct else package
    version = metadata.version(package).partition("+")[0]
    return f"| {shown} | {version} | {licence(package)} |"


def page() -> str:
    """Return the whole page."""
    direct = wanted("mue-cli")
    return OPENING + "\n".join(row(each, direct) for each in sorted(closure("mue-cli"))) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
