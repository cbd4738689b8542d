"""Prompts, answers and text clean-up, as OFA words them."""

import pytest

from mue_cli.data.tasks import (
    ANSWERS,
    CAPTION,
    CAPTION_PROMPT,
    ENTAILMENT,
    LABELS,
    TASKS,
    WHOLE_WORDS,
    caption_target,
    clean_generated,
    entailment_source,
    has_words,
)
from mue_cli.data.tasks.task import Question
from mue_cli.errors import MueError


def test_caption_prompt_is_ofas():
    assert CAPTION_PROMPT == " what does the image describe?"


def test_entailment_asks_about_premise_and_hypothesis():
    assert (
        entailment_source("A man sleeps.", "Someone rests.")
        == ' can image and text1 " a man sleeps. " imply text2 " someone rests. "?'
    )


def test_entailment_without_premise_asks_about_the_image():
    assert (
        entailment_source(None, "There is a red circle")
        == ' does the image describe " there is a red circle "?'
    )


def test_bare_entailment_is_the_sentences_alone():
    assert (
        entailment_source("A man sleeps.", "Someone rests.", bare=True)
        == " a man sleeps. someone rests."
    )
    assert entailment_source(None, "There is a red circle", bare=True) == " there is a red circle"


def test_question_text_is_normalised():
    assert (
        entailment_source(None, "?!A well-lit  room/hall\n")
        == ' does the image describe " a well lit room hall "?'
    )


def test_question_text_ends_after_eighty_words():
    source = entailment_source(None, "word " * 100)
    assert source.count("word") == 80


def test_answers_follow_the_labels():
    assert LABELS == {"contradiction": "no", "entailment": "yes", "neutral": "maybe"}
    assert ANSWERS == ("no", "yes", "maybe")
    assert WHOLE_WORDS == (" no", " yes", " maybe")


def test_only_entailment_has_a_closed_set_of_answers():
    assert CAPTION.answers == ()
    assert ENTAILMENT.answers == ANSWERS
    assert {name: task.metric for name, task in TASKS.items()} == {
        "caption": "CIDEr",
        "entailment": "accuracy",
    }


def test_caption_target_loses_punctuation_and_case():
    assert caption_target(" A man's dog, running (fast) . ") == "a mans dog running fast"


@pytest.mark.parametrize("text", ["a", " Ä! ", ". x .", "7", "星", "ไทย", "🐕", "€", "“dog”"])
def test_a_letter_a_digit_or_a_symbol_is_a_word(text: str):
    assert has_words(text)
    assert caption_target(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "...",
        " - . \u3000 ",
        "-",
        "!!!",
        "\u2014",
        "\u200b",
        "…",
        "。。",
        "“”",
        "\ufeff",
        "\u00b4",
    ],
)
def test_punctuation_and_what_nobody_sees_are_no_words(text: str):
    assert not has_words(text)


def test_caption_target_keeps_every_word():
    """The one limit of length is data.max_target_tokens."""
    assert caption_target(" ".join(str(i) for i in range(30))).split()[-1] == "29"


def test_caption_of_punctuation_alone_is_empty():
    assert caption_target(" ... !") == ""


def test_generated_caption_loses_punctuation_only():
    assert clean_generated(" A dog, on-the grass. ") == "A dog onthe grass"


@pytest.mark.parametrize("question", [Question("..."), Question("A dog.", "\u200b")])
def test_sentence_without_a_word_is_refused(question: Question) -> None:
    with pytest.raises(MueError, match="which has no word"):
        question.check(TASKS["entailment"], "shapes-entailment")


def test_sentence_in_another_encoding_is_refused() -> None:
    question = Question("caf\udce9")
    with pytest.raises(MueError, match="--hypothesis is no text that can be read"):
        question.check(TASKS["entailment"], "shapes-entailment")
