"""Whatever lies in a folder and whatever an annotation says: no row gets another's picture, and
nothing is lost without its reason. The truth is drawn first, then written down as a source.
"""

import io
import json
import unicodedata
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from prepared_data import (
    fill_folder,
    problem_lines,
    write_karpathy,
    write_tar,
    write_texts,
    write_zip,
)

from mue_cli.data import problems as reasons
from mue_cli.data.sources.coco import prepare_coco
from mue_cli.data.sources.flickr8k import prepare_flickr8k
from mue_cli.data.sources.names import folded
from mue_cli.data.sources.snli_ve import prepare_snli_ve
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import CAPTION, ENTAILMENT

REASONS = {
    getattr(reasons, name)
    for name in dir(reasons)
    if name.isupper() and name != "MAX_VALUE_CHARACTERS"
}
ANCHOR = "anker/anker.png"
"""A picture that is always there under its own path, so that something is left."""

FOLDERS = ("", "train/", "val/", "Train/", "größe 1/", "a/b/", "星/")
NAMES = ("001.png", "1.png", "É.png", "e.PNG", "x.jpg", "no suffix", "ab.tiff", "É.webp")
CONDITIONS = ("whole", "whole", "whole", "junk", "empty", "missing")
SPLITS = ("train", "val", "test")

PROPERTY = settings(
    max_examples=15,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking prepares data hundreds of times
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True)
class Drawn:
    """A picture that a row speaks of. path: where it lies. asked: how the row names it."""

    number: int
    path: str
    asked: str
    condition: str
    split: str

    @property
    def colour(self) -> tuple[int, int, int]:
        return (self.number, 7, 255 - self.number)

    @property
    def data(self) -> bytes:
        if self.condition != "whole":
            return b"" if self.condition == "empty" else b"<html>not found</html>"
        buffer = io.BytesIO()
        Image.new("RGB", (3, 2), self.colour).save(buffer, "PNG")
        return buffer.getvalue()


def spelled(draw, path: str) -> str:
    """Return another way to write a path that means the same file."""
    ways = (
        lambda text: text,
        lambda text: f"./{text}",
        lambda text: text.replace("/", "\\"),
        lambda text: text.replace("/", "//"),
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: unicodedata.normalize("NFC", text),
        str.upper,
    )
    return draw(st.sampled_from(ways))(path)


@st.composite
def albums(draw) -> list[Drawn]:
    """Draw pictures with distinct paths; a path is written in another way only where no other is
    the same but for that way.
    """
    paths = draw(
        st.lists(
            st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map("".join),
            min_size=1,
            max_size=12,
            unique=True,
        )
    )
    same = [folded(path) for path in paths]
    drawn = [Drawn(0, ANCHOR, ANCHOR, "whole", "train")]
    for number, path in enumerate(paths, start=1):
        is_alone = same.count(folded(path)) == 1 and folded(path.upper()) == folded(path)
        asked = spelled(draw, path) if is_alone else path
        condition = draw(st.sampled_from(CONDITIONS)) if is_alone else "whole"
        if "/" not in path and condition == "missing":
            condition = "junk"  # a bare name may mean the one file of that name
        drawn.append(Drawn(number, path, asked, condition, draw(st.sampled_from(SPLITS))))
    return drawn


def write_images(folder, form, album):
    files = {each.path: each.data for each in album if each.condition != "missing"}
    if form == "folder":
        fill_folder(folder / "images", files)
    elif form == "zip":
        write_zip(folder / "images.zip", files)
    else:
        write_tar(folder / "images.tar", files)


def check(root, album, task, id_of):
    """Compare the prepared data with the truth. id_of: picture -> image id."""
    expected = {id_of(each): each for each in album}
    data = PreparedData.open(root)
    kept = {}
    for split in data.splits(task):
        for row in data.examples(task, split):
            each = expected[row.image_id]
            assert row.image.getpixel((1, 1)) == each.colour, each
            assert split == each.split
            kept[row.image_id] = each
    lost = {line["item"]: line for line in problem_lines(root) if not line.get("kept")}
    assert kept.keys() | lost.keys() == expected.keys()
    assert not kept.keys() & lost.keys()
    for image_id, line in lost.items():
        assert line["reason"] in REASONS
        condition = expected[image_id].condition
        allowed = {
            "whole": (),
            "junk": ("not a picture",),
            "empty": ("broken picture",),
            "missing": ("no such file",),
        }[condition]
        assert line["reason"] in allowed, (expected[image_id], line)


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
@PROPERTY
@given(album=albums(), data=st.data())
def test_karpathys_form(form, album, data, tmp_path_factory):
    source = tmp_path_factory.mktemp("flickr")
    write_images(source, form, album)
    entries = []
    for each in album:
        folder, _, name = each.asked.rpartition("/")
        is_cut = folder and "\\" not in each.asked and data.draw(st.booleans())
        place = {"filepath": folder, "filename": name} if is_cut else {"filename": each.asked}
        sentences = [{"raw": f"Number {each.number}."}]
        entries.append(
            {**place, "cocoid": each.number, "split": each.split, "sentences": sentences}
        )
    write_karpathy(source / "dataset_coco.json", data.draw(st.permutations(entries)))
    (source / "val2017").mkdir()
    for path in source.glob("images*"):
        path.rename(source / path.name.replace("images", "train2017"))
    prepare_coco(source, source / "out", write_texts)
    check(source / "out", album, CAPTION, lambda each: str(each.number))


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
@PROPERTY
@given(album=albums(), ids=st.permutations(range(13)), data=st.data())
def test_official_coco_form(form, album, ids, data, tmp_path_factory):
    source = tmp_path_factory.mktemp("coco")
    write_images(source, form, album)
    as_text = data.draw(st.booleans())

    def image_id(each):
        return f"00{ids[each.number]}" if as_text else ids[each.number]

    images = [{"id": image_id(each), "file_name": each.asked} for each in album]
    for split in SPLITS:
        annotations = [
            {"image_id": image_id(each), "caption": f"Number {each.number}, {word}."}
            for each in album
            for word in ("once", "twice")
            if each.split == split
        ]
        content = {"images": images, "annotations": data.draw(st.permutations(annotations))}
        (source / f"captions_{split}2017.json").write_text(json.dumps(content))
    prepare_coco(source, source / "out", write_texts)
    check(source / "out", album, CAPTION, lambda each: str(image_id(each)))
    assert PreparedData.open(source / "out").numeric_ids is not as_text


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
@PROPERTY
@given(
    ids=st.lists(
        st.sampled_from(["1", "01", "001", "12", "123", "x1", "é", "7", "77_a"]),
        min_size=1,
        unique=True,
    ),
    data=st.data(),
)
def test_snli_ve_form(form, ids, data, tmp_path_factory):
    source = tmp_path_factory.mktemp("snli")
    album = [Drawn(0, "anker.png", "anker", "whole", "train")]
    for number, name in enumerate(ids, start=1):
        ending = (
            data.draw(st.sampled_from([".png", "_abc.jpg", ".JPG"])) if name.isdecimal() else ".png"
        )
        condition = data.draw(st.sampled_from(CONDITIONS))
        album.append(
            Drawn(number, f"{name}{ending}", name, condition, data.draw(st.sampled_from(SPLITS)))
        )
    write_images(source, form, album)
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        lines = [
            json.dumps(
                {
                    "Flickr30K_ID": each.asked,
                    "pairID": each.asked,
                    "sentence1": None,
                    "sentence2": f"Number {each.number}.",
                    "gold_label": "neutral",
                }
            )
            for each in album
            if each.split == split
        ]
        text = "\ufeff" * data.draw(st.booleans()) + "\r\n".join(lines)
        (source / f"snli_ve_{name}.jsonl").write_bytes(text.encode())
    prepare_snli_ve(source, source / "out", write_texts)
    check(source / "out", album, ENTAILMENT, lambda each: each.asked)


@PROPERTY
@given(album=albums(), copies=st.integers(1, 3))
def test_flickr8k_with_entries_per_caption(album, copies, tmp_path_factory):
    source = tmp_path_factory.mktemp("flickr")
    album = [each for each in album if each.condition == "whole"]
    write_images(source, "folder", album)
    entries = [
        {
            "filename": each.path,
            "split": each.split,
            "sentences": [{"raw": f"{each.number} {copy}."}],
        }
        for copy in range(copies)
        for each in album
    ]
    write_karpathy(source / "dataset_flickr8k.json", entries)
    prepare_flickr8k(source, source / "out", write_texts)
    data = PreparedData.open(source / "out")
    rows = [row for split in data.splits(CAPTION) for row in data.examples(CAPTION, split)]
    references = {row.image.getpixel((1, 1)): row.references for row in rows}
    assert references == {
        each.colour: tuple(f"{each.number} {copy}." for copy in range(copies)) for each in album
    }
    assert len({row.image_id for row in rows}) == len(album)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = ("filename", "filepath", "split", "sentences", "cocoid", "raw")


@PROPERTY
@given(
    entries=st.lists(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6), max_size=6)
)
def test_every_entry_is_a_row_or_a_problem(entries, tmp_path_factory):
    source = tmp_path_factory.mktemp("odd")
    write_images(source, "folder", [Drawn(0, ANCHOR, ANCHOR, "whole", "train")])
    good = {"filename": ANCHOR, "split": "train", "sentences": [{"raw": "The anchor."}]}
    path = source / "dataset_flickr8k.json"
    path.write_text(json.dumps({"images": [good, *entries]}), encoding="utf-8")
    prepare_flickr8k(source, source / "out", write_texts)
    lines = problem_lines(source / "out")
    named = {line["item"] for line in lines}
    assert {f"images[{number}]" for number in range(1, 1 + len(entries))} <= named
    assert all(line["reason"] in REASONS | {"picture of one colour"} for line in lines)


@PROPERTY
@given(content=st.binary(max_size=60))
def test_bytes_that_are_no_annotations_are_one_line(content, tmp_path_factory):
    source = tmp_path_factory.mktemp("bytes")
    write_images(source, "folder", [Drawn(0, ANCHOR, ANCHOR, "whole", "train")])
    (source / "dataset_flickr8k.json").write_bytes(content)
    with pytest.raises(Exception) as caught:
        prepare_flickr8k(source, source / "out", write_texts)
    assert type(caught.value).__name__ in ("DataError", "FileError")
    assert "\n" not in str(caught.value)
    assert not (source / "out").exists()
