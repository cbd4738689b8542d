"""Byte-level BPE: text -> ids and back. Ids 0..3 are the specials, as in OFA's dictionary.

Specials are no part of any text: `encode` never yields one, even for the text "<s>"; nor does it
yield OFA's symbols for image codes and places, `<code_0>` and `<bin_0>`, which stand in no written
text and have ids of their own. Callers add bos and eos themselves and start every text with a
space.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from mue_cli.errors import DataError, MissingStepError
from mue_cli.files import read_text, write_text

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"
NUM_CODES = 8192
NUM_BINS = 1000


class Tokenizer:
    """A vocabulary of bytes and merges. Round-trips any Unicode text."""

    bos_id = 0
    pad_id = 1
    eos_id = 2
    unk_id = 3

    def __init__(self, bpe: tokenizers.Tokenizer) -> None:
        self._bpe = bpe

    @property
    def vocab_size(self) -> int:
        return self._bpe.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without bos and eos."""
        return self._bpe.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; specials are left out, bytes that are no UTF-8 are U+FFFD."""
        mask = self._bpe.token_to_id(MASK)
        return self._bpe.decode(
            [i for i in ids if i >= len(SPECIALS) and i != mask], skip_special_tokens=False
        )

    def id_of(self, symbol: str) -> int:
        """Return the id of a special or symbol such as "<bin_17>". Raises KeyError when the
        vocabulary has none.
        """
        number = self._bpe.token_to_id(symbol)
        if number is None:
            raise KeyError(symbol)
        return int(number)

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int, whole_words: Sequence[str] = ()
    ) -> "Tokenizer":
        """Learn at most `vocab_size` tokens from `texts`; each of `whole_words` (" yes") becomes
        one token.

        Raises DataError when the size cannot hold the specials, the 256 bytes and the whole words.
        """
        room = sum(len(word.encode()) - 1 for word in whole_words)
        smallest = len(SPECIALS) + 256 + room
        if vocab_size < smallest:
            raise DataError(
                f"a vocabulary of {vocab_size} tokens is too small",
                hint=f"vocab_size must be at least {smallest}",
            )
        bpe = _byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - room,
            min_frequency=2,
            show_progress=False,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )
        bpe.train_from_iterator(texts, trainer)
        model = json.loads(bpe.to_str())["model"]
        return cls(
            _with_whole_words(
                model["vocab"], [(left, right) for left, right in model["merges"]], whole_words
            )
        )

    @classmethod
    def from_bpe(cls, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> "Tokenizer":
        """Return the tokenizer of a vocabulary. Raises DataError when ids have gaps, specials lie
        elsewhere, or a merge makes no token.
        """
        if sorted(vocab.values()) != list(range(len(vocab))):
            raise DataError(
                "the vocabulary's ids are not 0, 1, 2 and so on",
                hint="take the files that belong to the weights",
            )
        if [vocab.get(special) for special in SPECIALS] != list(range(len(SPECIALS))):
            raise DataError(
                f"the vocabulary does not start with {' '.join(SPECIALS)}",
                hint="only OFA's vocabularies can be read",
            )
        missing = next((pair for pair in merges if pair[0] + pair[1] not in vocab), None)
        if missing is not None:
            raise DataError(
                f"the vocabulary lacks {''.join(missing)!r}, which a merge makes",
                hint="take the files that belong together",
            )
        return cls(_byte_level(models.BPE(vocab=dict(vocab), merges=list(merges))))

    def to_json(self) -> str:
        """Return the whole vocabulary as the `tokenizers` library writes it: equal for equal
        tokenizers.
        """
        return self._bpe.to_str(pretty=True)

    def save(self, path: Path) -> None:
        """Write one JSON file that `load` and the `tokenizers` library read."""
        write_text(path, self.to_json())

    def save_bpe(self, folder: Path) -> None:
        """Write vocab.json and merges.txt, as Hugging Face has them: without OFA's symbols, which
        its tokenizer appends by itself.
        """
        model = json.loads(self._bpe.to_str())["model"]
        appended = set(ofa_symbols())
        vocab = {token: i for token, i in model["vocab"].items() if token not in appended}
        write_text(folder / "vocab.json", json.dumps(vocab, ensure_ascii=False))
        merges = (left + " " + right for left, right in model["merges"])
        write_text(folder / "merges.txt", "\n".join(["#version: 0.2", *merges]) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read what `save` wrote. Raises MissingStepError when absent, DataError when it is
        something else.
        """
        if not path.is_file():
            raise MissingStepError(f"no vocabulary at {path}", hint="run: mue prepare <dataset>")
        try:
            bpe = tokenizers.Tokenizer.from_str(read_text(path))
        except Exception as error:  # the library raises bare Exception for a malformed file
            raise DataError(
                f"cannot read the vocabulary {path}: {error}", hint="run `mue prepare` again"
            ) from error
        if [bpe.id_to_token(i) for i in range(len(SPECIALS))] != list(SPECIALS):
            raise DataError(
                f"{path} does not start with {' '.join(SPECIALS)}",
                hint="it must be a file that `mue prepare` wrote",
            )
        return cls(bpe)


def ofa_symbols() -> list[str]:
    """Return OFA's symbols in the order of their ids: 8,192 image codes, then 1,000 bins."""
    return [f"<code_{i}>" for i in range(NUM_CODES)] + [f"<bin_{i}>" for i in range(NUM_BINS)]


def _byte_level(model: models.BPE) -> tokenizers.Tokenizer:
    bpe = tokenizers.Tokenizer(model)
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return bpe


def _with_whole_words(
    vocab: dict[str, int], merges: list[tuple[str, str]], words: Sequence[str]
) -> tokenizers.Tokenizer:
    """Append the merges that make each word one token. Appended merges come last, so they change no
    other split before they apply.
    """
    bpe = _byte_level(models.BPE(vocab=vocab, merges=merges))
    for word in words:
        pieces = bpe.encode(word).tokens
        pre_tokens = bpe.pre_tokenizer.pre_tokenize_str(word)
        if len(pre_tokens) != 1:
            raise DataError(
                f"{word!r} cannot be one token",
                hint="a whole word is one word, with at most one leading space",
            )
        while len(pieces) > 1:
            merged = pieces[0] + pieces[1]
            vocab.setdefault(merged, len(vocab))
            merges.append((pieces[0], pieces[1]))
            bpe = _byte_level(models.BPE(vocab=vocab, merges=merges))
            pieces = bpe.encode(word).tokens
    return bpe
