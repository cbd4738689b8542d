"""Batches: what stands where, and in which order they come."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import islice

import pytest
import torch
from PIL import Image

from mue_cli.data.batches import (
    CaptionGroups,
    Example,
    Part,
    collate,
    evaluation_batches,
    training_batches,
)
from mue_cli.data.tasks import CAPTION, ENTAILMENT


class Letters:
    """One id per character: "a" is 10, a space 9."""

    bos_id, pad_id, eos_id = 0, 1, 2

    def encode(self, text):
        return [9 if letter == " " else 10 + ord(letter) - ord("a") for letter in text]

    def decode(self, ids):
        return "".join(" " if i == 9 else chr(i - 10 + ord("a")) for i in ids)


def example(name="x", source=" q", target="ab", references=("Ab.",)):
    return Example(
        name, f"image-{name}", Image.new("RGB", (4, 6), "white"), source, target, references
    )


def caption_batch(*examples, **limits):
    return collate(examples, Letters(), 4, CAPTION, **limits)


def test_caption_is_shifted_by_one_and_ends_in_eos():
    batch = caption_batch(example(), example(source=" qq", target="a"))
    assert batch.source_tokens.tolist() == [[0, 9, 26, 2, 1], [0, 9, 26, 26, 2]]
    assert batch.decoder_tokens.tolist() == [[0, 9, 10, 11], [0, 9, 10, 1]]
    assert batch.target_tokens.tolist() == [[9, 10, 11, 2], [9, 10, 2, 1]]


def test_answer_is_asked_only_after_the_prompt():
    class Whole(Letters):
        def encode(self, text):
            return [99] if text == " yes" else super().encode(text)

    batch = collate(
        [example(target="yes"), example(source=" qqq", target="yes")], Whole(), 4, ENTAILMENT
    )
    assert batch.source_tokens.tolist() == [[0, 9, 26, 2, 1, 1], [0, 9, 26, 26, 26, 2]]
    assert batch.decoder_tokens.tolist() == [[0, 9, 26, 1, 1], [0, 9, 26, 26, 26]]
    assert batch.target_tokens.tolist() == [[1, 1, 99, 1, 1], [1, 1, 1, 1, 99]]


def test_answer_of_several_tokens_is_refused():
    with pytest.raises(ValueError, match="has 4 tokens"):
        collate([example(target="yes")], Letters(), 4, ENTAILMENT)


def test_long_texts_are_cut_and_still_end_in_eos():
    batch = caption_batch(
        example(source=" abcdef", target="abcdef"), max_source_tokens=3, max_target_tokens=2
    )
    assert batch.source_tokens.tolist() == [[0, 9, 10, 11, 2]]
    assert batch.target_tokens.tolist() == [[9, 10, 2]]


def test_images_and_names_come_along():
    batch = caption_batch(example("x"), example("y", references=("one", "two")))
    assert batch.images.shape == (2, 3, 4, 4)
    assert batch.images.unique().tolist() == [1.0]
    assert batch.sample_ids == ("x", "y")
    assert batch.image_ids == ("image-x", "image-y")
    assert batch.references == (("Ab.",), ("one", "two"))


def test_tokens_are_int64():
    batch = caption_batch(example())
    assert {batch.source_tokens.dtype, batch.decoder_tokens.dtype, batch.target_tokens.dtype} == {
        torch.int64
    }


def test_empty_batch_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        caption_batch()


def names(batches, count):
    return [batch.sample_ids for batch in islice(batches, count)]


def stream(num_examples, batch_size, seed=0, start_step=0):
    examples = [example(str(i)) for i in range(num_examples)]
    make_batch = partial(collate, tokenizer=Letters(), image_size=2, task=CAPTION)
    return training_batches(examples, make_batch, batch_size, seed, start_step)


def test_every_epoch_has_every_example_once_in_another_order():
    seen = [name for batch in names(stream(10, 4), 5) for name in batch]
    assert sorted(seen[:10]) == sorted(seen[10:]) == sorted(str(i) for i in range(10))
    assert seen[:10] != seen[10:]


def test_training_batches_are_full_even_when_there_are_few_examples():
    assert [len(batch) for batch in names(stream(3, 8), 4)] == [8, 8, 8, 8]


@pytest.mark.parametrize("start_step", [1, 2, 3, 7])
def test_resumed_stream_is_the_rest_of_the_whole_one(start_step):
    whole = names(stream(10, 4), 12)
    assert names(stream(10, 4, start_step=start_step), 12 - start_step) == whole[start_step:]


def test_seed_decides_the_order():
    assert names(stream(10, 4, seed=5), 3) == names(stream(10, 4, seed=5), 3)
    assert names(stream(10, 4, seed=5), 3) != names(stream(10, 4, seed=6), 3)


def grouped(ends, per_picture, start_step=0, part=None):
    """Pictures with several captions each, two pictures a batch; examples are named by number."""
    examples = [example(str(i)) for i in range(ends[-1])]
    make_batch = partial(
        collate, tokenizer=Letters(), image_size=2, task=CAPTION, per_picture=per_picture
    )
    groups = CaptionGroups(ends, per_picture)
    return training_batches(examples, make_batch, 2, 0, start_step, groups, part)


def test_captions_of_a_picture_come_together_and_the_picture_once():
    batch = next(grouped([3, 6, 9, 12], per_picture=3))
    assert len(batch.images) == len(batch.source_tokens) == len(batch.image_ids) == 2
    assert len(batch.decoder_tokens) == len(batch.target_tokens) == len(batch.sample_ids) == 6
    pictures = [int(name) // 3 for name in batch.sample_ids]
    assert pictures[:3] == [pictures[0]] * 3
    assert pictures[3:] == [pictures[3]] * 3
    assert pictures[0] != pictures[3]


def test_every_caption_comes_equally_often():
    """Two of three captions at a time: after three epochs, each came twice."""
    seen = [name for batch in names(grouped([3, 6, 9, 12], 2), 6) for name in batch]
    assert Counter(seen) == {str(i): 2 for i in range(12)}


def test_of_fewer_captions_some_come_twice():
    batch = next(grouped([1, 2], per_picture=3))
    assert Counter(batch.sample_ids) == {"0": 3, "1": 3}


def test_grouped_streams_resume_too():
    whole = names(grouped([3, 6, 9, 12], 2), 8)
    assert names(grouped([3, 6, 9, 12], 2, start_step=3), 5) == whole[3:]


def test_processes_share_each_batch_without_loss():
    whole = names(grouped([3, 6, 9, 12], 2), 4)
    parts = [names(grouped([3, 6, 9, 12], 2, part=Part(rank, 2)), 4) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(each) for each in whole]


def test_features_come_in_place_of_pixels():
    features = torch.arange(24.0).reshape(2, 3, 4)
    batch = caption_batch(replace(example(), image=features))
    assert batch.images.shape == (1, 4, 2, 3)
    assert torch.equal(batch.images[0].permute(1, 2, 0), features)


def test_evaluation_keeps_the_order_and_the_rest():
    examples = [example(str(i)) for i in range(5)]
    make_batch = partial(collate, tokenizer=Letters(), image_size=2, task=CAPTION)
    assert [batch.sample_ids for batch in evaluation_batches(examples, make_batch, 2)] == [
        ("0", "1"),
        ("2", "3"),
        ("4",),
    ]


def test_evaluation_takes_another_order():
    examples = [example(str(i)) for i in range(5)]
    make_batch = partial(collate, tokenizer=Letters(), image_size=2, task=CAPTION)
    found = [
        batch.sample_ids
        for batch in evaluation_batches(examples, make_batch, 2, order=[4, 0, 3, 1, 2])
    ]
    assert found == [("4", "0"), ("3", "1"), ("2",)]


def test_captions_that_lose_their_end_are_counted():
    batch = caption_batch(example(target="abc"), example(target="a"), max_target_tokens=3)
    assert batch.num_cut == 1
    assert batch.target_tokens.tolist() == [[9, 10, 11, 2], [9, 10, 2, 1]]


def test_questions_that_lose_their_end_are_counted():
    class Whole(Letters):
        def encode(self, text):
            return [99] if text == " yes" else super().encode(text)

    pair = [example(source=" qqq", target="yes"), example(target="yes")]
    batch = collate(pair, Whole(), 4, ENTAILMENT, max_source_tokens=2)
    assert batch.num_cut == 1


def test_a_caption_is_never_cut_inside_a_character():
    """Two tokens a letter, like a byte-level vocabulary's for an accented one: the limit of five
    would leave half of the third.
    """

    class Bytes(Letters):
        def encode(self, text):
            return list(text.encode("utf-16-be"))

        def decode(self, ids):
            return bytes(ids).decode("utf-16-be", errors="replace")

    batch = collate([example(target="abc")], Bytes(), 4, CAPTION, max_target_tokens=5)
    assert batch.target_tokens.tolist() == [[0, ord(" "), 0, ord("a"), 2]]
    assert batch.num_cut == 1
