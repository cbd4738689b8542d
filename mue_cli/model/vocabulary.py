"""OFA's vocabulary as it is released: Hugging Face's vocab.json and merges.txt, or fairseq's
dict.txt with GPT-2's encoder.json and vocab.bpe. Both give the same ids: specials, 50,260 pieces by
frequency, <mask>, image codes, bins.
"""

import json
from pathlib import Path

from mue_cli.errors import DataError, FileError, MissingStepError
from mue_cli.files import read_text
from mue_cli.model.tokenizer import MASK, SPECIALS, Tokenizer, ofa_symbols

OWN = "tokenizer.json"
HF = ("vocab.json", "merges.txt")
FAIRSEQ = ("dict.txt", "encoder.json", "vocab.bpe")


def load_vocabulary(folder: Path) -> Tokenizer:
    """Read the vocabulary that lies in a folder beside weights: Hugging Face's files, fairseq's, or
    the one `mue finetune` keeps.

    Raises MissingStepError when there is none, DataError when a file is damaged or the files do not
    belong together.
    """
    if all((folder / name).is_file() for name in HF):
        return _from_hf(folder)
    if all((folder / name).is_file() for name in FAIRSEQ):
        return _from_fairseq(folder)
    if (folder / OWN).is_file():
        return Tokenizer.load(folder / OWN)
    raise MissingStepError(
        f"no vocabulary beside the weights in {folder}",
        f"put {' and '.join(HF)} there, or {', '.join(FAIRSEQ)}, as they were released",
    )


def _from_hf(folder: Path) -> Tokenizer:
    vocab = _read_ids(folder / HF[0])
    if (
        MASK in vocab and "<code_0>" not in vocab
    ):  # as OFA's tokenizer does; small vocabularies of ours have no symbols
        vocab |= {symbol: len(vocab) + i for i, symbol in enumerate(ofa_symbols())}
    return _build(vocab, folder / HF[1])


def _from_fairseq(folder: Path) -> Tokenizer:
    """A line of dict.txt is "<GPT-2 id> <count>"; ids follow the specials in the lines' order."""
    pieces = {str(number): piece for piece, number in _read_ids(folder / FAIRSEQ[1]).items()}
    words = [line.rsplit(" ", 1)[0] for line in _read_lines(folder / FAIRSEQ[0])]
    tokens = [*SPECIALS, *(pieces.get(word, word) for word in words), MASK, *ofa_symbols()]
    vocab = {token: i for i, token in enumerate(tokens)}
    missing = next((piece for piece in pieces.values() if piece not in vocab), None)
    if missing is not None or len(vocab) != len(tokens):
        raise DataError(
            f"{FAIRSEQ[0]} and {FAIRSEQ[1]} in {folder} do not belong together",
            "take the three files of OFA's utils/BPE folder",
        )
    return _build(vocab, folder / FAIRSEQ[2])


def _build(vocab: dict[str, int], merges: Path) -> Tokenizer:
    pairs = [
        tuple(line.split(" ")) for line in _read_lines(merges) if not line.startswith("#version")
    ]
    bad = next((pair for pair in pairs if len(pair) != 2), None)
    if bad is not None:
        raise DataError(f"{merges} has a line of {len(bad)} pieces, expected two", "fetch it again")
    try:
        return Tokenizer.from_bpe(vocab, pairs)  # type: ignore[arg-type]
    except DataError as error:
        raise DataError(f"{merges.parent}: {error.message}", error.hint) from None


def _read_lines(path: Path) -> list[str]:
    try:
        return [line for line in read_text(path).split("\n") if line]
    except FileError as error:
        raise DataError(error.message, "fetch it again") from None


def _read_ids(path: Path) -> dict[str, int]:
    try:
        raw = json.loads(read_text(path))
    except FileError as error:
        raise DataError(error.message, "fetch it again") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}", "fetch it again") from None
    if not isinstance(raw, dict) or not all(type(number) is int for number in raw.values()):
        raise DataError(f"{path} does not map pieces to numbers", "fetch it again")
    return raw
