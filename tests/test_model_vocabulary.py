"""OFA's released vocabulary from both file sets. The real files are not part of the project:
MUE_OFA_BPE names a folder that has them.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_ofa import GOLDEN
from tokenizers import pre_tokenizers

from mue_cli.errors import DataError, MissingStepError
from mue_cli.model.tokenizer import NUM_BINS, NUM_CODES, Tokenizer
from mue_cli.model.vocabulary import load_vocabulary

MERGES = [("Ġ", "a"), ("Ġ", "d"), ("Ġd", "o"), ("Ġdo", "g"), ("<", "b"), ("<b", "i"), ("<bi", "n")]


def write_fairseq(folder: Path, change=lambda words: words) -> Path:
    """Write a small vocabulary as fairseq has it: GPT-2's pieces with their numbers, and a
    dictionary in another order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *(left + right for left, right in MERGES),
        "<|endoftext|>",
    ]
    (folder / "encoder.json").write_text(
        json.dumps({piece: number for number, piece in enumerate(pieces)})
    )
    (folder / "vocab.bpe").write_text(
        "\n".join(["#version: 0.2", *(" ".join(pair) for pair in MERGES)]) + "\n", encoding="utf-8"
    )
    words = [str(number) for number in reversed(range(len(pieces)))] + ["madeupword0000"]
    (folder / "dict.txt").write_text("".join(f"{word} 7\n" for word in change(words)))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Tokenizer:
    return load_vocabulary(write_fairseq(tmp_path_factory.mktemp("bpe")))


def test_ids_follow_the_dictionarys_order_after_the_specials(small):
    pieces = 256 + len(MERGES) + 1
    assert small.vocab_size == 4 + pieces + 1 + 1 + NUM_CODES + NUM_BINS
    assert small.id_of("<|endoftext|>") == 4 and small.id_of("<bin") == 5
    assert small.encode(" a dog") == [small.id_of("Ġa"), small.id_of("Ġdog")]
    first_code = 4 + pieces + 1 + 1
    assert (small.id_of("<mask>"), small.id_of("<code_0>"), small.id_of("<bin_0>")) == (
        first_code - 1,
        first_code,
        first_code + NUM_CODES,
    )
    assert small.id_of("<bin_999>") == small.vocab_size - 1
    with pytest.raises(KeyError):
        small.id_of("<bin_1000>")


def test_symbols_written_in_a_text_are_text_and_ids_of_symbols_are_symbols(small):
    ids = small.encode(" <bin_17> <s>")
    assert small.id_of("<bin_17>") not in ids and small.bos_id not in ids
    assert small.decode(ids) == " <bin_17> <s>"
    assert (
        small.decode(
            [0, small.id_of("<bin_17>"), small.id_of("<mask>"), small.id_of("<code_8191>"), 2]
        )
        == "<bin_17><code_8191>"
    )


def test_both_file_sets_give_one_tokenizer(small, tmp_path):
    small.save_bpe(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merges.txt", "vocab.json"]
    assert "<code_0>" not in json.loads((tmp_path / "vocab.json").read_text())
    assert load_vocabulary(tmp_path).to_json() == small.to_json()


def test_our_own_vocabulary_survives_hugging_faces_files(tmp_path):
    own = Tokenizer.train([" a dog runs", " a dog sleeps"], 300, (" yes",))
    own.save_bpe(tmp_path)
    assert load_vocabulary(tmp_path).to_json() == own.to_json()


@given(st.text())
def test_any_text_round_trips(small, text):
    assert small.decode(small.encode(text)) == text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("encoder.json", "{", "cannot read .*encoder.json"),
        ("encoder.json", "[" * 100_000, "cannot read .*encoder.json"),
        ("encoder.json", "[1]", "does not map pieces to numbers"),
        (
            "encoder.json",
            '{"other": 1}',
            "dict.txt and encoder.json in .* do not belong together|lacks",
        ),
        ("vocab.bpe", "#version: 0.2\na b c\n", "a line of 3 pieces, expected two"),
        ("vocab.bpe", "#version: 0.2\nq q\n", "lacks 'qq', which a merge makes"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    (write_fairseq(tmp_path) / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_vocabulary(tmp_path)


def test_a_dictionary_that_lacks_pieces_is_refused(tmp_path):
    with pytest.raises(DataError, match="do not belong together"):
        load_vocabulary(write_fairseq(tmp_path, lambda words: words[10:]))


def test_ids_with_gaps_and_other_specials_are_refused(tmp_path):
    (tmp_path / "merges.txt").write_text("")
    for vocab, message in (
        ({"<s>": 0, "<pad>": 2}, "ids are not 0, 1, 2"),
        ({"a": 0, "b": 1}, "does not start with <s> <pad>"),
    ):
        (tmp_path / "vocab.json").write_text(json.dumps(vocab))
        with pytest.raises(DataError, match=message):
            load_vocabulary(tmp_path)


def test_no_vocabulary_says_which_files_to_put_there(tmp_path):
    with pytest.raises(MissingStepError, match="no vocabulary beside the weights") as error:
        load_vocabulary(tmp_path)
    assert (
        "vocab.json and merges.txt there, or dict.txt, encoder.json, vocab.bpe" in error.value.hint
    )


@pytest.fixture(scope="module")
def released() -> Tokenizer:
    if "MUE_OFA_BPE" not in os.environ:
        pytest.skip("MUE_OFA_BPE names no folder with OFA's dict.txt, encoder.json and vocab.bpe")
    return load_vocabulary(Path(os.environ["MUE_OFA_BPE"]))


def test_the_released_vocabulary_equals_the_reference_in_every_case(released, tmp_path):
    golden = json.loads((GOLDEN / "tokenizer_cases.json").read_text())
    released.save_bpe(tmp_path)
    for tokenizer in (released, load_vocabulary(tmp_path)):
        assert tokenizer.vocab_size == 59457
        assert {symbol: tokenizer.id_of(symbol) for symbol in golden["specials"]} == golden[
            "specials"
        ]
        for case in golden["cases"]:
            assert tokenizer.encode(case["text"]) == case["ofa_ids"]
            assert tokenizer.decode(case["ofa_ids"]) == case["text"]


@given(st.text())
def test_any_text_round_trips_through_the_released_vocabulary(released, text):
    assert released.decode(released.encode(text)) == text
