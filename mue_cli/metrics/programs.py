"""What the metrics need beside Python, Java and the jars of pycocoevalcap and CoreNLP, and whether
it is here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pycocoevalcap.bleu.bleu

from mue_cli.errors import MueError
from mue_cli.metrics.java import UnavailableError
from mue_cli.metrics.meteor import meteor_files
from mue_cli.metrics.spice import SpiceJars, find_spice
from mue_cli.metrics.tokens import Tokenizer, choose_tokenizer

METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr", "SPICE")


def check_metrics(metrics: Sequence[str], spice_dir: Path | None = None) -> None:
    """Raise MueError, before any long work, for a metric that is unknown or cannot be had, and for
    a spice_dir that does not fit.
    """
    check_known(metrics)
    tokenizer = caption_tokenizer()
    finders: dict[str, Callable[[Tokenizer], object]] = {
        "METEOR": find_meteor,
        "SPICE": lambda tokenizer: find_spice_jars(tokenizer, spice_dir),
    }
    for name, find in finders.items():
        if metrics and name not in metrics and spice_dir is None:
            continue  # where its files should be is of no concern
        try:
            find(tokenizer)
        except UnavailableError as error:
            if name in metrics:
                raise MueError(
                    f"{name} was asked for and cannot be had: {error.reason}", error.fix
                ) from None


def find_meteor(tokenizer: Tokenizer) -> str:
    """Return the Java that runs METEOR. Raises UnavailableError when there is none, or METEOR's
    files are absent.
    """
    meteor_files(pycocoevalcap_folder() / "meteor")
    return _java_of(tokenizer, "METEOR")


def find_spice_jars(tokenizer: Tokenizer, folder: Path | None = None) -> tuple[str, SpiceJars]:
    """Return the Java that runs SPICE and its jars. Raises as `find_spice`, and UnavailableError
    without Java.
    """
    jars = find_spice(pycocoevalcap_folder() / "spice", folder)
    return _java_of(tokenizer, "SPICE"), jars


def caption_tokenizer() -> Tokenizer:
    """Return the PTB tokeniser of pycocoevalcap's jar, or the plain one without Java."""
    return choose_tokenizer(pycocoevalcap_folder() / "tokenizer" / "stanford-corenlp-3.4.1.jar")


def _java_of(tokenizer: Tokenizer, metric: str) -> str:
    if tokenizer.java is None:
        lack = tokenizer.lack or UnavailableError("Java was not found")
        raise UnavailableError(f"{metric} needs Java. {lack.reason}", lack.fix)
    return tokenizer.java


def check_known(metrics: Sequence[str]) -> None:
    """Raise MueError for an unknown metric."""
    for metric in metrics:
        if metric not in METRICS:
            raise MueError(f"unknown metric {metric!r}", f"there are {', '.join(METRICS)}")


def pycocoevalcap_folder() -> Path:
    """Return pycocoevalcap's folder, which holds the jars."""
    return Path(pycocoevalcap.bleu.bleu.__file__).parents[1]
