"""Captions as caption metrics count them: lower case, split into words, punctuation dropped.

The reference tokeniser is Stanford's PTB tokeniser (COCO captions, Chen et al. 2015). It needs
Java. The plain one does nearly the same for ordinary English (on 5,000 COCO captions 8 came out
differently) and is used, with a note, where there is no Java.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mue_cli.errors import MueError
from mue_cli.metrics.java import UnavailableError, java_command, need_java, run_java

PUNCTUATION = frozenset(
    [
        '"',
        "''",
        "'",
        "``",
        "`",
        "-LRB-",
        "-RRB-",
        "-LCB-",
        "-RCB-",
        ".",
        "?",
        "!",
        ",",
        ":",
        "-",
        "--",
        "...",
        ";",
    ]
)

# Paper: PTB's rules. Here: words with inner hyphens, full stops or colons, clitics split as PTB
# does, any other sign alone.
_PLAIN = re.compile(
    r"(?<=\w)n't|'(?:s|m|d|re|ve|ll)\b|\w(?:(?!n't\b)[\w&]|[-./:](?=\w))*|\.\.\.|--|[^\w\s]"
)

_SECONDS_TO_START = 120.0
_SECONDS_PER_CAPTION = 0.01


@dataclass(frozen=True)
class Tokenizer:
    """name: "PTB" or "plain". java: the Java that runs it, None for the plain one. lack: why it is
    not PTB, else None.

    Calling it with captions returns one line for each, in order: words joined by single spaces.
    """

    name: str
    run: Callable[[Sequence[str]], list[str]]
    java: str | None = None
    lack: UnavailableError | None = None

    def __call__(self, captions: Sequence[str]) -> list[str]:
        if not captions:
            return []
        return self.run([normalize_space(caption) for caption in captions])


def choose_tokenizer(jar: Path) -> Tokenizer:
    """Return the PTB tokeniser of `jar` if Java runs it, else the plain one with the reason."""
    try:
        java = need_java()
        ptb_tokenize(["a caption"], jar, java)
    except UnavailableError as error:
        return Tokenizer("plain", plain_tokenize, lack=error)
    return Tokenizer("PTB", lambda captions: _ptb_or_error(captions, jar, java), java=java)


def normalize_space(caption: str) -> str:
    """Return the caption on one line with single spaces; a line break inside would shift every
    caption after it to the next image.
    """
    return " ".join(caption.encode("utf-8", "replace").decode("utf-8").split())


def ptb_tokenize(captions: Sequence[str], jar: Path, java: str) -> list[str]:
    """Return the captions tokenised by Stanford's PTBTokenizer, lower case, without PUNCTUATION.
    Captions must be single lines.

    Brackets stay as `-lrb-`: with -lowerCase they miss the list, in coco-caption too. Raises
    UnavailableError.
    """
    command = java_command(
        java, [jar], "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"
    )
    timeout = _SECONDS_TO_START + _SECONDS_PER_CAPTION * len(captions)
    printed = run_java(
        command,
        "the PTB tokeniser",
        timeout,
        "".join(f"{caption}\n" for caption in captions).encode(),
    )
    lines = printed.decode("utf-8", "replace").removesuffix("\n").split("\n")
    if len(lines) != len(captions):
        raise UnavailableError(
            f"the PTB tokeniser returned {len(lines)} lines for {len(captions)} captions"
        )
    return [_without_punctuation(line.rstrip().split(" ")) for line in lines]


def plain_tokenize(captions: Sequence[str]) -> list[str]:
    """Return the captions in lower case, words and signs apart, without PUNCTUATION; no Java
    needed.
    """
    return [_without_punctuation(_PLAIN.findall(caption.lower())) for caption in captions]


def _ptb_or_error(captions: Sequence[str], jar: Path, java: str) -> list[str]:
    try:
        return ptb_tokenize(captions, jar, java)
    except UnavailableError as error:
        raise MueError(
            str(error),
            f"it worked a moment ago with {java}: run again, or set MUE_JAVA to another Java",
        ) from None


def _without_punctuation(words: Sequence[str]) -> str:
    return " ".join(word for word in words if word not in PUNCTUATION)
