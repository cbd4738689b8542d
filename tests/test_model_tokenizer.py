"""The vocabulary: what goes in comes out, and the answers are one token each."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mue_cli.errors import DataError, MissingStepError
from mue_cli.model.tokenizer import Tokenizer

TEXTS = [
    " a red circle on the left",
    " a red square",
    " there are two stars",
    " yesterday is nothing",
] * 3
ANSWERS = (" yes", " no", " maybe")


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, vocab_size=320, whole_words=ANSWERS)


def test_specials_have_ofas_ids(tokenizer):
    assert (tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)


def test_vocabulary_stays_within_its_size(tokenizer):
    assert 260 < tokenizer.vocab_size <= 320


def test_ids_are_dense(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    vocab = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"]
    assert sorted(vocab.values()) == list(range(tokenizer.vocab_size))


@pytest.mark.parametrize("word", ANSWERS)
def test_whole_word_is_one_token(tokenizer, word):
    assert len(tokenizer.encode(word)) == 1
    assert tokenizer.decode(tokenizer.encode(word)) == word


def test_whole_words_are_one_token_even_when_the_texts_pull_them_apart():
    texts = [" yell yelp yet", " esse esses", " mayor maize", " node nope nor"] * 20
    words = (*ANSWERS, " y", " yes", " maybes", " may", " ÿ")
    tokenizer = Tokenizer.train(texts, vocab_size=400, whole_words=words)
    assert [len(tokenizer.encode(word)) for word in words] == [1] * len(words)


def test_whole_word_inside_a_longer_word_leaves_the_rest_intact(tokenizer):
    assert tokenizer.decode(tokenizer.encode(" yesterday nobody")) == " yesterday nobody"


def test_phrase_cannot_be_a_whole_word():
    with pytest.raises(DataError, match="cannot be one token"):
        Tokenizer.train(TEXTS, 320, whole_words=(" not sure",))


def test_too_small_a_vocabulary_is_refused_with_the_smallest_possible_size():
    with pytest.raises(DataError) as caught:
        Tokenizer.train(TEXTS, 100, whole_words=(" yes",))
    assert "263" in caught.value.hint


@given(st.text())
def test_any_text_comes_back(text):
    tokenizer = _untrained()
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(4 <= i < tokenizer.vocab_size for i in ids)


@pytest.mark.parametrize("text", ["<s>", " a </s> b", "<pad><unk>"])
def test_names_of_specials_in_a_text_are_plain_text(tokenizer, text):
    ids = tokenizer.encode(text)
    assert min(ids) >= 4
    assert tokenizer.decode(ids) == text


def test_decoding_skips_specials(tokenizer):
    assert tokenizer.decode([0, *tokenizer.encode(" a red star"), 2, 1, 1]) == " a red star"


def test_saved_vocabulary_is_the_same_when_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.vocab_size == tokenizer.vocab_size
    assert loaded.encode(" there is a red circle ✓") == tokenizer.encode(" there is a red circle ✓")


def test_training_twice_gives_the_same_vocabulary(tmp_path):
    for name in ("a", "b"):
        Tokenizer.train(iter(TEXTS), 320, ANSWERS).save(tmp_path / name)
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


def test_absent_file_names_the_command(tmp_path):
    with pytest.raises(MissingStepError) as caught:
        Tokenizer.load(tmp_path / "tokenizer.json")
    assert "mue prepare" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_damaged_file_is_a_data_error(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match="cannot read the vocabulary"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_vocabulary_with_other_specials_is_refused(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_text(path.read_text().replace('"<s>"', '"<bos>"'))
    with pytest.raises(DataError, match="does not start with"):
        Tokenizer.load(path)


_cache: list[Tokenizer] = []


def _untrained() -> Tokenizer:
    if not _cache:
        _cache.append(Tokenizer.train([], 260))
    return _cache[0]
