"""Pictures of a prepared folder are those that were written, each in its row."""

import json
import shutil
from dataclasses import replace

import pyarrow as pa
import pytest
from prepared_data import Given, picture, write_texts

from mue_cli.data.rows import CaptionRow
from mue_cli.data.store import image_shards
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.store.storage import write_prepared
from mue_cli.data.tasks import CAPTION
from mue_cli.errors import DataError

SHARD = "images/data-00000.arrow"
COLOURS = {"r": "red", "test:r": "blue", "g": "lime"}
ROWS = {
    "train": [CaptionRow("r", ("Red.",)), CaptionRow("g", ("Green.",))],
    "test": [CaptionRow("r", ("Blue.",), picture="test:r")],
}


def write(root, **colours):
    pictures = {key: picture(colour) for key, colour in {**COLOURS, **colours}.items()}
    return write_prepared(root, "test", Given(pictures), write_texts, ROWS)


@pytest.fixture
def data(tmp_path):
    return PreparedData(tmp_path / "data", write(tmp_path / "data"))


def older(data):
    """Return the data as a version without fingerprints of shards wrote it."""
    return PreparedData(data.root, replace(data.manifest, shard_fingerprints={}))


def rewrite(path, change):
    with pa.ipc.open_stream(path) as stream:
        table = change(stream.read_all())
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


def reverse(table):
    return table.take(list(range(len(table)))[::-1])


def test_pictures_are_those_of_their_rows_under_two_keys_of_one_id_too(data):
    for opened in (PreparedData.open(data.root), older(data)):
        (last,) = opened.examples(CAPTION, "test")
        assert (last.image_id, last.image.getpixel((0, 0))) == ("r", (0, 0, 255))
        assert opened.examples(CAPTION, "train")[1].image.getpixel((0, 0)) == (0, 255, 0)
        assert len(opened.pictures(8)) == 3


def test_a_manifest_without_fingerprints_still_opens(data):
    path = data.root / "manifest.json"
    content = json.loads(path.read_text())
    del content["shard_fingerprints"]
    path.write_text(json.dumps(content))
    assert len(PreparedData.open(data.root).examples(CAPTION, "train")) == 2


@pytest.mark.parametrize("opening", ["examples", "pictures"])
def test_rows_in_another_order_are_refused(data, opening):
    rewrite(data.root / SHARD, reverse)
    for opened, message in (
        (data, f"{SHARD} is not as it was written"),
        (older(data), "its row 0 is about `r`, and `g` lies there"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            opened.examples(CAPTION, "train") if opening == "examples" else opened.pictures(8)
        assert caught.value.hint == "run `mue prepare` again"


def test_a_shard_of_another_preparation_with_the_same_ids_is_refused(data, tmp_path):
    write(tmp_path / "other", g="black")
    shutil.copy(tmp_path / "other" / SHARD, data.root / SHARD)
    with pytest.raises(DataError, match=f"{SHARD} is not as it was written"):
        data.examples(CAPTION, "train")


def test_two_shards_that_changed_places_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(image_shards, "SHARD_ROWS", 1)
    data = PreparedData(tmp_path / "data", write(tmp_path / "data"))
    first, second = (data.root / f"images/data-0000{number}.arrow" for number in (1, 2))
    shutil.move(first, tmp_path / "kept")
    shutil.move(second, first)
    shutil.move(tmp_path / "kept", second)
    for opened in (data, older(data)):
        with pytest.raises(DataError):
            opened.examples(CAPTION, "train")


def test_texts_need_no_pictures_where_features_stand_for_them(data):
    rewrite(data.root / SHARD, reverse)
    assert data.examples(CAPTION, "train", features={0: None})[0].target == "red"
