"""The embedded dataset: the same from the same seed, disjoint splits, and no giving away by text."""

import numpy as np
import pytest
from prepared_data import contents, write_texts

from mue_cli.data.sources.shapes import prepare_shapes
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import CAPTION, ENTAILMENT
from mue_cli.errors import DataError


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    prepare_shapes(root, write_texts, num_train=600, num_val=100, num_test=100)
    return PreparedData.open(root)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        prepare_shapes(
            tmp_path / name,
            write_texts,
            seed=seed,
            num_train=20,
            num_val=5,
            num_test=5,
            image_size=32,
        )
    one, again, two = (contents(tmp_path / name) for name in ("one", "again", "two"))
    assert one == again
    assert one["images/data-00000.arrow"] != two["images/data-00000.arrow"]


def test_both_tasks_have_all_splits(shapes):
    assert shapes.splits(CAPTION) == shapes.splits(ENTAILMENT) == ("train", "val", "test")
    assert shapes.manifest.counts["caption"]["train"] == {"images": 600, "captions": 3000}
    assert shapes.manifest.counts["entailment"]["test"] == {"images": 100, "pairs": 300}
    assert shapes.manifest.problems == {}
    assert shapes.manifest.images_in_several_splits == 0


def test_labels_are_balanced(shapes):
    for split in ("train", "test"):
        answers = [example.target for example in shapes.examples(ENTAILMENT, split)]
        for answer in ("no", "yes", "maybe"):
            assert answers.count(answer) / len(answers) == pytest.approx(1 / 3, abs=0.06)


def test_text_alone_stays_near_chance(shapes):
    assert shapes.manifest.text_only_accuracy == pytest.approx(1 / 3, abs=0.08)


def test_no_picture_of_a_split_is_in_another(shapes):
    pictures = {
        split: {np.asarray(example.image).tobytes() for example in shapes.examples(CAPTION, split)}
        for split in shapes.splits(CAPTION)
    }
    assert [len(found) for found in pictures.values()] == [600, 100, 100]
    assert pictures["train"].isdisjoint(pictures["val"] | pictures["test"])
    assert pictures["val"].isdisjoint(pictures["test"])


def test_sizes_are_as_asked(tmp_path):
    manifest = prepare_shapes(
        tmp_path / "s",
        write_texts,
        num_train=6,
        num_val=2,
        num_test=3,
        image_size=48,
        train_pairs=5,
        pairs=1,
    )
    assert manifest.counts["entailment"]["train"] == {"images": 6, "pairs": 30}
    assert manifest.counts["entailment"]["test"] == {"images": 3, "pairs": 3}
    assert manifest.sources["image_size"] == 48
    assert PreparedData.open(tmp_path / "s").examples(CAPTION, "val")[0].image.size == (48, 48)


@pytest.mark.parametrize(
    "numbers", [{"num_val": 0}, {"image_size": 8}, {"train_pairs": 0}, {"pairs": 99}]
)
def test_senseless_numbers_are_refused(tmp_path, numbers):
    with pytest.raises(DataError):
        prepare_shapes(tmp_path / "s", write_texts, **numbers)
    assert list(tmp_path.iterdir()) == []
